//! The processes of a cluster, by their numbers.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Result, ensure};
use clickwire_services::{Program, Supervisor};

/// Processes of a cluster; they end with this.
pub struct Nodes {
    nodes: Vec<Node>,
    supervisor: Supervisor,
}

struct Node {
    program: Program,
    pid: AtomicU32,
}

impl Nodes {
    pub(crate) fn of(supervisor: Supervisor) -> Self {
        Self { nodes: Vec::new(), supervisor }
    }

    /// Starts another one.
    pub(crate) fn start(&mut self, program: Program) -> Result<()> {
        let pid = AtomicU32::new(self.supervisor.spawn(&program)?);
        self.nodes.push(Node { program, pid });
        Ok(())
    }

    /// Ends one as a crash would.
    pub fn kill(&self, node: usize) -> Result<()> {
        self.end(node, "KILL")
    }

    /// Starts one again that has ended, with its files, and does not wait for it.
    pub fn revive(&self, node: usize) -> Result<()> {
        let Node { program, pid } = &self.nodes[node];
        pid.store(self.supervisor.spawn(program)?, Ordering::Relaxed);
        Ok(())
    }

    /// Ends one as an upgrade would, and starts it again.
    pub fn restart(&self, node: usize) -> Result<()> {
        self.end(node, "TERM")?;
        self.revive(node)
    }

    /// Stops one in its tracks until the value is dropped: its connections stay open, and nothing is answered.
    pub fn freeze(&self, node: usize) -> Result<Frozen> {
        let pid = self.nodes[node].pid.load(Ordering::Relaxed);
        signal(pid, "STOP")?;
        Ok(Frozen(pid))
    }

    fn end(&self, node: usize, signal: &str) -> Result<()> {
        self.supervisor.halt(self.nodes[node].program.name, signal)?;
        Ok(())
    }
}

/// A process that does not run; it goes on when this is dropped.
pub struct Frozen(u32);

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Err(error) = signal(self.0, "CONT") {
            eprintln!("a process stays frozen: {error:#}");
        }
    }
}

fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status()?;
    ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}
