//! Our own programs: configured by environment, started in order, awaited, watched.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clickwire_services::{
    Options, Port, Program, Reservation, Server, Services, Source, Supervisor, alive, tail,
};

use super::ask::is_ready_process;
use super::deaths::{self, Deaths};
use crate::deployment::{ACCOUNTS, ADVERTISERS, Deployment, Secrets};
use crate::interrupt::Interrupt;
use crate::status::{Demo, Pids, SignIn, Status, TimescaleDb, without_password};
use crate::steps::Steps;
use crate::workspace::release_program;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// A demo's history takes this long to be filled in on a slow machine.
const FILLED_WITHIN: Duration = Duration::from_secs(180);
const POLL_EVERY: Duration = Duration::from_millis(100);
const LOG_LINES: usize = 20;

/// Ports of earlier runs if they are free, so that what a developer noted down stays true.
const AGGREGATOR_PORT: u16 = 8081;
const METRICS_PORT: u16 = 8082;
const LAKE_PORT: u16 = 8083;
const NATS_PORT: u16 = 24_222;
const REDIS_PORT: u16 = 26_379;
const DATABASE_PORT: u16 = 25_432;

/// The means to start programs.
pub(crate) struct Launch<'a> {
    pub(crate) deployment: &'a Deployment,
    pub(crate) services: &'a Services,
    pub(crate) steps: &'a Steps,
    pub(crate) interrupt: &'a Interrupt,
}

/// The part that has ended: one of our programs, by its place, or a server.
#[derive(Clone, Copy)]
enum Dead {
    Program(usize),
    Server(Server),
}

/// Programs that run. Dropping it stops them: demo traffic, server, lake, aggregator.
pub(crate) struct Running {
    supervisor: Supervisor,
    started: Vec<(Program, u32)>,
    server_port: Reservation,
    metrics_port: Reservation,
    aggregator_port: Reservation,
    lake_port: Reservation,
}

/// The servers to start: those that the environment doesn't name.
pub(crate) fn services(deployment: &Deployment) -> Options {
    let source = |variable: &str, port: u16| match std::env::var(variable) {
        Ok(url) if !url.is_empty() => Source::Use(url),
        _ => Source::Start(Port::Prefer(port)),
    };
    Options {
        nats: source("CLICKWIRE_NATS_URL", NATS_PORT),
        redis: source("CLICKWIRE_REDIS_URL", REDIS_PORT),
        database: source("CLICKWIRE_DATABASE_URL", DATABASE_PORT),
        ..Options::persistent(deployment.services())
    }
}

