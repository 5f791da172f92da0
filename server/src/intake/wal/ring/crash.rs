//! A disk that loses its power, or answers with errors.

use std::io;

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use redb::StorageBackend as _;

use super::{
    Medium, Ring, SECTOR,
    tests::{clicks, contents},
};
use crate::intake::disk::Disk;

/// Room for some frames: most histories come to its end.
const CAPACITY: usize = 96 * SECTOR;

impl Medium for Disk {
    fn contents(&mut self) -> io::Result<Vec<u8>> {
        let mut contents = vec![0; self.len()? as usize];
        self.read(0, &mut contents)?;
        Ok(contents)
    }

    fn grow(&mut self, _from: usize, to: usize) -> io::Result<()> {
        self.set_len(to as u64)?;
        self.sync_data()
    }

    fn write(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        redb::StorageBackend::write(self, at as u64, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many clicks come. The disk fails after so many changes and syncs, and is well again then.
    Append(u64, Option<u32>),
    /// The broker acknowledges so many more.
    Acknowledge(usize),
    Wipe(usize),
    /// Closed, and opened again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u64..12).prop_map(|clicks| Step::Append(clicks, None)),
        1 => (1_u64..12, 0_u32..4).prop_map(|(clicks, after)| Step::Append(clicks, Some(after))),
        5 => (1_usize..30).prop_map(Step::Acknowledge),
        2 => (0_usize..20).prop_map(|sectors| Step::Wipe(sectors * SECTOR)),
        1 => Just(Step::Reopen),
    ]
}

/// Returns whether these are in there, one behind the other.
fn has_in_order<T: PartialEq>(all: &[T], wanted: &[T]) -> bool {
    let mut all = all.iter();
    wanted.iter().all(|wanted| all.any(|one| one == wanted))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Clicks that were taken and not acknowledged are there after a power cut at any moment, in their order, and none is
    /// told to be missing; nothing is there that never came; the log works on.
    #[test]
    fn a_power_cut_loses_nothing_that_was_taken(
        steps in prop::collection::vec(step(), 1..60),
        powered_for in prop::option::of(0_u32..300),
        seed: u64,
    ) {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = Disk::default();
        let (mut ring, _) = Ring::on(disk.clone(), CAPACITY).unwrap();
        let (mut taken, mut acknowledged, mut came) = (Vec::new(), 0, 0);
        disk.power(powered_for);
        for step in steps {
            // As the publisher knows it: the number of the oldest that is not acknowledged.
            let published = taken.get(acknowledged).map_or(ring.next(), |(number, _)| *number);
            match step {
                Step::Append(count, fails_after) => {
                    let new = clicks(came..came + count);
                    came += count;
                    if fails_after.is_some() {
                        disk.power(fails_after);
                    }
                    match ring.append(new.iter(), published) {
                        Ok(Some(first)) => taken.extend((first..).zip(new)),
                        Ok(None) => {}
                        Err(_) if fails_after.is_some() => {}
                        Err(_) => break,
                    }
                    if fails_after.is_some() {
                        disk.power(None);
                    }
                }
                Step::Acknowledge(count) => acknowledged = taken.len().min(acknowledged + count),
                Step::Wipe(bytes) => {
                    if ring.wipe(published, bytes).is_err() {
                        break;
                    }
                }
                Step::Reopen => {
                    let Ok((again, left)) = Ring::on(disk.clone(), CAPACITY) else { break };
                    prop_assert_eq!(left.missing, 0);
                    prop_assert!(has_in_order(&left.clicks, &taken[acknowledged..]), "{left:?}");
                    // Some may come again that are acknowledged, or that were not taken because of an error.
                    (ring, taken, acknowledged) = (again, left.clicks, 0);
                }
            }
        }
        let left = disk.after_the_cut(&mut random);
        let (mut ring, left) = Ring::on(Disk::holding(left), CAPACITY).unwrap();
        prop_assert_eq!(left.missing, 0);
        prop_assert!(has_in_order(&left.clicks, &taken[acknowledged..]), "{left:?}");
        prop_assert!(has_in_order(&clicks(0..came), &contents(&left)));
        let next = ring.next();
        prop_assert_eq!(ring.append(clicks(0..1).iter(), next).unwrap(), Some(next));
    }
}
