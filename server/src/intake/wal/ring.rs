//! The log's file: a ring of frames, each written and brought to the disk at once.
//!
//! A frame begins at a block: a header, then clicks, each behind its length. Clicks have numbers that only grow; the
//! header says the first one's, and up to which the broker had acknowledged them when the frame was written. After a
//! crash every block is looked at: frames whose checksum is right are there, and of their clicks those that the
//! highest such mark does not cover are to be published again.
//!
//! - What [`Ring::append`] has taken is on the disk, whatever becomes of process and machine.
//! - A frame with clicks that are not acknowledged is not written over; without room for another one, nothing is
//!   taken.
//! - Clicks that are acknowledged are wiped ([`Ring::wipe`]).
//!
//! A block is a page of memory and no smaller than what disks write at once, so a frame that is being written when the
//! power goes takes none of its neighbours with it. The newest frame, if it is damaged, can't be told from one that was
//! never whole.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use bytes::Bytes;
use thiserror::Error as ThisError;

use crate::intake::own_file;

/// Size of the file: eight seconds of 10,000 clicks a second.
pub(super) const CAPACITY: usize = 32 << 20;

/// Frames begin at multiples of this.
const BLOCK: usize = 4_096;

/// First bytes of the file, whose first block has nothing else. The last one is the format's version.
const SIGNATURE: &[u8] = b"Clickwire write-ahead log\x00\x01";

/// First bytes of a frame.
const MAGIC: [u8; 4] = *b"CWL\x01";

/// Magic and checksum of the rest; length of what follows, and its clicks; the first one's number, and the mark.
const HEADER: usize = 32;

/// Bytes of zeros that are written at once.
const ZEROS: usize = 64 << 10;

/// The reason why a log can't be opened.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    #[error("there is something else in this file")]
    Foreign,
    #[error(transparent)]
    Own(#[from] own_file::Error),
    #[error(transparent)]
    File(#[from] io::Error),
}

/// The file of a ring, or what stands for it.
pub(super) trait Medium: Send {
    fn contents(&mut self) -> io::Result<Vec<u8>>;
    /// Adds zeros.
    fn grow(&mut self, from: usize, to: usize) -> io::Result<()>;
    fn write(&self, at: usize, bytes: &[u8]) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn contents(&mut self) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        self.read_to_end(&mut contents)?;
        Ok(contents)
    }

    fn grow(&mut self, from: usize, to: usize) -> io::Result<()> {
        // Written and not merely reserved: a sync of what has its place already changes nothing else.
        for at in (from..to).step_by(ZEROS) {
            self.write_all_at(&[0; ZEROS][..ZEROS.min(to - at)], at as u64)?;
        }
        self.sync_all()
    }

    fn write(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at as u64)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The log, open.
pub(super) struct Ring<M> {
    medium: M,
    capacity: usize,
    /// The place of the next frame, if it fits there.
    head: usize,
    /// The number of the next click.
    next: u64,
    /// Clicks below this are acknowledged.
    mark: u64,
    /// Frames with clicks that no mark on the disk covers, from the oldest on.
    live: VecDeque<Frame>,
    /// Frames with clicks that one covers, from the oldest on.
    stale: VecDeque<Frame>,
    /// Frames that were not written well, and may be there all the same.
    failed: Vec<Frame>,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    at: usize,
    length: usize,
    /// The number behind its last click's.
    end: u64,
}

impl Frame {
    fn overlaps(&self, other: &Self) -> bool {
        self.at < other.at + other.length && other.at < self.at + self.length
    }
}

/// What a log holds that was not closed in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Clicks that the broker may not have, with their numbers, from the oldest on.
    pub(super) clicks: Vec<(u64, Bytes)>,
    /// Clicks between them that can't be read any more.
    pub(super) missing: u64,
}

impl Ring<File> {
    pub(super) fn open(path: &Path) -> Result<(Self, Left), Error> {
        Ring::on(own_file::open(path)?, CAPACITY)
    }
}

