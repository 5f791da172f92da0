//! A disk that loses its power: what was synced is there afterwards, of everything else any part.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use redb::StorageBackend;

use super::{
    Store,
    tests::{contents, waiting},
};

/// Bytes that a disk writes at once.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug, Default)]
pub(in crate::intake::spool) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// Contents as they are read.
    current: Vec<u8>,
    /// Contents that are certain to outlive a power cut, and the changes since.
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    /// Changes and syncs until the power goes; `None`: it stays.
    powered_for: Option<u32>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl Disk {
    fn holding(bytes: Vec<u8>) -> Self {
        let platter = Platter { current: bytes.clone(), synced: bytes, ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    /// Gives power for so many changes and syncs from now on; `None`: for ever.
    pub(in crate::intake::spool) fn power(&self, powered_for: Option<u32>) {
        self.platter().powered_for = powered_for;
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut platter = self.platter();
        platter.use_power()?;
        change.apply(&mut platter.current);
        platter.unsynced.push(change);
        Ok(())
    }

    /// Returns possible contents after a power cut: any sectors of unsynced writes, and a length that it has had since.
    fn after_the_cut(&self, random: &mut StdRng) -> Vec<u8> {
        let platter = self.platter();
        let mut bytes = platter.synced.clone();
        for change in &platter.unsynced {
            match change {
                Change::Write(offset, data) => {
                    for (number, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                        let offset = offset + number * SECTOR_BYTES;
                        if random.random() && offset < bytes.len() {
                            Change::Write(offset, sector.to_vec()).apply(&mut bytes);
                        }
                    }
                }
                Change::Resize(_) => {
                    if random.random() {
                        change.apply(&mut bytes);
                    }
                }
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => bytes[*offset..offset + data.len()].copy_from_slice(data),
            Self::Resize(length) => bytes.resize(*length, 0),
        }
    }
}

impl Platter {
    fn use_power(&mut self) -> io::Result<()> {
        match &mut self.powered_for {
            Some(0) => Err(io::Error::other("no power")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        out.copy_from_slice(&self.platter().current[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Change::Resize(length as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.platter();
        platter.use_power()?;
        platter.unsynced.clear();
        platter.synced = platter.current.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset as usize, data.to_vec()))
    }
}

proptest! {
    /// Clicks that were taken are there after a power cut at any moment; what was being taken is there whole or not at
    /// all; and the queue works on.
    #[test]
    fn a_power_cut_loses_nothing_that_was_taken(
        steps in prop::collection::vec((0_usize..12, 0_usize..12), 1..20),
        powered_for in 0_u32..200,
        seed: u64,
    ) {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = Disk::default();
        let mut store = Store::on(disk.clone(), 1 << 20).unwrap();
        disk.power(Some(powered_for));
        let (mut taken, mut attempted) = (Vec::new(), Vec::new());
        let mut next = 0;
        for (adds, removes) in steps {
            let added: Vec<_> = (next..next + adds as u128).map(waiting).collect();
            next += adds as u128;
            let Ok(oldest) = store.oldest(removes) else { break };
            let removed: Vec<_> = oldest.iter().map(|(number, _)| *number).collect();
            attempted = taken[removed.len()..].to_vec();
            attempted.extend_from_slice(&added);
            if store.commit(&removed, &added).is_err() {
                break;
            }
            taken = attempted.clone();
        }
        let left = disk.after_the_cut(&mut random);
        drop(store);
        let mut store = Store::on(Disk::holding(left), 1 << 20).unwrap();
        let found = contents(&store);
        prop_assert!(found == taken || found == attempted);
        prop_assert_eq!(store.clicks(), found.len() as u64);
        prop_assert_eq!(store.commit(&[], &[waiting(next)]).unwrap(), 1);
        prop_assert_eq!(contents(&store).pop(), Some(waiting(next)));
    }
}
