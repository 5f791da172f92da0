//! A disk that loses its power: what was synced is there afterwards, of everything else any part.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use rand::{RngExt as _, rngs::StdRng};
use redb::StorageBackend;

/// Bytes that a disk writes at once.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// Contents as they are read.
    current: Vec<u8>,
    /// Contents that are certain to outlive a power cut, and the changes since.
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    /// Changes and syncs until the power goes; `None`: it stays.
    powered_for: Option<u32>,
    /// Bytes that are written at once, or not at all well.
    block: Option<usize>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl Disk {
    /// Writes `bytes` at once from now on, as drives with large sectors and kernels with pages do: whatever is
    /// between two multiples of it is lost when the power goes while a part is being written.
    pub(super) fn tears_blocks_of(&self, bytes: usize) {
        self.platter().block = Some(bytes);
    }

    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        let platter = Platter { current: bytes.clone(), synced: bytes, ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    /// Gives power for so many changes and syncs from now on; `None`: for ever.
    pub(super) fn power(&self, powered_for: Option<u32>) {
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
    pub(super) fn after_the_cut(&self, random: &mut StdRng) -> Vec<u8> {
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
                    if let Some(block) = platter.block
                        && random.random_ratio(1, 4)
                    {
                        let from = offset / block * block;
                        let to = (offset + data.len()).next_multiple_of(block).min(bytes.len());
                        bytes[from..to].fill(0xa5);
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
