//! `up --detach`: the same `up` in the background. This process only shows what that one writes, and
//! leaves when it is ready.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::deployment::Deployment;
use crate::interrupt::{Interrupt, Interrupted, terminate};

pub(crate) fn run(deployment: &Deployment, interrupt: &Interrupt) -> Result<()> {
    if deployment.holder()?.is_some() {
        bail!(super::already_running(deployment));
    }
    // Not among the other logs: `--fresh` deletes those while this one is written.
    let path = deployment.detached_log();
    let log = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        // The link that is printed holds a token.
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let mut background = Command::new(std::env::current_exe().context("cannot find our own program")?)
        .args(std::env::args_os().skip(1).filter(|argument| argument != "--detach"))
        // Ctrl-C and the end of the terminal are not meant for it.
        .process_group(0)
        .stdin(Stdio::null())
        .stderr(log.try_clone()?)
        .stdout(log)
        .spawn()
        .context("cannot run ourselves in the background")?;
    let mut shown = File::open(&path)?;
    loop {
        let ended = background.try_wait()?;
        let is_ready = deployment.holder()? == Some(background.id()) && deployment.status()?.is_some();
        show(&mut shown)?;
        if let Some(status) = ended {
            bail!("starting failed ({status}); see {}", path.display());
        }
        if is_ready {
            return Ok(());
        }
        if interrupt.is_raised() {
            terminate(background.id())?;
            background.wait()?;
            show(&mut shown)?;
            return Err(Interrupted.into());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn show(log: &mut File) -> Result<()> {
    let mut news = Vec::new();
    log.read_to_end(&mut news)?;
    let mut output = std::io::stdout().lock();
    output.write_all(&news)?;
    output.flush()?;
    Ok(())
}
