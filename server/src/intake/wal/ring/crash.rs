//! A disk that loses its power, or answers with errors.

use std::io;

use bytes::Bytes;
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use redb::StorageBackend as _;

use super::{
    BLOCK, Medium, Ring,
    tests::{clicks, contents},
};
use crate::intake::disk::Disk;

/// Room for some frames: most histories come to its end.
const CAPACITY: usize = 96 * BLOCK;

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
    /// Clicks come; their number.
    Append(u64),
    /// Clicks come, and the disk fails after a number of changes and syncs; it is well again then.
    Fail(u64, u32),
    /// The broker acknowledges more of them.
    Acknowledge(usize),
    Wipe(usize),
    /// Closed, and opened again.
    Reopen,
    /// Clicks come and some are wiped; the power goes after a number of changes and syncs, and comes back.
    Cut(u64, u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1_u64..12).prop_map(Step::Append),
        2 => (1_u64..30, 0_u32..4).prop_map(|(clicks, after)| Step::Fail(clicks, after)),
        10 => (1_usize..30).prop_map(Step::Acknowledge),
        4 => (0_usize..20).prop_map(|blocks| Step::Wipe(blocks * BLOCK)),
        2 => Just(Step::Reopen),
        2 => (1_u64..12, 0_u32..12).prop_map(|(clicks, after)| Step::Cut(clicks, after)),
    ]
}

/// Returns whether these are in there, one behind the other.
fn has_in_order<T: PartialEq>(all: &[T], wanted: &[T]) -> bool {
    let mut all = all.iter();
    wanted.iter().all(|wanted| all.any(|one| one == wanted))
}

/// A frame that was not written well has the numbers of the next one, which goes elsewhere because it is smaller.
#[test]
fn a_frame_that_failed_does_not_stand_for_the_next() {
    let disk = Disk::default();
    let (mut ring, _) = Ring::on(disk.clone(), 8 * BLOCK).unwrap();
    for number in 0..5 {
        ring.append(clicks(number..number + 1).iter(), number).unwrap().unwrap();
    }
    // Written at the beginning, where there is room for two blocks, and not synced.
    disk.power(Some(1));
    ring.append([Bytes::from(vec![b'x'; BLOCK])].iter(), 4).unwrap_err();
    disk.power(None);
    assert_eq!(ring.append(clicks(5..8).iter(), 4).unwrap(), Some(5));
    let (_, left) = Ring::on(disk, 8 * BLOCK).unwrap();
    assert_eq!((contents(&left), left.missing), (clicks(4..8), 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Clicks that were taken and not acknowledged are there after power cuts at any moment, in their order, and none is
    /// told to be missing; nothing is there that never came; the log works on.
    #[test]
    fn power_cuts_lose_nothing_that_was_taken(steps in prop::collection::vec(step(), 1..80), seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut disk = Disk::default();
        let (mut ring, _) = Ring::on(disk.clone(), CAPACITY).unwrap();
        let (mut taken, mut acknowledged, mut came) = (Vec::new(), 0, 0);
        for step in steps.into_iter().chain([Step::Cut(5, 3)]) {
            // As the publisher knows it: the number of the oldest that is not acknowledged.
            let published = taken.get(acknowledged).map_or(ring.next(), |(number, _)| *number);
            let power = match step {
                Step::Fail(_, after) | Step::Cut(_, after) => Some(after),
                _ => None,
            };
            disk.power(power);
            disk.tears_blocks_of(4_096);
            if let Step::Append(count) | Step::Fail(count, _) | Step::Cut(count, _) = step {
                let new = clicks(came..came + count);
                came += count;
                match ring.append(new.iter(), published) {
                    Ok(Some(first)) => taken.extend((first..).zip(new)),
                    Ok(None) => {}
                    Err(_) => prop_assert!(power.is_some()),
                }
            }
            match step {
                Step::Append(_) | Step::Fail(..) => {}
                Step::Acknowledge(count) => acknowledged = taken.len().min(acknowledged + count),
                Step::Wipe(bytes) => ring.wipe(published, bytes).unwrap(),
                Step::Cut(..) | Step::Reopen => {
                    if power.is_some() {
                        let _without_power = ring.wipe(published, 5 * BLOCK);
                        disk = Disk::holding(disk.after_the_cut(&mut random));
                    }
                    let (again, left) = Ring::on(disk.clone(), CAPACITY).unwrap();
                    prop_assert_eq!(left.missing, 0);
                    prop_assert!(has_in_order(&left.clicks, &taken[acknowledged..]), "{left:?}");
                    prop_assert!(has_in_order(&clicks(0..came), &contents(&left)));
                    // Some may come again that are acknowledged, or that were not taken because of an error.
                    (ring, taken, acknowledged) = (again, left.clicks, 0);
                }
            }
        }
    }
}