impl Launch<'_> {
    /// Migrates the database and starts the programs, each when the one before it is ready.
    /// `settings` are the server's beside the usual ones.
    pub(crate) fn programs(
        &self,
        server_port: Reservation,
        is_demo: bool,
        settings: &[(&'static str, String)],
    ) -> Result<Running> {
        let secrets = self.deployment.secrets()?;
        self.migrate(is_demo)?;
        let supervisor = Supervisor::start(&self.deployment.logs().join("supervisor.log"), None, None)?;
        let mut running = Running {
            supervisor,
            started: Vec::new(),
            server_port,
            metrics_port: Port::Prefer(METRICS_PORT).reserve("the server's metrics")?,
            aggregator_port: Port::Prefer(AGGREGATOR_PORT).reserve("the aggregator")?,
            lake_port: Port::Prefer(LAKE_PORT).reserve("the lake")?,
        };

        let (server_port, aggregator_port) = (running.server_port.port(), running.aggregator_port.port());
        let aggregator = [("CLICKWIRE_AGGREGATOR_LISTEN", loopback(aggregator_port))];
        let aggregator = self.program("aggregator", "clickwire-aggregator", &[], &aggregator)?;
        running.start(self, aggregator, Some(aggregator_port))?;
        let lake_port = running.lake_port.port();
        let lake = self.lake(lake_port)?;
        running.start(self, lake, Some(lake_port))?;

        let mut server = [&server_environment(server_port, &secrets), settings].concat();
        server.push(("CLICKWIRE_METRICS_LISTEN", loopback(running.metrics_port.port())));
        server.push(("CLICKWIRE_SPOOL", self.deployment.spool().display().to_string()));
        if std::env::var_os("CLICKWIRE_WAL").is_none() {
            server.push(("CLICKWIRE_WAL", self.deployment.wal().display().to_string()));
        }
        let environment = server.clone();
        let server = self.program("server", "clickwire-server", &[], &server)?;
        running.start(self, server, Some(server_port))?;

        if is_demo {
            self.accounts(&environment, &secrets.password)?;
            let url = format!("http://{}", loopback(server_port));
            let keys = [
                ("CLICKWIRE_INGEST_KEY", secrets.ingest_key),
                ("CLICKWIRE_ADMIN_TOKEN", secrets.admin_token),
            ];
            let filled = self.deployment.logs().join("demo.filled");
            let ready_file = filled.display().to_string();
            let demo = ["demo", "--server", &url, "--history-minutes", "60", "--ready-file", &ready_file];
            let load = self.program("load", "clickwire-load", &demo, &keys)?;
            running.start(self, load, None)?;
            running.wait_for_history(self, &filled)?;
        }
        Ok(running)
    }

    /// The lake, in a folder of this deployment unless the environment names another place.
    fn lake(&self, port: u16) -> Result<Program> {
        let mut settings = vec![("CLICKWIRE_LAKE_LISTEN", loopback(port))];
        if std::env::var_os("CLICKWIRE_LAKE_URL").is_none() {
            settings.push(("CLICKWIRE_LAKE_URL", format!("file://{}", self.deployment.lake().display())));
        }
        self.program("lake", "clickwire-lake", &["run"], &settings)
    }

    pub(crate) fn migrate(&self, is_demo: bool) -> Result<()> {
        self.steps.say("Migrating the database");
        let log = self.deployment.logs().join("migrate.log");
        let output = std::fs::File::create(&log)?;
        let mut command = Command::new(release_program("clickwire-aggregator")?);
        command.arg("migrate").args(is_demo.then_some("--demo")).envs(self.servers());
        let status = self.interrupt.run(command.stderr(output.try_clone()?).stdout(output))?;
        if !status.success() {
            bail!("the database could not be migrated ({status}):\n{}", tail(&log, LOG_LINES));
        }
        Ok(())
    }

    /// Makes the demo's accounts, unless an earlier run has.
    fn accounts(&self, environment: &[(&'static str, String)], password: &str) -> Result<()> {
        let log = self.deployment.logs().join("accounts.log");
        for (login, role, advertiser) in ACCOUNTS {
            let (reader, mut writer) = std::io::pipe()?;
            writeln!(writer, "{password}")?;
            drop(writer);
            let output = std::fs::File::create(&log)?;
            let mut command = Command::new(release_program("clickwire-server")?);
            command.args(["accounts", "create", "--password-stdin", "--name", login]);
            command.args(["--login", login, "--role", role]);
            command.args(advertiser.into_iter().flat_map(|advertiser| ["--advertiser", advertiser]));
            command.envs(self.servers()).envs(environment.iter().map(|(name, value)| (name, value)));
            command.stdin(reader).stderr(output.try_clone()?).stdout(output);
            let status = self.interrupt.run(&mut command)?;
            // All of it: a backtrace may follow.
            if !status.success()
                && !std::fs::read_to_string(&log)?.contains("account with this login already")
            {
                bail!("the demo's account {login} could not be made ({status}):\n{}", tail(&log, LOG_LINES));
            }
        }
        Ok(())
    }

    /// One of our programs, told where the servers are.
    pub(crate) fn program(
        &self,
        name: &'static str,
        executable: &str,
        args: &[&str],
        env: &[(&str, String)],
    ) -> Result<Program> {
        let own = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let servers = self.servers().map(|(name, url)| (name.into(), url.into()));
        Ok(Program {
            name,
            stop_signal: "TERM",
            path: release_program(executable)?,
            args: args.iter().map(OsString::from).collect(),
            env: servers.into_iter().chain(own).collect(),
            log: self.deployment.logs().join(format!("{name}.log")),
        })
    }

    fn servers(&self) -> [(&'static str, &str); 3] {
        [
            ("CLICKWIRE_NATS_URL", self.services.nats_url()),
            ("CLICKWIRE_REDIS_URL", self.services.redis_url()),
            ("CLICKWIRE_DATABASE_URL", self.services.database_url()),
        ]
    }
}

/// Returns the environment of a server, without the addresses of the other servers.
pub(crate) fn server_environment(port: u16, secrets: &Secrets) -> [(&'static str, String); 5] {
    let viewers: Vec<String> = ADVERTISERS
        .iter()
        .zip(&secrets.viewer_tokens)
        .map(|(advertiser, token)| format!("{advertiser}={token}"))
        .collect();
    [
        ("CLICKWIRE_LISTEN", loopback(port)),
        ("CLICKWIRE_INGEST_KEYS", secrets.ingest_key.clone()),
        ("CLICKWIRE_ADMIN_TOKEN", secrets.admin_token.clone()),
        ("CLICKWIRE_VIEWER_TOKENS", viewers.join(",")),
        ("CLICKWIRE_IP_HASH_KEY", secrets.ip_hash_key.clone()),
    ]
}

/// Returns the address of a port on this machine.
pub(crate) fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

impl Running {
    fn start(&mut self, launch: &Launch<'_>, program: Program, port: Option<u16>) -> Result<()> {
        launch.steps.say(&format!("Starting {}", described(program.name)));
        let (pid, name) = (self.supervisor.spawn(&program)?, program.name);
        self.started.push((program, pid));
        let Some(port) = port else { return Ok(()) };
        let give_up = Instant::now() + READY_WITHIN;
        while self.check(launch.services).and(launch.interrupt.check()).is_ok() {
            // Somebody else might answer on the port while ours has not ended over it yet.
            if is_ready_process(port, pid).with_context(|| format!("{} can't be started", described(name)))? {
                return Ok(());
            }
            if Instant::now() > give_up {
                let (program, _) = self.started.last().context("nothing was started")?;
                let log = tail(&program.log, LOG_LINES);
                bail!(
                    "{} is not ready after {} s; its log ends with:\n{log}",
                    described(program.name),
                    READY_WITHIN.as_secs()
                );
            }
            thread::sleep(POLL_EVERY);
        }
        launch.interrupt.check()?;
        self.check(launch.services)
    }

    /// Starts again what dies, and tells `changed` that process ids have changed. Returns only with an error: a program
    /// or server dies again and again, or [`crate::interrupt::Interrupted`].
    pub(crate) fn watch(&mut self, launch: &Launch<'_>, changed: impl Fn(&Self) -> Result<()>) -> Result<()> {
        let mut deaths: HashMap<&'static str, Deaths> = HashMap::new();
        loop {
            launch.interrupt.check()?;
            if let Some(dead) = self.dead(launch.services) {
                let (name, log) = match dead {
                    Dead::Program(place) => {
                        (described(self.started[place].0.name), self.started[place].0.log.as_path())
                    }
                    Dead::Server(server) => (server.name(), launch.services.log(server)?),
                };
                let Some(wait) = deaths.entry(name).or_default().note(Instant::now()) else {
                    bail!(
                        "{name} has ended {} times within {} s; its log {} ends with:\n{}",
                        deaths::LIMIT,
                        deaths::WITHIN.as_secs(),
                        log.display(),
                        tail(log, LOG_LINES)
                    );
                };
                launch.steps.say(&format!(
                    "{name} has ended: starting it again in {:.1} s (log: {})",
                    wait.as_secs_f64(),
                    log.display()
                ));
                let until = Instant::now() + wait;
                while Instant::now() < until {
                    launch.interrupt.check()?;
                    thread::sleep(POLL_EVERY);
                }
                match dead {
                    Dead::Program(place) => {
                        let (program, pid) = &mut self.started[place];
                        *pid = self.supervisor.spawn(program)?;
                    }
                    Dead::Server(server) => launch.services.revive(server)?,
                }
                changed(self)?;
            }
            thread::sleep(POLL_EVERY);
        }
    }

    /// Waits until the demo has its history: a page that is opened before shows an hour of which most is missing.
    fn wait_for_history(&self, launch: &Launch<'_>, filled: &Path) -> Result<()> {
        launch.steps.say("Filling in an hour of demonstration traffic");
        let give_up = Instant::now() + FILLED_WITHIN;
        while !filled.exists() {
            self.check(launch.services)?;
            launch.interrupt.check()?;
            if Instant::now() > give_up {
                launch.steps.say("It is still being filled in: charts are not complete yet");
                return Ok(());
            }
            thread::sleep(POLL_EVERY);
        }
        Ok(())
    }

    /// Returns a program or server that has ended; servers first, for programs wait for them.
    fn dead(&self, services: &Services) -> Option<Dead> {
        let program = || self.started.iter().position(|(_, pid)| !alive(*pid)).map(Dead::Program);
        services.ended().map(Dead::Server).or_else(program)
    }

    fn check(&self, services: &Services) -> Result<()> {
        for (program, pid) in &self.started {
            if !alive(*pid) {
                let log = tail(&program.log, LOG_LINES);
                bail!(
                    "{} has ended; its log {} ends with:\n{log}",
                    described(program.name),
                    program.log.display()
                );
            }
        }
        services.check().map_err(Into::into)
    }

    pub(crate) fn status(&self, launch: &Launch<'_>) -> Result<Status> {
        let pid =
            |name: &str| self.started.iter().find(|(program, _)| program.name == name).map(|&(_, pid)| pid);
        let demo = || {
            let secrets = launch.deployment.secrets()?;
            let [viewer_token, ..] = secrets.viewer_tokens;
            anyhow::Ok(Demo {
                ingest_key: secrets.ingest_key,
                admin_token: secrets.admin_token,
                advertiser_id: ADVERTISERS[0].to_owned(),
                viewer_token,
                sign_in: SignIn {
                    logins: ACCOUNTS.map(|(login, ..)| login.to_owned()).to_vec(),
                    password: secrets.password,
                },
            })
        };
        let servers = launch.services.pids();
        Ok(Status {
            server: format!("http://{}", loopback(self.server_port.port())),
            metrics: format!("http://{}", loopback(self.metrics_port.port())),
            aggregator: format!("http://{}", loopback(self.aggregator_port.port())),
            lake: format!("http://{}", loopback(self.lake_port.port())),
            nats: without_password(launch.services.nats_url()),
            redis: without_password(launch.services.redis_url()),
            database: without_password(launch.services.database_url()),
            timescaledb: timescaledb(launch.services),
            demo: pid("load").map(|_| demo()).transpose()?,
            secrets: launch.deployment.secrets_file().display().to_string(),
            pids: Pids {
                server: pid("server").context("the server was not started")?,
                aggregator: pid("aggregator").context("the aggregator was not started")?,
                lake: pid("lake").context("the lake was not started")?,
                load: pid("load"),
                nats: servers.nats,
                redis: servers.redis,
                database: servers.database,
            },
            logs: launch.deployment.logs().display().to_string(),
        })
    }
}

fn timescaledb(services: &Services) -> TimescaleDb {
    // In one statement: the setting exists only where the extension is loaded.
    let sql = "SELECT extversion, current_setting('timescaledb.license', true) \
               FROM pg_extension WHERE extname = 'timescaledb'";
    let answer = services.psql("clickwire", sql).ok().or_else(|| {
        // Somebody else's database: with the system's own client, if there is one.
        Command::new("psql")
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--command", sql, services.database_url()])
            .output()
            .ok()
            .filter(|output| output.status.success())
            .and_then(|output| String::from_utf8(output.stdout).ok())
    });
    match answer.as_deref().unwrap_or_default().trim().split_once('|') {
        Some((version, license)) => {
            TimescaleDb { version: Some(version.to_owned()), license: Some(license.to_owned()) }
        }
        None => TimescaleDb::default(),
    }
}

fn described(name: &'static str) -> &'static str {
    match name {
        "load" => "the demo traffic",
        "server" => "the server",
        "aggregator" => "the aggregator",
        "lake" => "the lake",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use clickwire_services::Folder;

    use super::*;

    /// A launch that starts no server, and a shell script under a supervisor.
    fn with_program(script: &str, test: impl FnOnce(&Launch<'_>, &mut Running)) {
        let folder =
            std::env::temp_dir().join(format!("clickwire-up-{}", clickwire_services::secret().unwrap()));
        let deployment = Deployment::locate(Some(folder.clone())).unwrap();
        deployment.create().unwrap();
        let elsewhere = || Source::Use("nats://127.0.0.1:1".to_owned());
        let options = Options {
            nats: elsewhere(),
            redis: elsewhere(),
            database: elsewhere(),
            folder: Folder::Temporary,
            ..Options::temporary()
        };
        let services = Services::start(&options, &|_| ()).unwrap();
        let (steps, interrupt) = (Steps::start(), Interrupt::listen().unwrap());
        let launch =
            Launch { deployment: &deployment, services: &services, steps: &steps, interrupt: &interrupt };
        let program = Program {
            name: "server",
            stop_signal: "TERM",
            path: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![("FOLDER".into(), folder.clone().into())],
            log: folder.join("server.log"),
        };
        let supervisor = Supervisor::start(&folder.join("supervisor.log"), None, None).unwrap();
        let pid = supervisor.spawn(&program).unwrap();
        let mut running = Running {
            supervisor,
            started: vec![(program, pid)],
            server_port: Port::Free.reserve("a test").unwrap(),
            aggregator_port: Port::Free.reserve("a test").unwrap(),
            lake_port: Port::Free.reserve("a test").unwrap(),
            metrics_port: Port::Free.reserve("a test").unwrap(),
        };
        test(&launch, &mut running);
        drop(running);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_dies_again_and_again_is_given_up_with_the_end_of_its_log() {
        with_program("echo out of luck; kill -KILL $$", |launch, running| {
            let starts = std::cell::Cell::new(1);
            let ended = running.watch(launch, |_| {
                starts.set(starts.get() + 1);
                Ok(())
            });
            let error = ended.unwrap_err().to_string();
            assert_eq!(starts.get(), deaths::LIMIT, "{error}");
            assert!(error.contains("ended 5 times") && error.ends_with("out of luck"), "{error}");
        });
    }

    #[test]
    fn what_dies_once_is_started_again_under_another_process_id() {
        let script = r#"[ -e "$FOLDER/died" ] || { touch "$FOLDER/died"; kill -KILL $$; }; exec sleep 60"#;
        with_program(script, |launch, running| {
            let before = running.started[0].1;
            let ended = running.watch(launch, |running| {
                let (_, pid) = running.started[0];
                assert!(pid != before && alive(pid));
                bail!("seen enough")
            });
            assert_eq!(ended.unwrap_err().to_string(), "seen enough");
            let after = running.started[0].1;
            assert!(alive(after));
            running.supervisor.stop();
            assert!(!alive(after), "nothing is left behind");
        });
    }
}
