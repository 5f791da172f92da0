//! Countries: ISO 3166-1, and what people write in its place.
//!
//! One reader for every door. Codes of two and of three letters are read, and English names, all in either
//! case. A click keeps [`find`]'s answer and is of an unknown country without one; a question about
//! counts is refused by [`asked`], for a filter that matches nothing shows an empty chart and no reason.

use std::{collections::HashMap, sync::LazyLock};

/// The country of a click whose country is not known (CLDR's `ZZ`).
pub const UNKNOWN: &str = "ZZ";

/// Longest text that can be a country, in bytes; the longest name has 52.
const MAX_BYTES: usize = 64;

/// A country a line: two letters, three letters, English names with `|` between them. ISO 3166-1, and
/// Kosovo's codes, which ISO leaves to its users and most of them use.
const TABLE: &str = include_str!("country/iso3166.txt");

/// Codes of two letters that others than ISO use: of the United Kingdom, and the European Union's of Greece.
const OTHER_CODES: [(&str, &str); 2] = [("UK", "GB"), ("EL", "GR")];

const LETTERS: usize = 26;

/// The table by what is looked up in it.
struct Index {
    /// Codes by two letters.
    codes: [Option<&'static str>; LETTERS * LETTERS],
    /// Codes by three letters in lower case, and by name as [`folded`].
    names: HashMap<String, &'static str>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index { codes: [None; LETTERS * LETTERS], names: HashMap::with_capacity(700) };
    for line in TABLE.lines() {
        let mut parts = line.splitn(3, ' ');
        let (Some(code), Some(three), Some(names)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if let Some(place) = place(code) {
            index.codes[place] = Some(code);
        }
        index.names.insert(three.to_ascii_lowercase(), code);
        index.names.extend(names.split('|').map(|name| (folded(name), code)));
    }
    for (other, code) in OTHER_CODES {
        let code = place(code).and_then(|place| index.codes[place]);
        if let Some(place) = place(other) {
            index.codes[place] = code;
        }
    }
    index
});

/// The two letters of the country that a text names; `None` if it names none.
pub fn find(text: &str) -> Option<&'static str> {
    let text = text.trim();
    if text.len() > MAX_BYTES {
        return None;
    }
    match place(text) {
        Some(place) => INDEX.codes[place],
        None => INDEX.names.get(&folded(text)).copied(),
    }
}

/// The country that is asked for: what [`find`] reads, or `ZZ` for clicks of unknown countries.
pub fn asked(text: &str) -> Result<String, String> {
    let found = if text.trim().eq_ignore_ascii_case(UNKNOWN) { Some(UNKNOWN) } else { find(text) };
    found.map(str::to_owned).ok_or_else(|| {
        "Expected a country: two letters (ISO 3166-1 alpha-2), or ZZ for clicks of an unknown one.".to_owned()
    })
}

/// The place of a code of two letters.
fn place(code: &str) -> Option<usize> {
    let &[first, second] = code.as_bytes() else { return None };
    let letter = |byte: u8| byte.is_ascii_alphabetic().then(|| usize::from(byte.to_ascii_uppercase() - b'A'));
    Some(letter(first)? * LETTERS + letter(second)?)
}

/// A name as names are compared: words in lower case, without what stands between them. Words are kept
/// apart: `n/a` is not Namibia. Accents that stand by themselves, as in decomposed Unicode, are left out.
fn folded(name: &str) -> String {
    let mut words = Vec::new();
    let name = name.replace('&', " and ").to_lowercase().replace(|c| matches!(c, '\u{300}'..='\u{36f}'), "");
    for word in name.split(|c: char| !c.is_alphanumeric()) {
        match word {
            "" | "the" => {}
            "st" => words.push("saint"),
            word => words.push(word),
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_is_whole_and_names_nothing_twice() {
        let codes: BTreeSet<_> = TABLE.lines().map(|line| &line[..2]).collect();
        // ISO 3166-1 assigns 249.
        assert_eq!((codes.len(), TABLE.lines().count()), (250, 250));
        let mut known = HashMap::new();
        for line in TABLE.lines() {
            let (code, names) = (&line[..2], &line[7..]);
            assert_eq!(find(code), Some(code));
            for name in names.split('|').chain([&line[3..6]]) {
                assert_eq!(find(name), Some(code), "{name}");
                assert_eq!(*known.entry(folded(name)).or_insert(code), code, "{name}");
            }
        }
    }

    #[test]
    fn codes_and_names_are_read_in_either_case() {
        for (text, code) in [
            ("DE", "DE"),
            ("de", "DE"),
            (" fr ", "FR"),
            ("USA", "US"),
            ("usa", "US"),
            ("U.S.", "US"),
            ("u.s.a.", "US"),
            ("United States of America", "US"),
            ("UNITED STATES", "US"),
            ("the Netherlands", "NL"),
            ("UK", "GB"),
            ("uk", "GB"),
            ("U.K.", "GB"),
            ("GBR", "GB"),
            ("Great Britain", "GB"),
            ("EL", "GR"),
            ("Korea, Republic of", "KR"),
            ("Viet Nam", "VN"),
            ("Trinidad & Tobago", "TT"),
            ("St. Lucia", "LC"),
            ("cote d'ivoire", "CI"),
            ("Côte d’Ivoire", "CI"),
            ("TÜRKİYE", "TR"),
            ("Re\u{301}union", "RE"),
            ("Turkey", "TR"),
            ("XK", "XK"),
        ] {
            assert_eq!(find(text), Some(code), "{text}");
            assert_eq!(asked(text).as_deref(), Ok(code), "{text}");
        }
    }

    #[test]
    fn what_is_no_country_is_none() {
        let long = "a".repeat(MAX_BYTES + 1);
        for text in [
            "",
            " ",
            "T1",
            "A1",
            "XX",
            "AP",
            "EU",
            "(not set)",
            "n/a",
            "N.A.",
            "unknown",
            "null",
            "--",
            "en-US",
            "42",
            "Atlantis",
            "ÅÄ",
            &long,
        ] {
            assert_eq!(find(text), None, "{text}");
            assert!(asked(text).is_err(), "{text}");
        }
        assert_eq!(find(UNKNOWN), None);
        assert_eq!(asked("zz").as_deref(), Ok(UNKNOWN));
    }

    proptest! {
        #[test]
        fn whatever_is_found_is_a_code_and_found_again(text in "\\PC{0,70}|[a-zA-Z]{2,3}") {
            if let Some(code) = find(&text) {
                prop_assert!(code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()));
                prop_assert_eq!(find(code), Some(code));
            }
        }
    }
}
