//! The language of the page's texts: as the browser says, or as it was chosen in this browser.
//!
//! `boot.js` decides before the program starts, and fetches the words of a language other than English meanwhile. What
//! it found is an object of the page, `clickwire`, which is read here.

use js_sys::{Array, Reflect};
use wasm_bindgen::JsValue;

use crate::{locale, preferences, words::catalogue};

const KEY: &str = "clickwire.language";

/// The language of the program's own texts.
pub const ENGLISH: &str = "en";

fn found(name: &str) -> Option<JsValue> {
    let page = Reflect::get(&js_sys::global(), &"clickwire".into()).ok()?;
    Reflect::get(&page, &name.into()).ok()
}

fn text(name: &str) -> Option<String> {
    found(name)?.as_string()
}

/// Learns the words before anything is drawn, and says in the document which language it is in.
pub fn start() {
    let words = text("words").filter(|words| !words.is_empty());
    let is_learned = words.is_some_and(|words| catalogue::learn(&words));
    let language = text("language").filter(|_| is_learned);
    let root = web_sys::window().and_then(|window| window.document()?.document_element());
    // An element takes any attribute.
    root.and_then(|root| root.set_attribute("lang", language.as_deref().unwrap_or(ENGLISH)).ok());
}

/// Returns the BCP 47 tag by which the viewer's region writes numbers, times and countries in the page's language.
pub fn locale() -> String {
    text("locale").unwrap_or_else(|| ENGLISH.to_owned())
}

/// Languages to choose from, by code: English, and those that have a file of words. Natively, where tests run,
/// English and German.
pub fn all() -> Vec<String> {
    let files = if cfg!(target_arch = "wasm32") {
        let files = found("languages").map(|files| Array::from(&files).iter().collect::<Vec<_>>());
        files.unwrap_or_default().iter().filter_map(JsValue::as_string).collect()
    } else {
        vec!["de".to_owned()]
    };
    [ENGLISH.to_owned()].into_iter().chain(files).collect()
}

/// The name of a language in itself: `Deutsch`.
pub fn name(code: &str) -> String {
    locale::language(code)
}

/// Returns the language that was chosen in this browser; `None`: as the browser says.
pub fn stored() -> Option<String> {
    preferences::read(KEY)
}

/// Keeps a choice and loads the page again in it. A browser that refuses storage goes on in its own language.
pub fn choose(language: Option<&str>) {
    if preferences::keep(KEY, language) {
        web_sys::window().and_then(|window| window.location().reload().ok());
    }
}
