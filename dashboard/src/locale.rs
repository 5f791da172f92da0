//! Numbers as the page's language and the viewer's region write them (`Intl`). In native builds, where tests run, they
//! are as in English.

#[cfg(target_arch = "wasm32")]
pub use browser::{country, language, number, percent};
#[cfg(not(target_arch = "wasm32"))]
pub use native::{country, language, number, percent};

#[cfg(target_arch = "wasm32")]
mod browser {
    use js_sys::{
        Array, Function,
        Intl::{DisplayNames, NumberFormat},
        Object, Reflect,
    };
    use wasm_bindgen::JsValue;

    use crate::language;

    /// The formats that the page needs; to make one takes far longer than to use it.
    struct Formats {
        /// Formats by the number of decimals.
        numbers: [Function; 3],
        percents: [Function; 2],
    }

    thread_local! {
        static FORMATS: Formats = Formats::new();
        static COUNTRIES: DisplayNames = DisplayNames::new(&locales(), &options(&[("type", "region".into())]));
    }

    /// The name of a country by its code (ISO 3166-1 alpha-2); a code that is none is its own name.
    pub fn country(code: &str) -> String {
        // Anything else than two letters is an error to the browser.
        if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return code.to_owned();
        }
        COUNTRIES.with(|countries| countries.of(code)).map_or_else(|| code.to_owned(), String::from)
    }

    /// The name of a language in itself; what is no language's code is its own name.
    pub fn language(code: &str) -> String {
        // Anything else than letters may be an error to the browser.
        if !(2..=3).contains(&code.len()) || !code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return code.to_owned();
        }
        let names = DisplayNames::new(&Array::of1(&code.into()), &options(&[("type", "language".into())]));
        names.of(code).map_or_else(|| code.to_owned(), String::from)
    }

    fn locales() -> Array {
        Array::of1(&language::locale().into())
    }

    fn options(of: &[(&str, JsValue)]) -> Object {
        let options = Object::new();
        for (name, value) in of {
            // A plain object takes any property.
            Reflect::set(&options, &JsValue::from_str(name), value).ok();
        }
        options
    }

    impl Formats {
        fn new() -> Self {
            let of_numbers = |style: &str, decimals: u32| {
                let options = options(&[
                    ("style", style.into()),
                    ("minimumFractionDigits", if style == "percent" { decimals.into() } else { 0.into() }),
                    ("maximumFractionDigits", decimals.into()),
                ]);
                NumberFormat::new(&locales(), &options).format()
            };
            Self {
                numbers: [0, 1, 2].map(|decimals| of_numbers("decimal", decimals)),
                percents: [0, 1].map(|decimals| of_numbers("percent", decimals)),
            }
        }
    }

    fn formatted(format: impl for<'a> FnOnce(&'a Formats) -> &'a Function, value: &JsValue) -> String {
        FORMATS.with(|formats| {
            let text = format(formats).call1(&JsValue::UNDEFINED, value).ok();
            text.and_then(|text| text.as_string()).unwrap_or_default()
        })
    }

    /// A number with at most `decimals` decimals, up to two.
    pub fn number(value: f64, decimals: usize) -> String {
        formatted(|formats| &formats.numbers[decimals.min(2)], &value.into())
    }

    /// A share as a percentage with no decimal, or one.
    pub fn percent(share: f64, decimals: usize) -> String {
        formatted(|formats| &formats.percents[decimals.min(1)], &share.into())
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    /// The name of a country: its code.
    pub fn country(code: &str) -> String {
        code.to_owned()
    }

    /// The name of a language: its code.
    pub fn language(code: &str) -> String {
        code.to_owned()
    }

    /// A number with at most `decimals` decimals, up to two.
    pub fn number(value: f64, decimals: usize) -> String {
        let text = format!("{:.*}", decimals.min(2), value.abs());
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let mut grouped = String::new();
        for (n, digit) in whole.chars().enumerate() {
            if n > 0 && (whole.len() - n).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        let fraction = fraction.trim_end_matches('0');
        let sign = if value < 0.0 { "-" } else { "" };
        if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
    }

    /// A share as a percentage with no decimal, or one.
    pub fn percent(share: f64, decimals: usize) -> String {
        format!("{:.*}%", decimals.min(1), share * 100.0)
    }
}
