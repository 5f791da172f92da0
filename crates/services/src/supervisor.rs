//! Child processes that never outlive us, without unsafe code.
//!
//! A small `sh` in a process group of its own (so that a terminal's Ctrl-C doesn't reach it) is the
//! parent of every server and reads orders from a pipe. The kernel closes that pipe when we end, be
//! it by SIGKILL: the shell then stops the servers, last started first, and removes the temporary
//! folder. The promise: after [`Supervisor::stop`], or a while after our death, nothing is left.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Account, Error};

const SCRIPT: &str = include_str!("supervisor.sh");

/// Command that reads the script from the environment, which keeps it out of everybody's list of processes.
const START: &str = r#"script=$CLICKWIRE_SUPERVISOR; unset CLICKWIRE_SUPERVISOR; eval "$script""#;

/// A program to run under a [`Supervisor`].
#[derive(Clone, Debug)]
pub struct Program {
    /// The name in orders and messages: lowercase letters only.
    pub name: &'static str,
    /// Signal that stops it gracefully, without `SIG`.
    pub stop_signal: &'static str,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables added to our own environment.
    pub env: Vec<(OsString, OsString)>,
    /// File that its output is appended to.
    pub log: PathBuf,
}

/// A running supervisor. Dropping it stops everything it started.
#[derive(Debug)]
pub struct Supervisor {
    pipes: Mutex<Pipes>,
}

#[derive(Debug)]
struct Pipes {
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Starts a supervisor, as `account` if one is given; its own rare complaints go to `log`, and
    /// `remove` is the folder to delete after everything has stopped.
    pub fn start(log: &Path, remove: Option<&Path>, account: Option<&Account>) -> Result<Self, Error> {
        let complaints = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::io(|| format!("cannot write {}", log.display())))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", START, "clickwire-supervisor"])
            .env("CLICKWIRE_SUPERVISOR", SCRIPT)
            .arg(remove.map_or(OsStr::new(""), Path::as_os_str))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints);
        if let Some(account) = account {
            account.apply(&mut command);
        }
        let mut shell = command.spawn().map_err(Error::io(|| "cannot run sh".to_owned()))?;
        let (Some(orders), Some(answers)) = (shell.stdin.take(), shell.stdout.take()) else {
            return Err(Error::SupervisorGone);
        };
        let pipes = Pipes { shell, orders: Some(orders), answers: BufReader::new(answers) };
        Ok(Self { pipes: Mutex::new(pipes) })
    }

    /// Starts a program and returns its process id. It may still fail right afterwards: see [`alive`].
    pub fn spawn(&self, program: &Program) -> Result<u32, Error> {
        let mut order = Vec::new();
        order.extend_from_slice(format!("start {} {} ", program.name, program.stop_signal).as_bytes());
        for (name, value) in &program.env {
            order.extend_from_slice(b"export ");
            order.extend_from_slice(name.as_bytes());
            order.push(b'=');
            quote(value, &mut order);
            order.extend_from_slice(b"; ");
        }
        order.extend_from_slice(b"exec ");
        quote(program.path.as_os_str(), &mut order);
        for arg in &program.args {
            order.push(b' ');
            quote(arg, &mut order);
        }
        order.extend_from_slice(b" </dev/null >>");
        quote(program.log.as_os_str(), &mut order);
        order.extend_from_slice(b" 2>&1");
        self.order(&order)
    }

    /// Sends a signal (its name without `SIG`), waits until the program has ended and returns the
    /// exit status as shells put it: 128 + n for an end by signal n. After 30 s it is killed.
    pub fn halt(&self, name: &'static str, signal: &str) -> Result<u32, Error> {
        self.order(format!("halt {name} {signal}").as_bytes())
    }

    /// Stops everything, last started first, and returns when it is done.
    pub fn stop(&self) {
        let mut pipes = self.lock();
        pipes.orders = None;
        // Waiting fails only if somebody else has reaped the shell: it is gone then, too.
        drop(pipes.shell.wait());
    }

    fn order(&self, order: &[u8]) -> Result<u32, Error> {
        if order.contains(&b'\n') {
            return Err(Error::LineBreak);
        }
        let mut line = order.to_vec();
        line.push(b'\n');
        let mut answer = String::new();
        let mut pipes = self.lock();
        let orders = pipes.orders.as_mut().ok_or(Error::SupervisorGone)?;
        orders.write_all(&line).map_err(|_| Error::SupervisorGone)?;
        pipes.answers.read_line(&mut answer).map_err(|_| Error::SupervisorGone)?;
        answer.trim().parse().map_err(|_| Error::SupervisorGone)
    }

    fn lock(&self) -> MutexGuard<'_, Pipes> {
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns whether a process runs: it exists and is more than a zombie that waits to be reaped.
pub fn alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the program's name, which may itself contain anything, in parentheses.
    !matches!(stat.rsplit(") ").next().and_then(|rest| rest.chars().next()), None | Some('Z' | 'X'))
}

/// Appends `word` so that a shell reads exactly it.
fn quote(word: &OsStr, to: &mut Vec<u8>) {
    to.push(b'\'');
    for &byte in word.as_bytes() {
        if byte == b'\'' {
            to.extend_from_slice(b"'\\''");
        } else {
            to.push(byte);
        }
    }
    to.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_survives_the_shell() {
        let word = r#"it's $HOME `x` "y" \ *"#;
        let mut script = b"printf %s ".to_vec();
        quote(OsStr::new(word), &mut script);
        let output = Command::new("sh").arg("-c").arg(OsStr::from_bytes(&script)).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
    }

    #[test]
    fn a_process_that_has_been_reaped_is_not_alive() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(alive(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!alive(child.id()));
    }
}
