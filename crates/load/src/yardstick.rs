//! A fixed piece of work, for comparison: the same commit takes 42 µs a click on one day and 82 on another, for a
//! virtual machine's cores are shared, and so is its disk.

use std::{
    fs::File,
    hint::black_box,
    io::{Seek as _, Write as _},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;

/// Options: the folder to write to.
#[derive(Args)]
pub struct Options {
    /// The folder whose disk is measured; the system's for temporary files if it is left out.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Numbers that a piece of work walks through: more than the caches of a core hold, as indexes and buffers are.
const NUMBERS: usize = 4 << 20;

/// Steps of a piece of work; each depends on the one before.
const STEPS: u32 = 5_000_000;

/// Blocks that are written and synced, and the bytes of each.
const WRITES: usize = 200;
const BLOCK: usize = 4_096;

/// Measures and prints one line of JSON: milliseconds of one core for a piece of work, alone and while all cores do the
/// same, and milliseconds in which a block is on the disk, the median.
#[expect(clippy::print_stdout, reason = "its result")]
pub fn run(options: &Options) -> anyhow::Result<()> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let alone = at_once(1)?;
    let together = at_once(cores)?;
    let folder = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    let write = synced_write(&folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let said = json!({ "core_ms": ms(alone), "cores": cores, "cores_ms": ms(together), "synced_write_ms": ms(write) });
    println!("{said}");
    Ok(())
}

/// The time of the slowest of so many threads.
fn at_once(threads: usize) -> anyhow::Result<Duration> {
    let workers: Vec<_> = (0..threads).map(|_| thread::spawn(work)).collect();
    let times = workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a thread has failed")));
    let times: Vec<Duration> = times.collect::<Result<_, _>>()?;
    Ok(times.into_iter().max().unwrap_or_default())
}

/// Arithmetic and reads from memory in turn: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
/// Generators, 2014), each step from where the number before points to.
fn work() -> Duration {
    let numbers: Vec<u64> = (0..NUMBERS as u64).collect();
    let started = Instant::now();
    let mut state = 1_u64;
    for _ in 0..STEPS {
        state = state.wrapping_add(numbers[state as usize % NUMBERS]).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    black_box(state);
    started.elapsed()
}

/// The median time in which a block that overwrites another is on the disk, as a log's is.
fn synced_write(folder: &std::path::Path) -> anyhow::Result<Duration> {
    let path = folder.join(format!("clickwire-yardstick-{}", std::process::id()));
    let times = (|| {
        let mut file = File::create_new(&path)?;
        file.write_all(&vec![0; BLOCK * WRITES])?;
        file.sync_all()?;
        file.rewind()?;
        let mut times = Vec::with_capacity(WRITES);
        for number in 0..WRITES {
            let started = Instant::now();
            file.write_all(&[number as u8; BLOCK])?;
            file.sync_data()?;
            times.push(started.elapsed());
        }
        std::io::Result::Ok(times)
    })();
    let removed = std::fs::remove_file(&path);
    let mut times = times?;
    removed?;
    times.sort_unstable();
    Ok(times[WRITES / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_written_and_nothing_stays() {
        let folder = tempfile::TempDir::new().unwrap();
        assert!(synced_write(folder.path()).unwrap() > Duration::ZERO);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(synced_write(&folder.path().join("none")).is_err());
    }
}
