//! A server or an aggregator as a process of its own.

use std::{
    path::PathBuf,
    process::{ExitStatus, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use clickwire_load::{http::Server, usage};
use clickwire_services::Reservation;
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::eventually;

/// A started program may take so long to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A server or an aggregator; it ends with this.
pub struct Program {
    child: Child,
    port: Reservation,
    /// Port of the metrics, if it is not the program's own.
    metrics_port: Option<Reservation>,
    name: &'static str,
    arguments: &'static [&'static str],
    listen: &'static str,
    environment: Vec<(&'static str, String)>,
}

impl Program {
    /// Starts a program, which listens where the variable `listen` says, and returns when it is ready.
    pub(crate) async fn start(
        name: &'static str,
        listen: &'static str,
        port: Reservation,
        environment: Vec<(&'static str, String)>,
    ) -> Result<Self> {
        let mut program = Self::begin(name, listen, port, None, environment).await?;
        program.await_ready().await?;
        Ok(program)
    }

    /// Starts a program and does not wait until it is ready.
    pub(crate) async fn begin(
        name: &'static str,
        listen: &'static str,
        port: Reservation,
        metrics_port: Option<Reservation>,
        environment: Vec<(&'static str, String)>,
    ) -> Result<Self> {
        let child = spawn(name, &[], listen, &port, &environment).await?;
        Ok(Self { child, port, metrics_port, name, arguments: &[], listen, environment })
    }

    /// The same with arguments.
    pub(crate) async fn begin_with(
        name: &'static str,
        arguments: &'static [&'static str],
        listen: &'static str,
        port: Reservation,
        environment: Vec<(&'static str, String)>,
    ) -> Result<Self> {
        let child = spawn(name, arguments, listen, &port, &environment).await?;
        Ok(Self { child, port, metrics_port: None, name, arguments, listen, environment })
    }

    /// Ends it as a crash would; [`Program::revive`] starts it again.
    pub async fn crash(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Starts it again at the same address, and does not wait until it is ready.
    pub async fn revive(&mut self) -> Result<()> {
        self.child = spawn(self.name, self.arguments, self.listen, &self.port, &self.environment).await?;
        Ok(())
    }

    /// Waits until it is ready.
    pub async fn await_ready(&mut self) -> Result<()> {
        let (server, child, name) = (self.http()?, &mut self.child, self.name);
        eventually(&format!("{name} is ready"), READY_WITHIN, async || {
            let answer = timeout(Duration::from_secs(1), server.connection().get("/readyz")).await;
            let ready = matches!(answer, Ok(Ok((status, _))) if status.is_success());
            // A program that ended will never be ready; the caller is told below.
            (ready || matches!(child.try_wait(), Ok(Some(_)))).then_some(())
        })
        .await?;
        ensure!(self.child.try_wait()?.is_none(), "{name} ended at once");
        Ok(())
    }

    /// Its process.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("it ended before")
    }

    /// Returns a client for the address that the operator's programs ask.
    pub fn http(&self) -> Result<Server> {
        let port = self.metrics_port.as_ref().unwrap_or(&self.port).port();
        Ok(Server::new(&format!("http://127.0.0.1:{port}"), "")?)
    }

    /// One of its metrics; 0 before it was first recorded.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let (_, metrics) = self.http()?.connection().get("/metrics").await?;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let values = metrics.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        Ok(values.sum())
    }

    /// Returns the program's report about its health.
    pub async fn health(&self) -> Result<Value> {
        let (_, report) = self.http()?.connection().get("/health").await?;
        Ok(serde_json::from_slice(&report)?)
    }

    /// Returns the status of a service in `/health`.
    pub async fn says_of(&self, service: &str) -> Result<String> {
        let report = self.health().await?;
        let status = report["services"][service]["status"].as_str();
        Ok(status.with_context(|| format!("nothing of {service} in {report}"))?.to_owned())
    }

    /// Its memory in use, in MiB.
    pub fn memory_mib(&self) -> Result<f64> {
        Ok(usage::memory_kib(self.child.id().context("it ended before")?)? / 1_024.0)
    }

    /// Waits until it has ended by itself.
    pub async fn ended(mut self, within: Duration) -> Result<ExitStatus> {
        let ended = timeout(within, self.child.wait()).await;
        Ok(ended.with_context(|| format!("{} still runs after {within:?}", self.name))??)
    }

    /// Stops it in its tracks (SIGSTOP) or lets it go on (SIGCONT).
    pub async fn freeze(&self, frozen: bool) -> Result<()> {
        self.signal(if frozen { "STOP" } else { "CONT" }).await
    }

    async fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.child.id().context("it ended before")?;
        let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().await?;
        ensure!(status.success(), "kill -{signal} {pid}: {status}");
        Ok(())
    }

    /// Asks it to stop (SIGTERM), and does not wait until it has.
    pub async fn begin_to_stop(&self) -> Result<()> {
        self.signal("TERM").await
    }

    /// Ends it as a crash would.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and returns whether it ended well.
    pub async fn stop(mut self, within: Duration) -> Result<bool> {
        self.ends_well(within).await
    }

    /// The same; [`Program::revive`] starts it again.
    pub async fn ends_well(&mut self, within: Duration) -> Result<bool> {
        self.signal("TERM").await?;
        let ended = timeout(within, self.child.wait()).await.context("did not stop in time")??;
        Ok(ended.success())
    }
}

/// Runs a program with arguments to its end.
pub(crate) async fn output(
    name: &str,
    arguments: &[&str],
    environment: &[(&'static str, String)],
) -> Result<Output> {
    let path = tokio::task::spawn_blocking(programs).await??.join(name);
    let command = Command::new(&path)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("USER", "tester")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    Ok(timeout(READY_WITHIN, command).await??)
}

async fn spawn(
    name: &str,
    arguments: &[&str],
    listen: &str,
    port: &Reservation,
    environment: &[(&'static str, String)],
) -> Result<Child> {
    let path = tokio::task::spawn_blocking(programs).await??.join(name);
    Command::new(&path)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env(listen, format!("127.0.0.1:{}", port.port()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", path.display()))
}

/// The folder with the examples in Rust.
pub fn examples() -> Result<PathBuf> {
    Ok(programs()?.join("examples"))
}

/// The folder with the programs: `CLICKWIRE_PROGRAMS`, or where they are built now.
fn programs() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| match std::env::var_os("CLICKWIRE_PROGRAMS") {
        Some(folder) => Ok(folder.into()),
        None => build().map_err(|error| format!("{error:#}")),
    });
    built.clone().map_err(|error| anyhow!(error))
}

fn build() -> Result<PathBuf> {
    // target/debug/deps/it-… → target/debug
    let executable = std::env::current_exe()?;
    let folder = executable.parent().and_then(std::path::Path::parent).context("where are the programs?")?;
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--bins", "--tests", "--examples"]);
    cargo.args([
        "-p",
        "clickwire-server",
        "-p",
        "clickwire-aggregator",
        "-p",
        "clickwire-lake",
        "-p",
        "clickwire-e2e",
        "-p",
        "clickwire-client",
        "-p",
        "clickwire-load",
    ]);
    for (name, _) in std::env::vars_os() {
        // What cargo says of the tests' package would make build scripts run again.
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            cargo.env_remove(name);
        }
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().context("cargo build")?;
    ensure!(status.success(), "the programs could not be built");
    Ok(folder.to_owned())
}
