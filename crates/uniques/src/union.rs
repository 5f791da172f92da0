//! Many stored sketches into one.
//!
//! The library brings its estimator up to date after each sketch that it merges, which takes most of the time: 16,384
//! divisions. Here the registers of large sketches are merged alone, and the library is given the result, once.

use datasketches::hll::HllSketch;

use crate::{PRECISION, Sketch, Unreadable};

/// Registers of a sketch.
const REGISTERS: usize = 1 << PRECISION;

/// Start of the registers of a large sketch, behind the preamble (Apache DataSketches, `hll/PreambleUtil`).
const PREAMBLE: usize = 40;

/// First four bytes of a large sketch: words of the preamble, version, family, precision.
const LARGE: [u8; 4] = [10, 1, 7, PRECISION];

/// Byte 5: the estimator knows of no order.
const OUT_OF_ORDER: u8 = 16;
/// Byte 5: exceptions are a list, and no hash table.
const COMPACT: u8 = 8;

/// Byte 7: registers of four bits, and of eight.
const FOUR_BITS: u8 = 0b0010;
const EIGHT_BITS: u8 = 0b1010;

/// Registers that don't fit into four bits are in a list behind the others: in the lower 26 bits the place, above
/// them the value.
const PLACE_BITS: u32 = 26;

/// A union of sketches that were stored.
#[derive(Clone, Debug, Default)]
pub struct Union {
    /// Registers of large sketches.
    registers: Option<Box<[u8; REGISTERS]>>,
    /// Union of small ones, which are lists.
    small: Sketch,
}

impl Union {
    /// Adds everybody of a set that was stored.
    ///
    /// # Errors
    /// The bytes are no sketch of ours; nothing is added then.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let Some(large) = Large::read(bytes) else { return self.small.merge_bytes(bytes) };
        let registers = self.registers.get_or_insert_with(|| Box::new([0; REGISTERS]));
        for (pair, byte) in registers.as_chunks_mut::<2>().0.iter_mut().zip(large.registers) {
            // Fifteen stands for that or more.
            pair[0] = pair[0].max((byte & 15) + large.least);
            pair[1] = pair[1].max((byte >> 4) + large.least);
        }
        for exception in large.exceptions.as_chunks::<4>().0 {
            let exception = u32::from_le_bytes(*exception);
            let register = &mut registers[exception as usize & (REGISTERS - 1)];
            *register = (*register).max((exception >> PLACE_BITS) as u8);
        }
        Ok(())
    }

    /// Adds everybody of another union.
    pub fn merge(&mut self, other: &Self) {
        if let Some(others) = &other.registers {
            let registers = self.registers.get_or_insert_with(|| Box::new([0; REGISTERS]));
            registers.iter_mut().zip(&**others).for_each(|(own, other)| *own = (*own).max(*other));
        }
        self.small.merge(&other.small);
    }

    /// The sketch of them all.
    pub fn into_sketch(self) -> Sketch {
        let Self { registers, mut small } = self;
        if let Some(registers) = registers {
            match HllSketch::deserialize(&stored(&registers)) {
                Ok(large) => small.0.update(&large),
                Err(_) => unreachable!("the format is the library's own, which the tests compare"),
            }
        }
        small
    }

    /// About how many users there are.
    pub fn users(self) -> i64 {
        self.into_sketch().users()
    }
}

/// A large sketch as it is stored.
struct Large<'a> {
    /// The number that is to be added to each register.
    least: u8,
    /// Two in a byte, the first in its lower bits.
    registers: &'a [u8],
    exceptions: &'a [u8],
}

