//! The decision to read a feed's database again. A pure state machine: [`Follower`](super::follower::Follower) tells
//! it what has happened, and begins to read when it says so.
//!
//! Whatever may have been missed leads to a reading: a message that does not follow the last one, one that the
//! high-water mark in Redis counts and that does not come, or a mark from outside (a new connection, dropped events).
//! While the database is being read, gaps say nothing new: what was read is laid beneath what has come, and if
//! the two don't meet, it is read once more.

use clickwire_protocol::feed::Position;

/// The knowledge of messages that were missed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resync {
    /// Messages were missed since the last reading began.
    is_needed: bool,
    is_loading: bool,
    /// The high-water mark that was ahead of us; messages on their way must have come at the next look.
    expected: Option<Position>,
}

impl Resync {
    /// Returns whether a reading is to begin now; it has begun then.
    pub(super) fn begins(&mut self, is_marked: bool) -> bool {
        let begins = !self.is_loading && (self.is_needed || is_marked);
        if begins {
            *self = Self { is_needed: false, is_loading: true, expected: None };
        }
        begins
    }

    /// Returns whether no messages are known to be missing.
    pub(super) fn is_complete(&self) -> bool {
        !self.is_needed && self.expected.is_none()
    }

    /// Takes note of a message; returns whether there is a gap before it.
    pub(super) fn message(&mut self, follows: bool) -> bool {
        let is_gap = !follows && !self.is_loading;
        self.is_needed |= is_gap;
        is_gap
    }

    /// Takes note of the end of a reading; returns whether messages are missing between it and those that have come.
    pub(super) fn loaded(&mut self, fits: bool) -> bool {
        self.is_loading = false;
        self.is_needed |= !fits;
        !fits
    }

    /// Returns whether the next look compares with the mark that is expected, not with a new one.
    pub(super) fn expects(&self) -> bool {
        self.expected.is_some()
    }

    /// Compares the position with the high-water mark, if Redis has told one; returns whether messages are missing. A
    /// mark that is ahead is only believed when messages on their way have had time to come.
    pub(super) fn checked(&mut self, mark: Option<Position>, ours: &Position) -> bool {
        let is_ahead = |mark: &Position| mark.epoch != ours.epoch || mark.seq > ours.seq;
        match self.expected.take() {
            Some(expected) => {
                let is_gap = is_ahead(&expected);
                self.is_needed |= is_gap;
                is_gap
            }
            None => {
                self.expected = mark.filter(is_ahead);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: &str, seq: u64) -> Position {
        Position { epoch: epoch.to_owned(), seq }
    }

    /// A feed that has read the database once.
    fn loaded() -> Resync {
        let mut resync = Resync::default();
        assert!(resync.begins(true), "the first reading");
        assert!(!resync.loaded(true));
        resync
    }

    #[test]
    fn nothing_is_read_without_a_reason_and_once_for_each() {
        let mut resync = loaded();
        assert!(!resync.begins(false));
        assert!(!resync.message(true) && !resync.begins(false), "a message that follows");
        assert!(resync.message(false) && resync.begins(false), "a gap");
        assert!(!resync.begins(true) && !resync.begins(false), "one reading at a time");
        assert!(!resync.loaded(true) && !resync.begins(false));
        assert!(resync.begins(true), "a mark from outside");
    }

    #[test]
    fn gaps_during_a_reading_are_contained_in_it_unless_what_was_read_does_not_meet_them() {
        let mut resync = loaded();
        assert!(resync.begins(true));
        assert!(!resync.message(false), "the reading began before");
        assert!(!resync.loaded(true) && !resync.begins(false), "it meets what has come");
        assert!(resync.begins(true));
        assert!(resync.loaded(false) && resync.begins(false), "it does not: once more");
    }

    #[test]
    fn a_head_that_is_ahead_is_believed_at_the_second_look() {
        for (mark, ours_then, is_gap) in [
            (None, at("a", 5), false),
            (Some(at("a", 5)), at("a", 5), false),
            (Some(at("a", 4)), at("a", 5), false),
            (Some(at("a", 6)), at("a", 6), false),
            (Some(at("a", 6)), at("a", 5), true),
            (Some(at("b", 1)), at("b", 1), false),
            (Some(at("b", 1)), at("a", 5), true),
        ] {
            let mut resync = loaded();
            assert!(!resync.checked(mark.clone(), &at("a", 5)), "{mark:?}: at the first look");
            if !resync.expects() {
                assert!(!is_gap);
                continue;
            }
            assert_eq!(resync.checked(None, &ours_then), is_gap, "{mark:?} and then {ours_then:?}");
            assert!(!resync.expects(), "it is looked at anew");
            assert_eq!(resync.begins(false), is_gap);
        }
    }

    #[test]
    fn a_reading_forgets_what_was_expected_before_it() {
        let mut resync = loaded();
        assert!(!resync.checked(Some(at("a", 9)), &at("a", 5)));
        assert!(resync.begins(true) && !resync.expects());
    }
}
