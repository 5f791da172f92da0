//! Numbers of different users: HyperLogLog sketches, which the aggregator keeps and the server merges.
//!
//! A sketch stands for a set of users. Adding somebody again changes nothing, and the sketch of a
//! union is made from the sketches alone; so minutes merge to hours, hours to any range, and a click
//! that comes again counts nobody twice.
//!
//! - 2^14 registers: the standard error of a large set is 1.04 / √16384 = 0.81 %.
//! - Up to about 1,500 users a sketch is the list of their hashes, 4 bytes each, and as good as
//!   exact; beyond that it has about 8 KiB, however many they are.
//! - Users are hashed by MurmurHash3 (x64, 128 bits, seed 9001) of the id's bytes, and stored in the
//!   format that all libraries of Apache DataSketches read. Both are for ever: sketches with other
//!   hashes don't merge with what is stored.

mod union;

use std::time::Duration;

use datasketches::{
    hash::value::raw_bytes,
    hll::{HllSketch, HllType, HllUnion},
};
use thiserror::Error;

pub use union::Union;

/// Logarithm of the number of registers.
const PRECISION: u8 = 14;

/// The retention of sketches of single minutes. A click that is counted later than this goes into its hour.
pub const MINUTES_KEPT: Duration = Duration::from_secs(48 * 3_600);

/// A set of users, of which only the size can be told.
#[derive(Clone, Debug)]
pub struct Sketch(HllUnion);

/// Stored bytes are no sketch of ours.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// The bytes are no sketch at all.
    #[error("not a sketch: {0}")]
    Format(#[from] datasketches::error::Error),
    /// The sketch is of another size, which would make every union with it coarser.
    #[error("a sketch with 2^{0} registers instead of 2^{PRECISION}")]
    Precision(u8),
}

impl Sketch {
    /// The sketch that was stored.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut sketch = Self::default();
        sketch.merge_bytes(bytes)?;
        Ok(sketch)
    }

    /// Returns the bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.unordered().to_sketch(HllType::Hll4).serialize()
    }

    /// Adds a user.
    pub fn add(&mut self, user_id: &str) {
        self.0.update_value(raw_bytes::from_str(user_id));
    }

    /// Adds everybody of another set.
    pub fn merge(&mut self, other: &Self) {
        self.0.update(&other.0.to_sketch(HllType::Hll8));
    }

    /// Adds everybody of a set that was stored.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let stored = HllSketch::deserialize(bytes)?;
        if stored.lg_config_k() != PRECISION {
            return Err(Unreadable::Precision(stored.lg_config_k()));
        }
        self.0.update(&stored);
        Ok(())
    }

    /// About how many users there are.
    pub fn users(&self) -> i64 {
        // The estimate from the registers alone, not the one that knows the order.
        self.0.composite_estimate().round() as i64
    }

    /// Without what it remembers of the order in which users came: a union with itself forgets it.
    fn unordered(&self) -> HllUnion {
        let mut union = self.0.clone();
        union.update(&self.0.to_sketch(HllType::Hll8));
        union
    }
}

impl Default for Sketch {
    fn default() -> Self {
        Self(HllUnion::new(PRECISION).expect("the precision is within what a sketch may have"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn sketch(users: std::ops::Range<u32>) -> Sketch {
        let mut sketch = Sketch::default();
        users.for_each(|user| sketch.add(&format!("user_{user}")));
        sketch
    }

    fn stored(sketch: &Sketch) -> Sketch {
        Sketch::from_bytes(&sketch.to_bytes()).unwrap()
    }

    /// Adds a batch's users to what is stored of their campaign; counted by `cargo xtask bench instructions`.
    #[inline(never)]
    fn counted_sketch(stored: &[u8], users: &[String]) -> Result<Vec<u8>, Unreadable> {
        let mut sketch = Sketch::from_bytes(stored)?;
        users.iter().for_each(|user| sketch.add(user));
        Ok(sketch.to_bytes())
    }

    #[test]
    fn a_batch_is_added_to_what_is_stored() {
        let users: Vec<String> = (950..1_050).map(|user| format!("user_{user}")).collect();
        let after = counted_sketch(&sketch(0..1_000).to_bytes(), &users).unwrap();
        assert_eq!(Sketch::from_bytes(&after).unwrap().users(), 1_050);
    }

    #[test]
    fn small_sets_are_exact_and_small() {
        for users in [0, 1, 7, 50, 1_000] {
            let sketch = sketch(0..users);
            assert_eq!(sketch.users(), i64::from(users));
            assert_eq!(stored(&sketch).users(), i64::from(users));
            assert!(sketch.to_bytes().len() <= 12 + 4 * users as usize, "{users}");
        }
        assert!(sketch(0..100_000).to_bytes().len() < 8_500);
    }

    #[test]
    fn a_million_users_within_two_percent_from_one_sketch_and_from_a_thousand() {
        let whole = sketch(0..1_000_000);
        let mut merged = Sketch::default();
        for part in 0..1_000 {
            merged.merge(&stored(&sketch(part * 1_000..(part + 1) * 1_000)));
        }
        assert!((whole.users() - 1_000_000).abs() < 20_000, "{}", whole.users());
        assert_eq!(merged.users(), whole.users());
    }

    #[test]
    fn merging_is_the_union_in_any_order_and_twice_is_once() {
        for (first, second, union) in [
            (0..30, 20..50, 0..50),
            (0..1_400, 1_000..2_000, 0..2_000),
            (0..100, 50..40_000, 0..40_000),
            (0..40_000, 30_000..70_000, 0..70_000),
        ] {
            let (first, second) = (stored(&sketch(first)), stored(&sketch(second)));
            let (mut one, mut other) = (first.clone(), second.clone());
            one.merge(&second);
            other.merge(&first);
            assert_eq!(one.users(), other.users());
            assert_eq!(one.users(), sketch(union).users());
            one.merge(&first);
            assert_eq!(one.users(), other.users());
        }
    }

    #[test]
    fn who_comes_again_changes_nothing_of_what_is_stored() {
        for users in [0, 7, 1_000, 1_400, 2_000, 40_000] {
            let before = sketch(0..users).to_bytes();
            let mut again = Sketch::from_bytes(&before).unwrap();
            (0..users).for_each(|user| again.add(&format!("user_{user}")));
            let after = again.to_bytes();
            // A list may be in another order.
            let words = |bytes: &[u8]| {
                let (words, rest) = bytes.as_chunks::<4>();
                let (mut words, rest) = (words.to_vec(), rest.to_vec());
                words.sort_unstable();
                (words, rest)
            };
            assert!(words(&after) == words(&before), "{users}");
            assert!(users < 2_000 || after == before, "{users}");
        }
    }

    #[test]
    fn what_is_stored_is_read_by_every_release() {
        // Pinned, for what is stored must merge with what is added later.
        let hex =
            |sketch: &Sketch| sketch.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&Sketch::default()), "0201070e030c0000");
        assert_eq!(hex(&sketch(1..4)), "0201070e03080300ddee49078d803804d5445f17");
        let large = sketch(0..50_000).to_bytes();
        let checksum =
            large.iter().fold(0_u32, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        assert_eq!((large.len(), checksum), (8_244, 3_283_301_156));
    }

    #[test]
    fn what_is_no_sketch_of_ours_is_refused() {
        assert!(matches!(Sketch::from_bytes(b"").unwrap_err(), Unreadable::Format(_)));
        let mut bytes = sketch(0..1).to_bytes();
        bytes[3] = 12;
        assert!(matches!(Sketch::from_bytes(&bytes).unwrap_err(), Unreadable::Precision(12)));
    }
}
