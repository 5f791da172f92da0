//! `cargo xtask down`: stops a running `up`, in the foreground or detached, and nothing else.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::deployment::Deployment;
use crate::interrupt::terminate;
use crate::steps::print;

/// Time that is longer than all programs and servers together may take to stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(180);

pub(crate) fn run(deployment: &Deployment) -> Result<()> {
    let Some(pid) = deployment.holder()? else {
        print("Nothing runs.");
        return Ok(());
    };
    print(&format!("Stopping process {pid} and what it started"));
    terminate(pid)?;
    let give_up = Instant::now() + STOPPED_WITHIN;
    while deployment.holder()? == Some(pid) {
        if Instant::now() > give_up {
            bail!("process {pid} still runs after {} s", STOPPED_WITHIN.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
    print("Stopped.");
    Ok(())
}