impl<M: Medium> Ring<M> {
    /// Opens the log on a medium, which grows to `capacity` bytes if it is smaller.
    pub(super) fn on(mut medium: M, capacity: usize) -> Result<(Self, Left), Error> {
        let contents = medium.contents()?;
        let found = Found::all(&contents)?;
        if contents.len() < capacity {
            medium.grow(contents.len(), capacity)?;
        }
        if !contents.starts_with(SIGNATURE) {
            medium.write(0, SIGNATURE)?;
        }
        // A process that died may have left what is not on the disk yet.
        medium.sync()?;
        let newest = found.iter().max_by_key(|frame| (frame.place.end, frame.mark, frame.first));
        let newest = newest.map(|frame| frame.place);
        let mark = found.iter().map(|frame| frame.mark).max().unwrap_or_default();
        let (mut left, mut live) = (Left::default(), VecDeque::new());
        let mut read_to = mark;
        for frame in &found {
            if frame.place.end > read_to {
                left.missing += frame.first.saturating_sub(read_to);
                left.clicks.extend(frame.clicks().filter(|(number, _)| *number >= read_to));
                read_to = frame.place.end;
                live.push_back(frame.place);
            }
        }
        let head = newest.map_or(BLOCK, |frame| frame.at + frame.length);
        let (next, stale, failed, buffer) = (read_to, VecDeque::new(), Vec::new(), Vec::new());
        let capacity = contents.len().max(capacity) / BLOCK * BLOCK;
        let mut ring = Self { medium, capacity, head, next, mark, live, stale, failed, buffer };
        ring.wipe_around(newest)?;
        if ring.live.is_empty() {
            ring.clear(newest)?;
        }
        Ok((ring, left))
    }

    /// Wipes everything but what is to be published, and the frame with the mark: what is acknowledged, and what is left
    /// of frames that are not whole.
    fn wipe_around(&self, newest: Option<Frame>) -> io::Result<()> {
        let mut kept: Vec<_> = self.live.iter().copied().chain(newest).collect();
        kept.sort_by_key(|frame| frame.at);
        let mut from = BLOCK;
        for frame in kept {
            self.zero(from, frame.at.saturating_sub(from))?;
            from = from.max(frame.at + frame.length);
        }
        self.zero(from, self.capacity.saturating_sub(from))?;
        self.medium.sync()
    }

    /// Empties a ring of which only the mark is left.
    fn clear(&mut self, newest: Option<Frame>) -> io::Result<()> {
        if let Some(newest) = newest {
            self.zero(newest.at, newest.length)?;
            self.medium.sync()?;
        }
        self.head = BLOCK;
        Ok(())
    }

    /// Writes clicks and brings them to the disk; returns the first one's number, or `None` if there is no room for
    /// them. Clicks below `published` are acknowledged.
    ///
    /// After an error nothing was taken, and the next call may do better.
    pub(super) fn append<'a>(
        &mut self,
        clicks: impl ExactSizeIterator<Item = &'a Bytes> + Clone,
        published: u64,
    ) -> io::Result<Option<u64>> {
        self.mark = self.mark.max(published);
        let first = self.next;
        let frame = match self.write(clicks.clone())? {
            Some(frame) => frame,
            // What is acknowledged has room, once the file says that it is.
            None => {
                self.write_mark()?;
                let Some(frame) = self.write(clicks)? else { return Ok(None) };
                frame
            }
        };
        self.next = frame.end;
        self.live.push_back(frame);
        Ok(Some(first))
    }

    /// Writes zeros over some clicks that are acknowledged, up to about this many bytes. The disk may have them later.
    pub(super) fn wipe(&mut self, published: u64, bytes: usize) -> io::Result<()> {
        self.mark = self.mark.max(published);
        self.write_mark()?;
        let mut wiped = 0;
        while wiped < bytes
            && let Some(frame) = self.stale.front()
        {
            self.zero(frame.at, frame.length)?;
            wiped += frame.length;
            self.stale.pop_front();
        }
        Ok(())
    }

    /// Writes the mark, whether or not it is new: the disk works, or does not.
    pub(super) fn try_again(&mut self) -> io::Result<()> {
        self.write([].iter()).map(|_| ())
    }

    /// The number of the next click.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Clicks below this are acknowledged.
    #[cfg(test)]
    fn mark(&self) -> u64 {
        self.mark
    }

    /// Writes the mark by itself if it covers a frame that is not known to be covered.
    fn write_mark(&mut self) -> io::Result<()> {
        if self.live.front().is_some_and(|oldest| oldest.end <= self.mark) {
            self.write([].iter())?;
        }
        Ok(())
    }

    /// Writes a frame and syncs it; `None`: there is no room.
    fn write<'a>(
        &mut self,
        clicks: impl ExactSizeIterator<Item = &'a Bytes> + Clone,
    ) -> io::Result<Option<Frame>> {
        let count = clicks.len();
        let length = HEADER + clicks.clone().map(|click| 4 + click.len()).sum::<usize>();
        let padded = length.next_multiple_of(BLOCK);
        // A frame of clicks leaves room for a mark, without which a full ring would stay full.
        let spare = if count == 0 { 0 } else { BLOCK };
        let Some(at) = self.place(padded + spare) else { return Ok(None) };
        self.buffer.clear();
        self.buffer.extend(MAGIC);
        self.buffer.extend([0; 4]);
        self.buffer.extend(((length - HEADER) as u32).to_le_bytes());
        self.buffer.extend((count as u32).to_le_bytes());
        self.buffer.extend(self.next.to_le_bytes());
        self.buffer.extend(self.mark.to_le_bytes());
        for click in clicks {
            self.buffer.extend((click.len() as u32).to_le_bytes());
            self.buffer.extend_from_slice(click);
        }
        let checksum = crc32fast::hash(&self.buffer[8..]);
        self.buffer[4..8].copy_from_slice(&checksum.to_le_bytes());
        self.buffer.resize(padded, 0);
        // They have the numbers that this one gets: on the disk there is never more than one of them.
        for failed in &self.failed {
            self.zero(failed.at, failed.length)?;
        }
        if !self.failed.is_empty() {
            self.medium.sync()?;
            self.failed.clear();
        }
        if at < self.head {
            // Clicks of the round before, behind the last frame of this one.
            while let Some(frame) = self.stale.front().filter(|frame| frame.at >= self.head) {
                self.zero(frame.at, frame.length)?;
                self.stale.pop_front();
            }
        }
        let frame = Frame { at, length: padded, end: self.next + count as u64 };
        while let Some(over) = self.stale.pop_front_if(|stale| stale.overlaps(&frame)) {
            let (from, to) = (at + padded, over.at + over.length);
            if from < to {
                self.stale.push_front(Frame { at: from, length: to - from, ..over });
            }
        }
        if let Err(error) = self.medium.write(at, &self.buffer).and_then(|()| self.medium.sync()) {
            self.failed.push(frame);
            return Err(error);
        }
        self.head = at + padded;
        // The mark is on the disk.
        while let Some(frame) = self.live.pop_front_if(|frame| frame.end <= self.mark) {
            self.stale.push_back(frame);
        }
        Ok(Some(frame))
    }

    /// A place with room for `length` bytes.
    fn place(&self, length: usize) -> Option<usize> {
        let (head, is_ahead) = (self.head, self.head + length <= self.capacity);
        match self.live.front().map(|oldest| oldest.at) {
            Some(oldest) if oldest >= head => (head + length <= oldest).then_some(head),
            _ if is_ahead => Some(head),
            Some(oldest) => (BLOCK + length <= oldest).then_some(BLOCK),
            None => (BLOCK + length <= self.capacity).then_some(BLOCK),
        }
    }

    fn zero(&self, at: usize, length: usize) -> io::Result<()> {
        let end = at + length;
        for at in (at..end).step_by(ZEROS) {
            self.medium.write(at, &[0; ZEROS][..ZEROS.min(end - at)])?;
        }
        Ok(())
    }
}

