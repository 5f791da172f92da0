//! Robots by their user agent: which ones declare themselves, and as what.
//!
//! A list has a number and never changes once it was released: the rule `user_agent` names in each of
//! its versions the list it judges by, so the same click gets the same verdict whenever it is judged.
//! A newer list is a folder beside the others, a number here, and a version of the rule.
//!
//! | list | what it is |
//! |---|---|
//! | 1 | woothee's crawlers (0.13, of 2021) and link previews: [`first`] |
//! | 2 | crawler-user-agents 1.67.0, and what it lacks: [`patterns`] |

mod first;
mod patterns;

use std::sync::LazyLock;

use patterns::Patterns;

/// The newest list.
pub const NEWEST: u32 = 2;

/// The list of a version that names none: the only one there was.
pub const OLDEST: u32 = 1;

/// Kind of an empty user agent.
pub const EMPTY: &str = "empty";

static SECOND: LazyLock<Patterns> = LazyLock::new(|| {
    Patterns::new(
        &[include_str!("../lists/2/crawlers.tsv"), include_str!("../lists/2/more.tsv")],
        include_str!("../lists/2/people.tsv"),
    )
});

/// Returns the kind of robot that a user agent declares by this list, such as `ai-crawler` or
/// `http-library`; `None` for people's browsers. A list that does not exist is the newest.
pub fn kind(list: u32, user_agent: &str) -> Option<&'static str> {
    if user_agent.trim().is_empty() {
        return Some(EMPTY);
    }
    match list {
        OLDEST => first::kind(user_agent),
        _ => SECOND.kind(user_agent),
    }
}

/// Reads the lists now; else the first question does, which takes some 40 ms.
pub fn prepare() {
    LazyLock::force(&SECOND);
}

#[cfg(test)]
mod tests;
