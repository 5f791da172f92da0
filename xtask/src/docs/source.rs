//! Sources as tokens, in one flat list a file: the scans look for sequences of tokens, so they find what they look
//! for in any file, function or macro, and files may move.
//!
//! Tests are left out: what only a test names is not part of a program.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::{Context as _, Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Crates that are tests and tools alone; nothing of them is in a program that is deployed.
const TOOLS: [&str; 3] = ["e2e", "load", "services"];

/// One token; brackets are tokens of their own.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// An identifier or keyword.
    Word(String),
    /// A string literal, unescaped.
    Text(String),
    /// Any other literal, such as a number.
    Literal(String),
    /// Punctuation, or one side of a bracket.
    Mark(char),
}

/// The part of the workspace that a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Server,
    Aggregator,
    Lake,
    /// The crate that every program starts with.
    Process,
    /// Another crate of which server and aggregator consist.
    Shared,
    /// A tool or a test.
    Tool,
}

/// A file of Rust.
pub(super) struct Source {
    pub(super) part: Part,
    pub(super) tokens: Vec<Token>,
}

/// All files, in the order of their paths.
pub(super) struct Sources(Vec<Source>);

impl Token {
    pub(super) fn is(&self, mark: char) -> bool {
        *self == Self::Mark(mark)
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self, Self::Mark(')' | ']' | '}'))
    }

    pub(super) fn word(&self) -> Option<&str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl Sources {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut sources = Vec::new();
        let mut folders = vec![(root.join("server/src"), Part::Server)];
        folders.push((root.join("aggregator/src"), Part::Aggregator));
        folders.push((root.join("lake/src"), Part::Lake));
        for folder in sorted(&root.join("crates"))? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let part = match &*name {
                "process" => Part::Process,
                name if TOOLS.contains(&name) => Part::Tool,
                _ => Part::Shared,
            };
            folders.push((folder.join("src"), part));
        }
        folders.push((root.join("crates/e2e/tests"), Part::Tool));
        folders.push((root.join("xtask/src"), Part::Tool));
        for (folder, part) in folders {
            read_folder(&folder, part, &mut sources)?;
        }
        Ok(Self(sources))
    }

    /// Files of what is deployed: the programs and the crates in them.
    pub(super) fn deployed(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().filter(|source| source.part != Part::Tool)
    }

    pub(super) fn of(&self, part: Part) -> impl Iterator<Item = &Source> {
        self.0.iter().filter(move |source| source.part == part)
    }

    /// The tokens of a constant's value.
    pub(super) fn constant(&self, name: &str) -> Option<&[Token]> {
        self.0.iter().find_map(|Source { tokens, .. }| {
            let at = tokens.windows(2).position(|pair| {
                pair.first().and_then(Token::word) == Some("const")
                    && pair.last().and_then(Token::word) == Some(name)
            })?;
            let value = tokens.get(at..)?;
            let begin = value.iter().position(|token| token.is('='))? + 1;
            let end = value.iter().position(|token| token.is(';'))?;
            value.get(begin..end)
        })
    }
}

/// Entries of a folder by name; none if there is no such folder.
pub(super) fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn read_folder(folder: &Path, part: Part, sources: &mut Vec<Source>) -> Result<()> {
    for path in sorted(folder)? {
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if path.is_dir() {
            read_folder(&path, part, sources)?;
        } else if is_rust && (part == Part::Tool || path.file_stem().is_some_and(|stem| stem != "tests")) {
            let text = fs::read_to_string(&path)?;
            let tokens = tokens(&text).with_context(|| path.display().to_string())?;
            sources.push(Source { part, tokens });
        }
    }
    Ok(())
}

/// The tokens of a text, without modules and functions that are compiled for tests alone.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>> {
    let stream = TokenStream::from_str(text).map_err(|error| anyhow!("not Rust: {error}"))?;
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    Ok(tokens)
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut is_after_hash = false;
    let mut is_skipping = false;
    for tree in stream {
        let was_after_hash = std::mem::take(&mut is_after_hash);
        match tree {
            TokenTree::Group(group) => {
                if was_after_hash && group.stream().to_string().replace(' ', "") == "cfg(test)" {
                    is_skipping = true;
                    tokens.pop();
                } else if is_skipping {
                    // The item ends with its braces; what is before them, such as arguments, is skipped, too.
                    is_skipping = group.delimiter() != Delimiter::Brace;
                } else {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ('(', ')'),
                        Delimiter::Bracket => ('[', ']'),
                        Delimiter::Brace | Delimiter::None => ('{', '}'),
                    };
                    tokens.push(Token::Mark(open));
                    flatten(group.stream(), tokens);
                    tokens.push(Token::Mark(close));
                }
            }
            TokenTree::Punct(mark) => {
                is_after_hash = mark.as_char() == '#';
                if !is_skipping {
                    tokens.push(Token::Mark(mark.as_char()));
                }
                is_skipping &= mark.as_char() != ';';
            }
            TokenTree::Ident(word) if !is_skipping => tokens.push(Token::Word(word.to_string())),
            TokenTree::Literal(literal) if !is_skipping => {
                let literal = literal.to_string();
                tokens.push(match syn::parse_str::<syn::LitStr>(&literal) {
                    Ok(text) => Token::Text(text.value()),
                    Err(_) => Token::Literal(literal),
                });
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_tests_have_is_left_out() {
        let text = r#"fn a() { b!("one") } #[cfg(test)] mod tests { fn c() { d("two") } } const E: u8 = 3;"#;
        let found = tokens(text).unwrap();
        assert!(found.contains(&Token::Text("one".to_owned())));
        assert!(!found.contains(&Token::Text("two".to_owned())));
        assert!(found.contains(&Token::Word("E".to_owned())));
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_hides_nothing_behind_it() {
        let found = tokens("#[cfg(test)] mod tests; fn a() {}").unwrap();
        assert_eq!(found.first(), Some(&Token::Word("fn".to_owned())));
    }
}
