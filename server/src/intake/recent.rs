//! Ids that were sent lately.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    mem::take,
};

/// Ids of one generation; both together are half a minute of 15,000 clicks a second, in about 5 MiB.
const GENERATION: usize = 1 << 18;

/// The last 262,144 to 524,288 ids, by hash: two ids may be taken for one.
#[derive(Default)]
pub(super) struct Recent {
    hasher: RandomState,
    younger: HashSet<u64>,
    older: HashSet<u64>,
}

impl Recent {
    /// Notes an id; whether it was not there.
    pub(super) fn is_new(&mut self, id: &str) -> bool {
        if self.younger.len() >= GENERATION {
            self.older = take(&mut self.younger);
        }
        let hash = self.hasher.hash_one(id);
        self.younger.insert(hash) && !self.older.contains(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::{GENERATION, Recent};

    #[test]
    fn an_id_is_known_for_a_generation_at_least_and_two_at_most() {
        let mut recent = Recent::default();
        assert!(recent.is_new("first"));
        assert!(!recent.is_new("first"));
        for number in 0..GENERATION {
            recent.is_new(&number.to_string());
        }
        assert!(!recent.is_new("first"), "it is in the older generation, and noted again");
        for number in GENERATION..4 * GENERATION {
            recent.is_new(&number.to_string());
        }
        assert!(recent.is_new("first"));
        assert!(recent.younger.len() + recent.older.len() <= 2 * GENERATION);
    }
}
