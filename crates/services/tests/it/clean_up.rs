//! No process and no folder is left, whichever way the process that started them ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clickwire_services::{Options, Services, alive};

/// Set in a child process of this test program, which then only starts servers and waits.
const VICTIM: &str = "CLICKWIRE_TEST_VICTIM";

#[test]
fn stopping_leaves_no_process_and_no_folder() -> Result<()> {
    let services = Services::start(&Options::temporary(), &|_| ())?;
    let (pids, folder) = traces(&services)?;
    assert!(folder.exists() && pids.iter().all(|&pid| alive(pid)));
    services.stop();
    assert!(!folder.exists() && !pids.iter().any(|&pid| alive(pid)));
    Ok(())
}

#[test]
fn sigkill_leaves_no_process_and_no_folder() -> Result<()> {
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "--nocapture", "clean_up::victim"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(victim.stdout.take().context("no output")?).lines();
    let mut pids = Vec::new();
    let mut folder = PathBuf::new();
    for line in lines {
        let line = line?;
        if let Some((_, pid)) = line.split_once("pid=") {
            pids.push(pid.parse()?);
        } else if let Some((_, path)) = line.split_once("folder=") {
            folder = path.into();
            break;
        }
    }
    assert_eq!(pids.len(), 3);
    assert!(folder.exists() && pids.iter().all(|&pid| alive(pid)));

    victim.kill()?;
    victim.wait()?;

    let give_up = Instant::now() + Duration::from_secs(30);
    while folder.exists() || pids.iter().any(|&pid| alive(pid)) {
        ensure!(Instant::now() < give_up, "still there: {} or one of {pids:?}", folder.display());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The process that [`sigkill_leaves_no_process_and_no_folder`] kills; not a test by itself.
#[test]
fn victim() -> Result<()> {
    if std::env::var_os(VICTIM).is_none() {
        return Ok(());
    }
    let services = Services::start(&Options::temporary(), &|_| ())?;
    let (pids, folder) = traces(&services)?;
    for pid in pids {
        println!("\npid={pid}");
    }
    println!("folder={}", folder.display());
    loop {
        thread::park();
    }
}

/// The processes of the servers, and the folder they keep their data in.
fn traces(services: &Services) -> Result<(Vec<u32>, PathBuf)> {
    let pids = services.pids();
    let pids: Vec<u32> = [pids.nats, pids.redis, pids.database].into_iter().flatten().collect();
    let data = services.psql("clickwire", "SHOW data_directory")?;
    Ok((pids, Path::new(&data).parent().context("no folder")?.to_owned()))
}
