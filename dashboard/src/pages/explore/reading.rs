//! What is read of a chart, and what part of it is selected: by the pointer, and by keys.

use std::ops::RangeInclusive;

use super::annotations::{Mark, page_to};

/// The place in a chart that is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// The bucket that is read.
    pub(super) at: Option<usize>,
    /// The bucket at which a selection began.
    pub(super) anchor: Option<usize>,
}

impl Reading {
    /// Returns the buckets that are selected, of those that there are.
    pub(super) fn selection(self, count: usize) -> Option<RangeInclusive<usize>> {
        let (anchor, at) = (self.anchor?, self.at?);
        (anchor.max(at) < count).then(|| anchor.min(at)..=anchor.max(at))
    }

    /// Returns the reading after a key; `None`: the key is left to others. With Shift a selection goes along.
    pub(super) fn after(self, key: &str, extends: bool, count: usize, marks: &[Mark]) -> Option<Self> {
        let last = count.checked_sub(1)?;
        let at = match (key, self.at.filter(|at| *at <= last)) {
            ("ArrowLeft", at) => Some(at.map_or(last, |at| at.saturating_sub(1))),
            ("ArrowRight", at) => Some(at.map_or(0, |at| (at + 1).min(last))),
            ("Home", _) => Some(0),
            ("End", _) => Some(last),
            ("PageUp" | "PageDown", at) if !marks.is_empty() => page_to(marks, at, key == "PageDown"),
            ("Escape", _) if self.anchor.is_some() => return Some(Self { anchor: None, ..self }),
            ("Escape", _) => return Some(Self::default()),
            _ => return None,
        };
        let anchor = self.anchor.or(self.at).or(at).filter(|anchor| extends && *anchor <= last);
        Some(Self { at, anchor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: Option<usize>, anchor: Option<usize>) -> Reading {
        Reading { at, anchor }
    }

    #[test]
    fn keys_read_within_the_buckets() {
        for (at, key, expected) in [
            (None, "ArrowLeft", Some(9)),
            (None, "ArrowRight", Some(0)),
            (Some(0), "ArrowLeft", Some(0)),
            (Some(9), "ArrowRight", Some(9)),
            (Some(4), "Home", Some(0)),
            (Some(4), "End", Some(9)),
            (Some(4), "Escape", None),
            (Some(40), "ArrowRight", Some(0)),
        ] {
            let after = reading(at, None).after(key, false, 10, &[]);
            assert_eq!(after, Some(reading(expected, None)), "{key} at {at:?}");
        }
        for (key, count) in [("Tab", 10), ("Enter", 10), ("PageUp", 10), ("ArrowLeft", 0)] {
            assert_eq!(reading(Some(4), None).after(key, false, count, &[]), None, "{key}");
        }
    }

    #[test]
    fn shift_takes_a_selection_along_and_escape_drops_it_first() {
        let mut now = reading(Some(4), None);
        let mut press = |key: &str, extends: bool| {
            now = now.after(key, extends, 10, &[]).unwrap();
            (now.at, now.selection(10))
        };
        assert_eq!(press("ArrowRight", true), (Some(5), Some(4..=5)));
        assert_eq!(press("ArrowRight", true), (Some(6), Some(4..=6)));
        assert_eq!(press("Home", true), (Some(0), Some(0..=4)), "to the other side of where it began");
        assert_eq!(press("Escape", false), (Some(0), None));
        assert_eq!(press("ArrowRight", true), (Some(1), Some(0..=1)));
        assert_eq!(press("ArrowRight", false), (Some(2), None), "a move by itself selects nothing");
        assert_eq!(press("Escape", false), (None, None));
        assert_eq!(press("ArrowLeft", true), (Some(9), Some(9..=9)), "it begins where nothing was read");
    }

    #[test]
    fn what_is_not_there_any_more_is_not_selected() {
        assert_eq!(reading(Some(7), Some(2)).selection(8), Some(2..=7));
        assert_eq!(reading(Some(7), Some(2)).selection(7), None);
        assert_eq!(reading(None, Some(2)).selection(8), None);
    }
}
