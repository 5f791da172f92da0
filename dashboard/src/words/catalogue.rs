//! Texts and sentences in the viewer's language.
//!
//! The English text is the key of its translation, so English needs no file and a text that a language lacks is said
//! in English. The catalogue is learned once, before the first component is drawn, and stays for as long as the
//! program runs.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt::{self, Display, Write as _},
    ops::Deref,
};

use yew::{
    AttrValue,
    html::IntoPropValue,
    virtual_dom::{VNode, VText},
};

/// Translations by their English text.
pub type Catalogue = BTreeMap<String, String>;

thread_local! {
    static CATALOGUE: Cell<Option<&'static Catalogue>> = const { Cell::new(None) };
}

/// Learns a language from its file. False: the file can't be read, and English stays.
pub fn learn(json: &str) -> bool {
    let Ok(catalogue) = serde_json::from_str::<Catalogue>(json) else { return false };
    // The page has one language for as long as it runs.
    CATALOGUE.set(Some(Box::leak(Box::new(catalogue))));
    true
}

/// A text that people read, by its English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text(&'static str);

impl Text {
    /// The text whose English this is.
    pub const fn new(english: &'static str) -> Self {
        Self(english)
    }

    /// Its English, which names it in every language.
    pub const fn english(self) -> &'static str {
        self.0
    }

    /// The text in the viewer's language.
    #[inline(never)]
    pub fn get(self) -> &'static str {
        let translated = CATALOGUE.get().and_then(|catalogue| catalogue.get(self.0));
        translated.map_or(self.0, String::as_str)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.get()
    }
}

impl Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.get())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.get().to_owned()
    }
}

impl From<Text> for AttrValue {
    fn from(text: Text) -> Self {
        Self::Static(text.get())
    }
}

impl IntoPropValue<AttrValue> for Text {
    fn into_prop_value(self) -> AttrValue {
        self.into()
    }
}

impl IntoPropValue<Option<AttrValue>> for Text {
    fn into_prop_value(self) -> Option<AttrValue> {
        Some(self.into())
    }
}

impl IntoPropValue<VNode> for Text {
    fn into_prop_value(self) -> VNode {
        VText::new(self).into()
    }
}

/// A sentence: the template in the viewer's language, with values in its places.
#[inline(never)]
pub(super) fn fill(template: Text, values: &[(&str, &dyn Display)]) -> String {
    let mut rest = template.get();
    let mut text = String::with_capacity(rest.len() + 16);
    while let Some((before, (name, after))) =
        rest.split_once('{').and_then(|(before, place)| Some((before, place.split_once('}')?)))
    {
        text.push_str(before);
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            // Writing to a string does not fail.
            write!(text, "{value}").ok();
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// A catalogue for as long as a test holds this, on the test's thread.
#[cfg(test)]
pub(crate) struct Learned;

#[cfg(test)]
impl Learned {
    /// The German catalogue.
    pub(crate) fn german() -> Self {
        assert!(learn(include_str!("../../words/de.json")), "the file can't be read");
        Self
    }
}

#[cfg(test)]
impl Drop for Learned {
    fn drop(&mut self) {
        CATALOGUE.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: Text = Text::new("Good morning");

    fn rows(count: i64, name: &str) -> String {
        say!("{count} rows of {name}", count = count + 1, name)
    }

    #[test]
    fn without_a_catalogue_texts_are_english() {
        assert_eq!((GREETING.get(), say!("Good night")), ("Good morning", "Good night"));
        assert_eq!(rows(1, "{count}"), "2 rows of {count}", "values are no templates");
    }

    #[test]
    fn a_catalogue_may_order_the_parts_of_a_sentence_anew_and_lack_texts() {
        let _learned = Learned;
        assert!(learn(
            r#"{"Good morning": "Guten Morgen", "{count} rows of {name}": "{name}: {count} Zeilen"}"#
        ));
        assert_eq!((GREETING.get(), say!("Good night")), ("Guten Morgen", "Good night"));
        assert_eq!(rows(1, "a"), "a: 2 Zeilen");
        assert_eq!(AttrValue::from(GREETING), "Guten Morgen");
    }

    #[test]
    fn a_file_that_is_no_catalogue_changes_nothing() {
        assert!(!learn("<html>") && !learn("[]"));
        assert_eq!(GREETING.get(), "Good morning");
    }

    #[test]
    fn a_template_with_a_brace_too_many_is_said_as_it_is() {
        for (template, said) in [("{a} {b", "1 {b"), ("} {a}", "} 1"), ("{z}{a}", "1")] {
            assert_eq!(fill(Text::new(template), &[("a", &1)]), said, "{template}");
        }
    }
}
