//! Cost of the same writes in the kernel: a thread that does nothing but write to sockets, which another process
//! reads.
//!
//! Absolute times hold on one machine at one time only; how many times this a gateway takes holds elsewhere,
//! too.

use std::{
    io::{ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tokio::{io::AsyncReadExt as _, net::TcpListener, process::Command, task::JoinSet};

/// Options: the number of writes and of connections.
#[derive(Args)]
pub struct Options {
    /// Connections.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    connections: u32,
    /// Writes to each of them in a second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Bytes of each write.
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Duration of the measurement, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Be the process that reads: connect to this address so many times, and read until all is over.
    #[arg(long, hide = true)]
    read_from: Option<SocketAddr>,
}

/// Measures and prints one line of JSON.
#[expect(clippy::print_stdout, reason = "its result")]
pub async fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(address) = options.read_from {
        return read(address, options.connections).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut reader = Command::new(std::env::current_exe()?)
        .args(["writes", "--read-from", &listener.local_addr()?.to_string()])
        .args(["--connections", &options.connections.to_string()])
        .kill_on_drop(true)
        .spawn()?;
    let (connections, rounds) = (options.connections, options.rate * options.seconds);
    let (every, bytes) = (Duration::from_secs(1) / options.rate, vec![0; options.bytes]);
    let sockets = tokio::select! {
        sockets = accept(&listener, connections) => sockets?,
        ended = reader.wait() => bail!("the process that reads has ended before it was connected: {}", ended?),
    };
    let (writes, cpu) = tokio::task::spawn_blocking(move || write(sockets, rounds, every, &bytes)).await??;
    ensure!(reader.wait().await?.success(), "the process that reads failed");
    println!("{}", json!({ "writes": writes, "cpu_seconds": cpu.as_secs_f64() }));
    Ok(())
}

async fn accept(listener: &TcpListener, connections: u32) -> std::io::Result<Vec<TcpStream>> {
    let mut sockets = Vec::new();
    for _ in 0..connections {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        sockets.push(socket.into_std()?);
    }
    Ok(sockets)
}

/// Reads from so many connections until each is closed.
async fn read(address: SocketAddr, connections: u32) -> anyhow::Result<()> {
    let mut readers = JoinSet::new();
    for _ in 0..connections {
        let mut socket = tokio::net::TcpStream::connect(address).await?;
        readers.spawn(async move {
            let mut buffer = vec![0; 4 * 1_024];
            while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        });
    }
    while readers.join_next().await.is_some() {}
    Ok(())
}

/// Writes to the sockets; returns the number of writes that were taken, and the CPU time of all.
fn write(
    mut sockets: Vec<TcpStream>,
    rounds: u32,
    every: Duration,
    bytes: &[u8],
) -> anyhow::Result<(u64, Duration)> {
    let (started, before) = (Instant::now(), cpu_time()?);
    let mut writes = 0;
    for round in 1..=rounds {
        for socket in &mut sockets {
            match socket.write(bytes) {
                Ok(_) => writes += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("writing"),
            }
        }
        thread::sleep((started + every * round).saturating_duration_since(Instant::now()));
    }
    Ok((writes, cpu_time()? - before))
}

/// Returns the CPU time of this thread.
fn cpu_time() -> anyhow::Result<Duration> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).map_err(|_| anyhow!("a CPU time before its thread"))
}
