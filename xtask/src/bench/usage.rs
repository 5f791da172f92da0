//! Resources that processes have used, as the kernel counts them, and the machine.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::workspace::release_program;

/// User and system time of a process, of its children, and of children that it has waited for
/// (proc(5), /proc/pid/stat).
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let ticks_a_second = rustix::param::clock_ticks_per_second() as f64;
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")? {
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(") ") else { continue };
        let own: u32 = head.split(' ').next().unwrap_or_default().parse().unwrap_or_default();
        let fields: Vec<&str> = tail.split(' ').collect();
        let number =
            |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let is_child = number(4) == u64::from(pid);
        if own == pid {
            ticks += number(14) + number(15) + number(16) + number(17);
        } else if is_child {
            ticks += number(14) + number(15);
        }
    }
    Ok(ticks as f64 / ticks_a_second)
}

/// Time that all of the machine's cores were not idle, or were kept from us by the hypervisor
/// (proc(5), /proc/stat).
pub(super) fn busy_seconds() -> Result<f64> {
    let ticks_a_second = rustix::param::clock_ticks_per_second() as f64;
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: Vec<f64> = all.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    match ticks[..] {
        [user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen, ..] => {
            Ok((user + nice + system + interrupts + soft_interrupts + stolen) / ticks_a_second)
        }
        _ => bail!("the kernel does not say how busy the machine was"),
    }
}

/// The most memory that a process has held at a time, in MiB (proc(5), `VmHWM`).
pub(super) fn peak_memory_mib(pid: u32) -> Result<f64> {
    memory_mib(pid, "VmHWM:")
}

/// The memory that a process holds, in MiB (proc(5), `VmRSS`), and from here on its peak.
pub(super) fn memory_mib_from_here(pid: u32) -> Result<f64> {
    // 5: the peak becomes what is held now.
    fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    memory_mib(pid, "VmRSS:")
}

fn memory_mib(pid: u32, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    let kib: f64 = kib.context("the kernel does not say how much memory was used")?.parse()?;
    Ok(kib / 1024.0)
}

/// The time that a fixed piece of work takes (`clickwire-load yardstick`).
#[derive(serde::Deserialize)]
struct Yardstick {
    core_ms: f64,
    cores_ms: f64,
    synced_write_ms: f64,
}

/// The machine, and what it is worth just now: figures of another day are to be read beside its yardstick of then.
pub(super) fn machine() -> Result<String> {
    let told = Command::new(release_program("clickwire-load")?).arg("yardstick").output()?;
    if !told.status.success() {
        bail!("no yardstick: {}", String::from_utf8_lossy(&told.stderr));
    }
    let Yardstick { core_ms, cores_ms, synced_write_ms } = serde_json::from_slice(&told.stdout)?;
    Ok(format!(
        "{}; yardstick: {core_ms:.0} ms on one core, {cores_ms:.0} on all at once, {synced_write_ms:.2} ms a synced write",
        model()
    ))
}

fn model() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{cores} cores of {}", model.trim_start_matches([' ', '\t', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_with_its_memory() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).unwrap() >= 0.0);
        assert!(peak_memory_mib(pid).unwrap() > 0.1);
        assert!(busy_seconds().unwrap() > 0.0);
    }
}