/// A frame as it was found in a file.
struct Found<'a> {
    place: Frame,
    first: u64,
    mark: u64,
    clicks: &'a [u8],
}

impl<'a> Found<'a> {
    /// All whole frames, from the oldest on.
    fn all(contents: &'a [u8]) -> Result<Vec<Self>, Error> {
        let sectors = (BLOCK..contents.len()).step_by(BLOCK);
        let mut found: Vec<_> = sectors.filter_map(|at| Self::at(contents, at)).collect();
        let is_new = || contents.iter().all(|byte| *byte == 0);
        if !contents.starts_with(SIGNATURE) && found.is_empty() && !is_new() {
            return Err(Error::Foreign);
        }
        found.sort_by_key(|frame| (frame.place.end, frame.first));
        Ok(found)
    }

    fn at(contents: &'a [u8], at: usize) -> Option<Self> {
        let frame = contents.get(at..)?.strip_prefix(&MAGIC)?;
        let (checksum, rest) = frame.split_first_chunk()?;
        let length = u32::from_le_bytes(*rest.first_chunk()?) as usize;
        let checked = rest.get(..HEADER - 8 + length)?;
        if crc32fast::hash(checked) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let count = u64::from(u32::from_le_bytes(*checked[4..].first_chunk()?));
        let first = u64::from_le_bytes(*checked[8..].first_chunk()?);
        let mark = u64::from_le_bytes(*checked[16..].first_chunk()?);
        let place =
            Frame { at, length: (HEADER + length).next_multiple_of(BLOCK), end: first.checked_add(count)? };
        Some(Self { place, first, mark, clicks: &checked[HEADER - 8..] })
    }

    /// Its clicks with their numbers.
    fn clicks(&self) -> impl Iterator<Item = (u64, Bytes)> + use<'a> {
        let mut rest = self.clicks;
        let clicks = std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk()?;
            let (click, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = behind;
            Some(Bytes::copy_from_slice(click))
        });
        (self.first..).zip(clicks)
    }
}

#[cfg(test)]
mod crash;
#[cfg(test)]
mod tests;