impl<'a> Large<'a> {
    /// `None` for everything that the library reads, or refuses.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (preamble, rest) = bytes.split_first_chunk::<PREAMBLE>()?;
        let (registers, exceptions) = rest.split_at_checked(REGISTERS / 2)?;
        let count = u32::from_le_bytes([preamble[36], preamble[37], preamble[38], preamble[39]]);
        let is_ours = preamble.starts_with(&LARGE)
            && preamble[5] & COMPACT != 0
            && preamble[7] == FOUR_BITS
            // What a register can hold: 50 of 64 bits may be zero.
            && preamble[6] <= 64
            && exceptions.len() as u64 == u64::from(count) * 4;
        is_ours.then_some(Self { least: preamble[6], registers, exceptions })
    }
}

/// Registers as the library stores them, in a byte each.
fn stored(registers: &[u8; REGISTERS]) -> Vec<u8> {
    let mut counts = [0_u32; 256];
    registers.iter().for_each(|&register| counts[usize::from(register)] += 1);
    // Sums of powers of two, which are exact.
    let sum = |range: std::ops::Range<usize>| -> f64 {
        range.map(|value| f64::from(counts[value]) * (-(value as f64)).exp2()).sum()
    };
    let mut bytes = Vec::with_capacity(PREAMBLE + REGISTERS);
    bytes.extend(LARGE);
    bytes.extend([0, OUT_OF_ORDER, 0, EIGHT_BITS]);
    bytes.extend(0_f64.to_le_bytes());
    bytes.extend(sum(0..32).to_le_bytes());
    bytes.extend(sum(32..64).to_le_bytes());
    bytes.extend(counts[0].to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(registers);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sketch;

    #[test]
    fn a_union_is_what_the_library_makes_of_it() {
        for ranges in [
            &[][..],
            &[(0, 0)],
            &[(0, 7), (3, 9)],
            &[(0, 1_400), (1_000, 3_000)],
            &[(0, 5_000)],
            &[(0, 5_000), (2_000, 9_000), (0, 30)],
            &[(0, 10), (0, 40_000), (30_000, 70_000)],
            // Registers whose least value is above zero, with exceptions.
            &[(0, 400_000), (300_000, 900_000), (5, 6)],
        ] {
            let (mut union, mut expected) = (Union::default(), Sketch::default());
            let mut parts = [Union::default(), Union::default()];
            for (number, &(first, end)) in ranges.iter().enumerate() {
                let bytes = sketch(first..end).to_bytes();
                expected.merge_bytes(&bytes).unwrap();
                union.add(&bytes).unwrap();
                parts[number % 2].add(&bytes).unwrap();
            }
            let [mut merged, other] = parts;
            merged.merge(&other);
            assert_eq!(union.clone().users(), expected.users(), "{ranges:?}");
            assert_eq!(merged.users(), expected.users(), "{ranges:?}");
            let large = ranges.iter().any(|(first, end)| end - first > 4_000);
            assert!(!large || union.into_sketch().to_bytes() == expected.to_bytes(), "{ranges:?}");
        }
    }

    #[test]
    fn large_sketches_take_the_short_way() {
        for users in [5_000, 60_000, 900_000] {
            let bytes = sketch(0..users).to_bytes();
            let large = Large::read(&bytes).unwrap();
            assert!(users < 900_000 || large.least > 0);
        }
        let exceptions = |users| Large::read(&sketch(0..users).to_bytes()).unwrap().exceptions.len();
        assert!(exceptions(60_000) > 0, "none of the tests has exceptions");
    }

    #[test]
    fn what_is_no_sketch_of_ours_is_refused_and_changes_nothing() {
        let whole = sketch(0..60_000).to_bytes();
        let mut union = Union::default();
        let with = |place: usize, value| {
            let mut bytes = whole.clone();
            bytes[place] = value;
            bytes
        };
        for bytes in [
            Vec::new(),
            whole[..39].to_vec(),
            whole[..4_000].to_vec(),
            whole[..whole.len() - 1].to_vec(),
            with(0, 9),
            with(1, 2),
            with(2, 8),
            with(3, 12),
            with(39, 255),
        ] {
            union.add(&bytes).unwrap_err();
        }
        assert_eq!(union.users(), 0);
    }
}
