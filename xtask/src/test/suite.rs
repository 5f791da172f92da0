//! The programs that hold tests: compiled by cargo, run one after the other, with the time that each test takes.
//!
//! A program that passes is told of in a line, and so is each test that takes long; of a program with a test that
//! fails everything is shown.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::interrupt::{Interrupt, POLL_EVERY, terminate};
use crate::steps::{Steps, print};
use crate::workspace;

/// Tests that are listed when all are done.
const SLOWEST: usize = 10;

/// The time from which a test is told of at once, in seconds.
const LONG_SECONDS: f64 = 20.0;

/// Runs tests, and remembers how long each took.
pub(super) struct Suite<'a> {
    steps: &'a Steps,
    interrupt: &'a Interrupt,
    /// The programs that were run or found.
    found: Vec<TestProgram>,
    /// Seconds, and the test's name.
    took: Vec<(f64, String)>,
}

/// The message of cargo about a thing that it has compiled.
#[derive(Deserialize)]
struct Compiled {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// A program with tests.
struct TestProgram {
    name: String,
    /// Its package's folder, in which cargo runs it.
    folder: PathBuf,
    executable: PathBuf,
}

/// A line that the test harness prints about a test that has ended.
#[derive(Debug, PartialEq)]
struct Ended<'a> {
    name: &'a str,
    passed: bool,
    seconds: f64,
}

impl<'a> Suite<'a> {
    pub(super) fn new(steps: &'a Steps, interrupt: &'a Interrupt) -> Self {
        Self { steps, interrupt, found: Vec::new(), took: Vec::new() }
    }

    /// Runs the tests of the targets that cargo is told to select (all, if it is told nothing), or those whose
    /// names contain `name`; returns how many there were.
    pub(super) fn run(&mut self, headline: &str, targets: &[&str], name: Option<&str>) -> Result<usize> {
        self.steps.say(headline);
        let (mut ran, mut failed) = (0, Vec::new());
        for program in self.programs(targets)? {
            self.interrupt.check()?;
            let before = self.took.len();
            if !self.run_program(&program, name)? {
                failed.push(program.name.clone());
            }
            ran += self.took.len() - before;
            self.found.push(program);
        }
        if !failed.is_empty() {
            bail!("tests failed in {}", failed.join(", "));
        }
        Ok(ran)
    }

    /// Lists the tests that took longest.
    pub(super) fn print_slowest(&mut self) {
        self.took.sort_by(|one, other| other.0.total_cmp(&one.0));
        let all: f64 = self.took.iter().map(|(seconds, _)| seconds).sum();
        self.steps.say(&format!("{} tests, {all:.0} s of tests; the slowest:", self.took.len()));
        for (seconds, name) in self.took.iter().take(SLOWEST) {
            print(&format!("{seconds:>12.1} s  {name}"));
        }
    }

    /// Finds the programs of the targets that cargo is told to select, without running them.
    pub(super) fn find(&mut self, targets: &[&str]) -> Result<()> {
        self.found = self.programs(targets)?;
        Ok(())
    }

    /// Returns the program of a package's target, `package: target`, of those that were run or found.
    pub(super) fn program(&self, name: &str) -> Option<&Path> {
        let program = self.found.iter().find(|program| program.name == name)?;
        Some(&program.executable)
    }

    fn programs(&self, targets: &[&str]) -> Result<Vec<TestProgram>> {
        let mut command = workspace::cargo();
        command
            .args(["test", "--quiet", "--no-run", "--message-format=json-render-diagnostics"])
            .args(targets);
        command.env("CARGO_TERM_PROGRESS_WHEN", "never").stderr(Stdio::inherit());
        let output = command.output().context("cannot run cargo")?;
        self.interrupt.check()?;
        if !output.status.success() {
            bail!("the tests don't compile");
        }
        let mut programs = Vec::new();
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{")) {
            let compiled: Compiled = serde_json::from_slice(line).context("what cargo says")?;
            if let Compiled {
                manifest_path: Some(manifest),
                target: Some(target),
                profile: Some(profile),
                executable: Some(executable),
                reason,
            } = compiled
                && reason == "compiler-artifact"
                && profile.test
            {
                let folder = manifest.parent().context("a package without a folder")?.to_owned();
                let package = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                programs.push(TestProgram {
                    name: format!("{package}: {}", target.name),
                    folder,
                    executable,
                });
            }
        }
        Ok(programs)
    }

    /// Runs the tests of a program. Returns whether all of them pass.
    fn run_program(&mut self, program: &TestProgram, name: Option<&str>) -> Result<bool> {
        let mut command = Command::new(&program.executable);
        command.current_dir(&program.folder).env("CARGO_MANIFEST_DIR", &program.folder);
        // The stable harness tells times if it is asked like this.
        command.env("RUSTC_BOOTSTRAP", "1").args(["-Zunstable-options", "--report-time"]).args(name);
        // Tests of the whole start the programs that were built with them.
        command.env("CLICKWIRE_PROGRAMS", workspace::debug_programs()?);
        // Errors say what failed; where they came from is known by their texts.
        command.env("RUST_LIB_BACKTRACE", "0");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let errors = child.stderr.take().context("no standard error")?;
        let errors = std::thread::spawn(move || std::io::read_to_string(errors));
        // Reading does not notice a signal: the program is ended, and with it what there is to read.
        let (interrupt, pid, reading) = (self.interrupt.clone(), child.id(), Arc::new(()));
        let is_reading = Arc::downgrade(&reading);
        std::thread::spawn(move || {
            while is_reading.strong_count() > 0 {
                if interrupt.is_raised() {
                    return terminate(pid);
                }
                std::thread::sleep(POLL_EVERY);
            }
            Ok(())
        });
        let mut said = Vec::new();
        for line in BufReader::new(child.stdout.take().context("no standard output")?).lines() {
            let line = line?;
            if let Some(Ended { name, passed, seconds }) = ended(&line) {
                self.took.push((seconds, format!("{}: {name}", program.name)));
                if seconds >= LONG_SECONDS || !passed {
                    self.steps.say(&line);
                }
            }
            said.push(line);
        }
        drop(reading);
        let passed = child.wait()?.success();
        self.interrupt.check()?;
        let errors = errors.join().ok().and_then(Result::ok).unwrap_or_default();
        match said.iter().find(|line| line.starts_with("test result: ")) {
            Some(result) if passed => {
                if !result.contains(" 0 passed") {
                    self.steps.say(&program.name);
                    print(result);
                }
            }
            _ => {
                said.iter()
                    .filter(|line| ended(line).is_none_or(|ended| !ended.passed))
                    .for_each(|line| print(line));
                print(&errors);
            }
        }
        Ok(passed)
    }
}

/// Reads `test NAME ... ok <1.234s>`.
fn ended(line: &str) -> Option<Ended<'_>> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let (word, seconds) = outcome.split_once(" <")?;
    let seconds = seconds.strip_suffix("s>")?.parse().ok()?;
    Some(Ended { name, passed: word == "ok", seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_which_test_has_ended_and_how_long_it_took() {
        let ended = |line| ended(line).map(|ended| (ended.name, ended.passed, ended.seconds));
        assert_eq!(ended("test a::b ... ok <0.012s>"), Some(("a::b", true, 0.012)));
        assert_eq!(ended("test a ... FAILED <71.500s>"), Some(("a", false, 71.5)));
        for other in ["test result: ok. 3 passed; 0 failed", "running 3 tests", "test a ... ok", ""] {
            assert_eq!(ended(other), None, "{other}");
        }
    }
}
