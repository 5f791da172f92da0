//! Output for the user: progress, a line a step, with the time since the start.

use std::io::Write;
use std::time::Instant;

/// A long task.
pub(crate) struct Steps {
    started: Instant,
}

impl Steps {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn say(&self, step: &str) {
        print(&format!("[{:>6.1} s] {step}", self.started.elapsed().as_secs_f64()));
    }
}

/// Prints a line. A reader that has gone, such as `head`, is no reason to stop.
pub(crate) fn print(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}
