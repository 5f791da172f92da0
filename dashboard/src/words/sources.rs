//! Checks of all words in the sources: each has its translation and nothing else has one, places are the
//! same in every language, and no text for people is outside the words.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::catalogue::Catalogue;

/// Files that are tests as a whole.
const TESTS: [&str; 3] = ["tests.rs", "words/german.rs", "words/sources.rs"];

/// A text between quotation marks, with what stands around it.
struct Literal {
    text: String,
    before: String,
    after: String,
    place: String,
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files of the crate, those of the words or the others.
fn files(of_words: bool) -> Vec<PathBuf> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !TESTS.iter().any(|name| path.ends_with(name))
            {
                files.push(path);
            }
        }
    }
    let mut all = Vec::new();
    collect(&folder().join("src"), &mut all);
    let words = folder().join("src/words");
    all.retain(|path| (path.starts_with(&words) || path.ends_with("src/words.rs")) == of_words);
    all.sort();
    all
}

/// Literals of the files, without those of tests and comments.
fn literals(of_words: bool) -> Vec<Literal> {
    files(of_words).iter().flat_map(|path| literals_in(&path.display().to_string(), &read(path))).collect()
}

fn literals_in(path: &str, source: &str) -> Vec<Literal> {
    let end = ["mod tests", "pub(crate) mod tests", "pub(super) mod tests", "pub(in super::super) mod tests"]
        .map(|tests| source.find(&format!("#[cfg(test)]\n{tests}")));
    let source = &source[..end.into_iter().flatten().min().unwrap_or(source.len())];
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: Vec<char> = lines.flat_map(|line| line.trim().chars().chain([' '])).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let start = at;
        let is_raw =
            code[at] == 'r' && (code.get(at + 1) == Some(&'"') || code[at + 1..].starts_with(&['#', '"']));
        if is_raw {
            let hash = code[at + 1] == '#';
            at += if hash { 3 } else { 2 };
            while at < code.len() && !(code[at] == '"' && (!hash || code.get(at + 1) == Some(&'#'))) {
                at += 1;
            }
        } else if code[at..].starts_with(&['\'', '"', '\'']) {
            at += 2;
        } else if code[at] == '"' {
            at += 1;
            let mut text = String::new();
            while at < code.len() && code[at] != '"' {
                if code[at] == '\\' {
                    at += 1;
                }
                text.push(code[at]);
                at += 1;
            }
            let around = |from: usize, to: usize| code[from..to.min(code.len())].iter().collect::<String>();
            found.push(Literal {
                text,
                before: around(start.saturating_sub(60), start),
                after: around(at + 1, at + 400),
                place: path.to_owned(),
            });
        }
        at += 1;
    }
    found
}

/// A text without its places.
fn plain(text: &str) -> String {
    let mut parts = text.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('}').map_or(part, |(_, rest)| rest))
}

fn has_letters(text: &str) -> bool {
    plain(text).chars().any(char::is_alphabetic)
}

fn places(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
}

/// Returns whether a literal is the English of a text for people.
fn is_said(literal: &Literal) -> bool {
    let before = literal.before.trim_end();
    let is_named = || {
        let name = before.strip_suffix(" =").and_then(|before| before.rsplit([' ', '{']).next());
        name.is_some_and(|name| {
            !name.is_empty()
                && name.chars().all(|letter| letter.is_ascii_uppercase() || "_0123456789".contains(letter))
        })
    };
    before.ends_with("say!(")
        || before.ends_with("Text::new(")
        || (is_named() && literal.after.starts_with(';'))
}

/// Returns all texts for people, in English.
fn said() -> Vec<Literal> {
    literals(true).into_iter().filter(is_said).collect()
}

fn german() -> Catalogue {
    serde_json::from_str(&read(&folder().join("words/de.json"))).unwrap()
}

#[test]
fn every_text_has_its_translation_and_nothing_else_has_one() {
    let said = said();
    assert!(said.len() > 500, "the sources are not read as they are written: {}", said.len());
    let boot = read(&folder().join("boot.js"));
    let mut wanted: BTreeSet<&str> = said.iter().map(|literal| literal.text.as_str()).collect();
    wanted.extend(boot.split("const text = \"").nth(1).and_then(|rest| rest.split('"').next()));
    let german = german();
    let missing: Vec<&&str> = wanted.iter().filter(|text| !german.contains_key(**text)).collect();
    assert!(missing.is_empty(), "without German in dashboard/words/de.json: {missing:#?}");
    let unused: Vec<&String> = german.keys().filter(|text| !wanted.contains(text.as_str())).collect();
    assert!(unused.is_empty(), "in dashboard/words/de.json, and said nowhere: {unused:#?}");
}

