//! Order, bounds, reopening, damage.

use std::{fs, ops::Range, path::PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

use super::{BLOCK, CAPACITY, Error, HEADER, Left, MAGIC, Ring, SIGNATURE};
use crate::intake::own_file;

/// The click of this number; they are of several sizes.
pub(super) fn click(number: u64) -> Bytes {
    let mut click = number.to_string().into_bytes();
    click.resize(200 + (number as usize * 37) % 700, b'a' + (number % 26) as u8);
    click.into()
}

pub(super) fn clicks(range: Range<u64>) -> Vec<Bytes> {
    range.map(click).collect()
}

/// The clicks of a log, without their numbers.
pub(super) fn contents(left: &Left) -> Vec<Bytes> {
    left.clicks.iter().map(|(_, click)| click.clone()).collect()
}

/// A log of some blocks in a file.
struct Small {
    path: PathBuf,
    blocks: usize,
    _folder: TempDir,
}

impl Small {
    fn of(blocks: usize) -> Self {
        let folder = TempDir::new().unwrap();
        Self { path: folder.path().join("wal"), blocks, _folder: folder }
    }

    fn open(&self) -> (Ring<fs::File>, Left) {
        Ring::on(own_file::open(&self.path).unwrap(), self.blocks * BLOCK).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    /// Blocks with text of a click, which is one letter many times.
    fn blocks_with_text(&self) -> usize {
        let is_text =
            |bytes: &[u8]| bytes[0].is_ascii_lowercase() && bytes.iter().all(|byte| *byte == bytes[0]);
        self.bytes().chunks(BLOCK).filter(|block| block.windows(60).any(is_text)).count()
    }
}

#[test]
fn clicks_that_are_not_acknowledged_come_back_in_order_with_their_numbers() {
    let log = Small::of(64);
    let (mut ring, left) = log.open();
    assert_eq!(left, Left::default());
    let first = ring.append(clicks(0..3).iter(), 0).unwrap().unwrap();
    assert_eq!(ring.append(clicks(3..4).iter(), 0).unwrap(), Some(first + 3));
    assert_eq!(ring.append(clicks(4..9).iter(), first + 2).unwrap(), Some(first + 4));
    drop(ring);
    let (ring, left) = log.open();
    assert_eq!(contents(&left), clicks(2..9));
    let numbers: Vec<_> = left.clicks.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, Vec::from_iter(first + 2..first + 9));
    assert_eq!((left.missing, ring.mark(), ring.next()), (0, first + 2, first + 9));
}

#[test]
fn it_goes_on_where_it_was_and_numbers_only_grow() {
    let log = Small::of(16);
    let mut last = None;
    for round in 0..50 {
        let (mut ring, left) = log.open();
        assert!(Some(ring.next()) > last, "{round}");
        assert_eq!(contents(&left), clicks(round.max(1) - 1..round));
        // The one that is left is acknowledged, and this one is not.
        last = ring.append(clicks(round..round + 1).iter(), ring.next()).unwrap();
    }
}

#[test]
fn a_full_log_takes_nothing_and_room_comes_with_acknowledgements() {
    let log = Small::of(9);
    let (mut ring, _) = log.open();
    // Two blocks each, and one is kept for the mark.
    let two_blocks = [Bytes::from(vec![b'x'; BLOCK])];
    let first = ring.append(two_blocks.iter(), 0).unwrap().unwrap();
    let mut taken = 1;
    while ring.append(two_blocks.iter(), 0).unwrap().is_some() {
        taken += 1;
    }
    assert_eq!(taken, 3);
    for round in 0..40 {
        assert_eq!(ring.append(two_blocks.iter(), first + round).unwrap(), None, "{round}");
        // An acknowledgement of one makes room for one, or for more where the end of the file was in the way.
        let mut more = 0;
        while ring.append(two_blocks.iter(), first + round + 1).unwrap().is_some() {
            more += 1;
        }
        taken += more;
        assert!(taken - round > 2, "{round}");
    }
    drop(ring);
    assert_eq!(log.open().1.clicks.len() as u64, taken - 40);
    assert_eq!(log.bytes().len(), 9 * BLOCK, "it has not grown");
}

#[test]
fn what_is_acknowledged_is_wiped() {
    let log = Small::of(16);
    let (mut ring, _) = log.open();
    for round in 0..30 {
        let first = ring.append(clicks(round..round + 2).iter(), ring.next()).unwrap().unwrap();
        ring.wipe(first + 1, usize::MAX).unwrap();
        assert!(log.blocks_with_text() > 0, "one of them is not acknowledged");
        ring.wipe(first + 2, usize::MAX).unwrap();
        assert_eq!(log.blocks_with_text(), 0, "{round}");
    }
    drop(ring);
    let (_, left) = log.open();
    assert_eq!(left, Left::default());
    assert!(log.bytes()[BLOCK..].iter().all(|byte| *byte == 0), "the mark goes when it is opened");
}

#[test]
fn wiping_goes_by_parts() {
    let log = Small::of(64);
    let (mut ring, _) = log.open();
    for _ in 0..20 {
        ring.append([Bytes::from(vec![b'a'; 300])].iter(), 0).unwrap().unwrap();
    }
    for left in [20, 15, 10, 5, 0, 0] {
        assert_eq!(log.blocks_with_text(), left);
        ring.wipe(ring.next(), 5 * BLOCK).unwrap();
    }
}

#[test]
fn damage_costs_a_frame_and_is_told() {
    let log = Small::of(64);
    let (mut ring, _) = log.open();
    for number in 0..5 {
        ring.append(clicks(number * 2..number * 2 + 2).iter(), 0).unwrap().unwrap();
    }
    drop(ring);
    let mut bytes = log.bytes();
    let frames = bytes.chunks(BLOCK).enumerate().filter(|(_, block)| block.starts_with(&MAGIC));
    let third = frames.map(|(number, _)| number).nth(2).unwrap();
    bytes[third * BLOCK + HEADER + 20] ^= 1;
    fs::write(&log.path, bytes).unwrap();
    let (mut ring, left) = log.open();
    assert_eq!(contents(&left), [clicks(0..4), clicks(6..10)].concat());
    assert_eq!(left.missing, 2);
    assert!(ring.append(clicks(10..11).iter(), 0).unwrap().is_some());
}

#[test]
fn a_file_is_one_servers_and_nothing_else() {
    let log = Small::of(16);
    let open = log.open();
    assert!(matches!(Ring::open(&log.path), Err(Error::Own(own_file::Error::InUse))));
    drop(open);
    fs::write(&log.path, "a letter").unwrap();
    assert!(matches!(Ring::open(&log.path), Err(Error::Foreign)));
    assert!(log.bytes() == b"a letter", "it was written to");
    // Whoever began it died before it was whole.
    fs::write(&log.path, [0; 700]).unwrap();
    let (ring, left) = Ring::open(&log.path).unwrap();
    assert_eq!(left, Left::default());
    drop(ring);
    let bytes = log.bytes();
    assert_eq!(bytes.len(), CAPACITY);
    assert!(bytes.starts_with(SIGNATURE) && bytes[BLOCK..].iter().all(|byte| *byte == 0));
}
