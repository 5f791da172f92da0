//! Instructions of pure parts of a click's way, counted by callgrind: the same on a busy machine as on an idle one, so
//! that what creeps in is seen where times would not tell.
//!
//! A part is a function `counted_…` of a package's unit tests, called by one of them; only what runs inside of it is
//! counted. The builds are those of the tests (`[profile.dev]`), so a count is to be compared with none but its own of
//! an earlier commit.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::suite::Suite;
use crate::interrupt::Interrupt;
use crate::steps::print;
use crate::workspace;

/// The difference from what was recorded that is taken to be the compiler's: how it cuts a crate into parts depends on
/// where it is built.
const TOLERANCE_PERCENT: u64 = 10;

/// The compiler whose code was counted when the counts were recorded. Another one's is not compared.
const RECORDED_OF: &str = "rustc 1.95.0 on x86_64";

/// A part that is counted.
struct Part {
    /// The program of tests, by package and target.
    program: &'static str,
    /// The test that calls `counted_…`, by its whole name.
    test: &'static str,
    /// The name behind `counted_`.
    name: &'static str,
    /// What it is done for, and how often a test does it.
    unit: (&'static str, u64),
    /// Instructions a unit when it was recorded.
    recorded: u64,
}

const PARTS: [Part; 6] = [
    Part {
        program: "protocol: clickwire_protocol",
        test: "click::instructions::clicks_are_parsed",
        name: "parse",
        unit: ("posted click read and checked", 100),
        recorded: 62_900,
    },
    Part {
        program: "protocol: clickwire_protocol",
        test: "click::instructions::clicks_are_written",
        name: "write",
        unit: ("click written for the stream", 100),
        recorded: 11_100,
    },
    Part {
        program: "protocol: clickwire_protocol",
        test: "click::instructions::clicks_are_read",
        name: "read",
        unit: ("click read from the stream", 100),
        recorded: 12_800,
    },
    Part {
        program: "ledger: clickwire_ledger",
        test: "judge::instructions::clicks_are_judged",
        name: "judge",
        unit: ("click judged by itself", 100),
        recorded: 3_360,
    },
    Part {
        program: "uniques: clickwire_uniques",
        test: "tests::a_batch_is_added_to_what_is_stored",
        name: "sketch",
        unit: ("user added to a stored sketch, of a hundred", 100),
        recorded: 2_980,
    },
    Part {
        program: "server: clickwire_server",
        test: "live::feed::view::instructions::sessions_are_told",
        name: "frames",
        unit: ("tick of a view with 20 clicks and 10 sessions", 100),
        recorded: 4_011_000,
    },
];

/// Counts all parts, in the programs of a suite; an error if one of them differs from what was recorded.
pub(super) fn check(suite: &Suite<'_>, interrupt: &Interrupt) -> Result<()> {
    let mut others = Vec::new();
    print("  instructions  recorded  for each");
    for part in &PARTS {
        let path = suite.program(part.program).with_context(|| format!("no program {:?}", part.program))?;
        let (what, times) = part.unit;
        let count = counted(path, part);
        // Ctrl-C ends valgrind, too.
        interrupt.check()?;
        let count = count? / times;
        print(&format!("{count:>14}{:>10}  {what} ({})", part.recorded, part.name));
        if count.abs_diff(part.recorded) * 100 > part.recorded * TOLERANCE_PERCENT {
            others.push(part.name);
        }
    }
    let compiler = compiler()?;
    if compiler != RECORDED_OF {
        print(&format!("Recorded of {RECORDED_OF}, counted of {compiler}: not compared"));
    } else if !others.is_empty() {
        bail!(
            "instructions differ from what was recorded by over {TOLERANCE_PERCENT} %: {}. Where that is wanted, record \
             the new counts in xtask/src/test/instructions.rs",
            others.join(", ")
        );
    }
    Ok(())
}

/// The compiler, and what it compiles for.
fn compiler() -> Result<String> {
    let output = Command::new("rustc").arg("--version").current_dir(workspace::root()).output();
    let output = output.context("cannot run rustc")?;
    let version = String::from_utf8_lossy(&output.stdout);
    let version = version.split_once(" (").map_or(version.trim(), |(version, _)| version);
    Ok(format!("{version} on {}", std::env::consts::ARCH))
}

/// Runs the part's test under callgrind.
fn counted(program: &Path, part: &Part) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        // No `*` behind it: a closure within would end the counting where it begins.
        .arg(format!("--toggle-collect=*::counted_{}", part.name))
        .arg(program)
        .args(["--exact", part.test, "--test-threads=1"])
        .output()
        .context("cannot run valgrind: install Debian's package of that name")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{} under valgrind: {}{said}", part.test, String::from_utf8_lossy(&output.stdout));
    }
    match collected(&said) {
        // So little is a test that was not found, or a function that was inlined.
        Some(count) if count > part.unit.1 => Ok(count),
        _ => bail!("callgrind has counted nothing in counted_{}, of {}: {said}", part.name, part.test),
    }
}

/// Reads callgrind's line `==123== Collected : 456`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_what_callgrind_says() {
        let said = "==1== Events    : Ir\n==1== Collected : 8042\n==1== \n";
        assert_eq!(collected(said), Some(8_042));
        assert_eq!(collected("==1== Collected :\n"), None);
    }
}
