//! Order, bounds, reopening, damage.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clickwire_protocol::times::UnixMs;
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use super::{Error, PAGE_BYTES, Store, size_bytes};
use crate::intake::spool::Waiting;

/// Room for everything.
const PLENTY: u64 = 1 << 30;

/// The click of this number; they are of several sizes.
pub(super) fn waiting(number: u128) -> Waiting {
    let payload = Bytes::from(vec![number as u8; 200 + (number as usize * 37) % 700]);
    Waiting { click_id: Uuid::from_u128(number + 1), received_at_ms: UnixMs(number as i64), payload }
}

pub(super) fn contents(store: &Store) -> Vec<Waiting> {
    store.oldest(usize::MAX).unwrap().into_iter().map(|(_, click)| click).collect()
}

fn clicks(range: std::ops::Range<u128>) -> Vec<Waiting> {
    range.map(waiting).collect()
}

/// A file with these clicks as a killed process leaves it.
fn killed(folder: &TempDir, clicks: &[Waiting]) -> PathBuf {
    let (path, left) = (folder.path().join("used"), folder.path().join("left"));
    let mut store = Store::open(&path, PLENTY).unwrap();
    for group in clicks.chunks(7) {
        store.commit(&[], group).unwrap();
    }
    fs::copy(path, &left).unwrap();
    left
}

fn set_aside(path: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(path.parent().unwrap()).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.to_string_lossy().contains(".damaged-")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// First in, first out, over restarts, whatever is removed from where.
    #[test]
    fn it_is_a_queue(
        steps in prop::collection::vec((0_usize..30, 0_usize..30, 1_usize..4, any::<bool>()), 1..20)
    ) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("spool");
        let mut store = Store::open(&path, PLENTY).unwrap();
        let (mut expected, mut next): (Vec<Waiting>, u128) = (Vec::new(), 0);
        for (adds, removes, stride, restarts) in steps {
            let added = clicks(next..next + adds as u128);
            next += adds as u128;
            let oldest = store.oldest(removes).unwrap();
            let removed: Vec<_> = oldest.iter().step_by(stride).map(|(number, _)| *number).collect();
            prop_assert_eq!(store.commit(&removed, &added).unwrap(), adds);
            let gone: Vec<_> = oldest.into_iter().step_by(stride).map(|(_, click)| click).collect();
            expected.retain(|click| !gone.contains(click));
            expected.extend(added);
            if restarts {
                drop(store);
                store = Store::open(&path, PLENTY).unwrap();
            }
            prop_assert_eq!(&contents(&store), &expected);
            prop_assert_eq!(store.clicks(), expected.len() as u64);
            prop_assert_eq!(store.bytes(), expected.iter().map(|click| size_bytes(&click.payload)).sum::<u64>());
        }
    }

    /// A damaged file never ends the server: it is opened with what it held, or set aside as it is.
    #[test]
    fn damage_is_found_and_set_aside(at in 0.0..1.0_f64, cuts: bool, byte: u8) {
        let folder = TempDir::new().unwrap();
        let held = clicks(0..50);
        let path = killed(&folder, &held);
        let mut bytes = fs::read(&path).unwrap();
        let at = (bytes.len() as f64 * at) as usize;
        if cuts {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        fs::write(&path, &bytes).unwrap();
        match Store::open(&path, PLENTY) {
            Ok(mut store) => {
                let found = contents(&store);
                let aside = set_aside(&path);
                if found.is_empty() && at >= PAGE_BYTES as usize {
                    prop_assert_eq!(aside.len(), 1);
                    let kept = fs::read(&aside[0]).unwrap();
                    let pages = PAGE_BYTES as usize;
                    // The first page says how it is used, and is written when it is looked at.
                    prop_assert!(kept[pages..] == bytes[pages..kept.len()]);
                }
                prop_assert!(held.starts_with(&found));
                prop_assert_eq!(store.commit(&[], &clicks(50..51)).unwrap(), 1);
            }
            // What makes it a file of ours is gone: it is left as it is.
            Err(Error::Foreign) => prop_assert!(at < PAGE_BYTES as usize),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

#[test]
fn it_takes_what_fits_and_no_more() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("spool");
    let all = clicks(0..100);
    let room: u64 = all[..60].iter().map(|click| size_bytes(&click.payload)).sum();
    let mut store = Store::open(&path, room).unwrap();
    assert_eq!(store.commit(&[], &all[..50]).unwrap(), 50);
    assert_eq!(store.commit(&[], &all[50..]).unwrap(), 10);
    assert_eq!(store.commit(&[], &all[60..]).unwrap(), 0);
    assert!(store.is_full());
    assert_eq!((store.bytes(), contents(&store)), (room, all[..60].to_vec()));
    // What is removed makes room in the same transaction.
    let removed: Vec<_> = store.oldest(2).unwrap().iter().map(|(number, _)| *number).collect();
    assert_eq!(store.commit(&removed, &all[60..61]).unwrap(), 1);
    assert_eq!(contents(&store), all[2..61].to_vec());
}

/// The file stays in proportion to what it may hold, however often it is filled and emptied.
#[test]
fn the_file_stays_small() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("spool");
    let max_bytes = 1 << 20;
    let mut store = Store::open(&path, max_bytes).unwrap();
    for round in 0..5 {
        let from = round * 10_000;
        for number in 0.. {
            let first = from + number * 50;
            if store.commit(&[], &clicks(first..first + 50)).unwrap() < 50 {
                break;
            }
        }
        let size_bytes = fs::metadata(&path).unwrap().len();
        assert!(size_bytes <= 3 * max_bytes, "{size_bytes} bytes for {max_bytes}");
        while store.clicks() > 0 {
            let removed: Vec<_> = store.oldest(128).unwrap().iter().map(|(number, _)| *number).collect();
            store.commit(&removed, &[]).unwrap();
        }
    }
}

/// A file system may leave anything after the last page that was written.
#[test]
fn a_ragged_end_is_cut_off() {
    let folder = TempDir::new().unwrap();
    let held = clicks(0..50);
    for garbage in [1, 700, PAGE_BYTES as usize, 3 * PAGE_BYTES as usize + 17] {
        let path = killed(&folder, &held);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&vec![0xa5; garbage]).unwrap();
        assert_eq!(contents(&Store::open(&path, PLENTY).unwrap()), held, "{garbage}");
        assert!(set_aside(&path).is_empty());
        fs::remove_file(folder.path().join("used")).unwrap();
    }
}

#[test]
fn a_file_that_was_only_begun_is_begun_again() {
    let folder = TempDir::new().unwrap();
    for length in [0, 100, 70_000] {
        let path = folder.path().join(length.to_string());
        fs::write(&path, vec![0; length]).unwrap();
        assert_eq!(Store::open(&path, PLENTY).unwrap().clicks(), 0);
    }
}

#[test]
fn one_process_uses_it_and_files_of_others_are_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("deep").join("spool");
    let first = Store::open(&path, PLENTY).unwrap();
    assert!(matches!(Store::open(&path, PLENTY), Err(Error::InUse)));
    drop(first);
    Store::open(&path, PLENTY).unwrap();

    let letter = folder.path().join("letter");
    fs::write(&letter, "Dear").unwrap();
    assert!(matches!(Store::open(&letter, PLENTY), Err(Error::Foreign)));
    assert_eq!(fs::read(&letter).unwrap(), b"Dear");
}
