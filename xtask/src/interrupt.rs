//! Ctrl-C and SIGTERM: the first asks for an orderly stop, a second one ends us at once (and the
//! supervisors of what we started notice that).

use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};

pub(crate) const POLL_EVERY: Duration = Duration::from_millis(50);

/// The user's wish to stop.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

/// The error of a step that was given up because the user wanted so.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

impl Interrupt {
    /// Notes signals from now on, instead of letting them end the process.
    pub(crate) fn listen() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag down, and only then raises it.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
                .context("cannot listen to signals")?;
        }
        Ok(Self(flag))
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns `Err(Interrupted)` once the user wants us to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_raised() { Err(Interrupted.into()) } else { Ok(()) }
    }

    /// Runs a command to its end, or ends it on a signal.
    pub(crate) fn run(&self, command: &mut Command) -> Result<ExitStatus> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
        loop {
            if let Some(status) = child.try_wait()? {
                self.check()?;
                return Ok(status);
            }
            if self.is_raised() {
                terminate(child.id())?;
                child.wait()?;
                return Err(Interrupted.into());
            }
            thread::sleep(POLL_EVERY);
        }
    }
}

/// Asks a process to end; one that is gone already is fine.
pub(crate) fn terminate(pid: u32) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("not a process id")?;
    match kill_process(pid, Signal::TERM) {
        Err(error) if error != rustix::io::Errno::SRCH => Err(error).context("cannot send SIGTERM"),
        _ => Ok(()),
    }
}
