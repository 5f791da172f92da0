//! A list of patterns with the kinds of robots that they declare, and of names of people's devices that
//! look like one.
//!
//! Some 1,500 patterns cost about as much as one parser: only those are tried of which a literal part
//! stands in the user agent (FilteredRE2's method).

use regex_filtered::{Builder, Regexes};

pub(crate) struct Patterns {
    /// In the order of the files: the first that matches names the kind.
    robots: Regexes,
    kinds: Vec<&'static str>,
    people: Regexes,
}

impl Patterns {
    /// Compiles files of lines `kind<TAB>pattern`.
    ///
    /// # Panics
    ///
    /// If a line is no pattern. The files are part of the program, and a test reads them.
    pub(crate) fn new(robots: &[&'static str], people: &'static str) -> Self {
        let mut builder = Builder::new();
        let mut kinds = Vec::new();
        for (kind, pattern) in robots.iter().flat_map(|file| lines(file)) {
            builder = builder.push(pattern).unwrap_or_else(|error| panic!("{pattern}: {error:?}"));
            kinds.push(kind);
        }
        let robots = builder.build().unwrap_or_else(|error| panic!("robots: {error:?}"));
        let people = Builder::new()
            .push_all(lines(people).map(|(_, pattern)| pattern))
            .unwrap_or_else(|error| panic!("people: {error:?}"))
            .build()
            .unwrap_or_else(|error| panic!("people: {error:?}"));
        Self { robots, kinds, people }
    }

    pub(crate) fn kind(&self, user_agent: &str) -> Option<&'static str> {
        let kind = |text: &str| self.robots.matching(text).next().map(|(place, _)| self.kinds[place]);
        // Most user agents are people's, and of these most look like no robot's.
        let found = kind(user_agent)?;
        let mut names = self.people.matching(user_agent).map(|(_, name)| name).peekable();
        if names.peek().is_none() {
            return Some(found);
        }
        let without =
            names.fold(user_agent.to_owned(), |text, name| name.replace_all(&text, "").into_owned());
        kind(&without)
    }
}

fn lines(file: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('\t').unwrap_or_else(|| panic!("no tab in {line:?}")))
}