#[test]
fn a_translation_has_the_places_of_its_english() {
    for (english, german) in german() {
        assert_eq!(places(&english), places(&german), "{english}");
        assert!(!german.trim().is_empty(), "{english}");
    }
}

#[test]
fn the_file_is_in_order_so_that_an_entry_has_one_place() {
    let sorted = serde_json::to_string_pretty(&german()).unwrap() + "\n";
    let file = read(&folder().join("words/de.json"));
    let differs = file.lines().zip(sorted.lines()).find(|(is, should)| is != should);
    assert_eq!(differs, None, "entries are ordered by their English, each once");
    assert_eq!(file.len(), sorted.len());
}

#[test]
fn a_template_gets_what_its_places_want() {
    for literal in said().iter().filter(|literal| literal.before.trim_end().ends_with("say!(")) {
        let mut depth = 0;
        let arguments: String = literal
            .after
            .chars()
            .take_while(|letter| {
                depth += match letter {
                    '(' | '[' | '{' => 1,
                    ')' | ']' | '}' => -1,
                    _ => 0,
                };
                depth >= 0
            })
            .collect();
        let mut depth = 0;
        let parts = arguments.split(|letter| {
            depth += match letter {
                '(' | '[' | '{' => 1,
                ')' | ']' | '}' => -1,
                _ => 0,
            };
            letter == ',' && depth == 0
        });
        let names: BTreeSet<&str> = parts
            .filter_map(|part| part.trim().split([' ', '=']).next())
            .filter(|name| !name.is_empty())
            .collect();
        assert_eq!(names, places(&literal.text), "{} in {}", literal.text, literal.place);
    }
}

#[test]
fn nothing_in_the_words_is_said_in_english_alone() {
    for literal in literals(true).iter().filter(|literal| !is_said(literal) && has_letters(&literal.text)) {
        let before = literal.before.trim_end();
        let is_text = before.ends_with("=>")
            || before.ends_with("format!(")
            || before.ends_with('{')
            || literal.after.starts_with(".to_owned()");
        let after = literal.after.trim_start();
        let is_pattern = after.starts_with("=>") || after.starts_with('|');
        assert!(!is_text || is_pattern, "{:?} in {}: say!(…)", literal.text, literal.place);
    }
}

#[test]
fn what_people_read_stands_in_the_words() {
    const ATTRIBUTES: [&str; 12] = [
        "label",
        "title",
        "text",
        "alt",
        "hint",
        "caption",
        "note",
        "action",
        "what",
        "description",
        "roledescription",
        "valuetext",
    ];
    let is_shown = |literal: &Literal| {
        let before = literal.before.trim_end();
        let before = before.strip_suffix("format!(").unwrap_or(before).trim_end();
        let attribute = before.strip_suffix("={").or_else(|| before.strip_suffix('='));
        let name = attribute.and_then(|before| before.rsplit([' ', '-']).next());
        before.ends_with(">{")
            || name.is_some_and(|name| ATTRIBUTES.contains(&name))
            // An example of an id or an address is the same in every language.
            || (name == Some("placeholder") && literal.text.contains(char::is_whitespace))
            // A sentence, wherever it is.
            || (literal.text.starts_with(char::is_uppercase)
                && literal.text.split_once(' ').is_some_and(|(_, rest)| rest.starts_with(char::is_lowercase)))
    };
    let found: BTreeMap<String, String> = literals(false)
        .into_iter()
        .filter(|literal| has_letters(&literal.text) && !literal.text.contains("://") && is_shown(literal))
        .map(|literal| (literal.text, literal.place))
        .collect();
    assert!(found.is_empty(), "outside dashboard/src/words: {found:#?}");
}

#[test]
fn literals_are_found_where_they_are() {
    let source = "//! \"a\"\nfn f() { g('\"', \"b \\\" c\", r#\"d \"e\" \"#, say!(\n \"{n} f\", n = 1)) }\n#[cfg(test)]\nmod tests { \"h\" }";
    let found = literals_in("x", source);
    let texts: Vec<&str> = found.iter().map(|literal| literal.text.as_str()).collect();
    assert_eq!(texts, ["b \" c", "{n} f"]);
    assert_eq!(found.iter().map(is_said).collect::<Vec<_>>(), [false, true]);
    assert!(!has_letters("{day}, {n}") && has_letters("{n} s"));
}
