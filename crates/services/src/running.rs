//! The three servers together: started in parallel, awaited, and controlled one by one.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::listener::{Listener, listener};
use crate::postgres::{self, Cluster};
use crate::supervisor::{self, Program, Supervisor};
use crate::{Account, Error, Folder, Options, Port, Programs, Reservation, Server, Source, nats, redis};

/// Recovery after a crash may take PostgreSQL a while.
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(20);
const LOG_LINES: usize = 20;

const STANDBY: &str = "standby";
const STANDBY_BUFFERS_MB: u32 = 32;

/// Running servers. Dropping it stops those that were started here.
#[derive(Debug)]
pub struct Services {
    // Before the folder, so that everything has stopped when the folder is removed.
    supervisor: Supervisor,
    nats: Running,
    redis: Running,
    database: Running,
    cluster: Option<Cluster>,
    folder: DataFolder,
}

/// A replica of the database, which ends with the services.
#[derive(Debug)]
pub struct Standby {
    cluster: Cluster,
    _port: Reservation,
}

impl Standby {
    /// Returns the standby's URL of a database of the server that it follows.
    pub fn url(&self, database: &str) -> String {
        self.cluster.url(database)
    }

    /// Runs SQL in a database and returns the values as text: a row a line, columns separated by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, Error> {
        self.cluster.psql(database, sql)
    }
}

/// The process ids of the servers that were started here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pids {
    /// NATS.
    pub nats: Option<u32>,
    /// Redis or Valkey.
    pub redis: Option<u32>,
    /// PostgreSQL's parent process.
    pub database: Option<u32>,
}

#[derive(Debug)]
struct Running {
    url: String,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    program: Program,
    reservation: Reservation,
    pid: AtomicU32,
}

impl Services {
    /// Installs what is missing, starts the servers and returns when all of them answer. `progress`
    /// hears of each step.
    pub fn start(options: &Options, progress: &dyn Fn(&str)) -> Result<Self, Error> {
        let account = Account::to_drop_to()?;
        let folder = DataFolder::create(&options.folder, account.as_ref())?;
        let path = folder.path.as_path();
        let remove = (options.folder == Folder::Temporary).then_some(path);
        let supervisor = Supervisor::start(&path.join("supervisor.log"), remove, account.as_ref())?;
        let wanted = [&options.nats, &options.redis, &options.database];
        let programs = if wanted.iter().any(|source| matches!(source, Source::Start(_))) {
            Some(Programs::ensure(progress)?)
        } else {
            None
        };
        let run = |server: Server,
                   source: &Source,
                   make: &mut dyn FnMut(&Programs, u16) -> Result<Ready, Error>| {
            match (source, &programs) {
                (Source::Start(port), Some(programs)) => {
                    let reservation = port.reserve(server.name())?;
                    let port = reservation.port();
                    progress(&format!("Starting {} on port {port}", server.name()));
                    let (program, url) = make(programs, port)?;
                    let pid = AtomicU32::new(supervisor.spawn(&program)?);
                    Ok(Running { url, own: Some(Own { program, reservation, pid }) })
                }
                (Source::Use(url), _) => Ok(Running { url: url.clone(), own: None }),
                (Source::Start(_), None) => Err(Error::NotOurs(server.name())),
            }
        };
        let nats = run(Server::Nats, &options.nats, &mut |programs, port| {
            let program = nats::program(&programs.nats_server, path, port, &options.nats_sync_interval)?;
            Ok((program, format!("nats://127.0.0.1:{port}")))
        })?;
        let redis = run(Server::Redis, &options.redis, &mut |programs, port| {
            Ok((redis::program(&programs.redis_server, path, port), format!("redis://127.0.0.1:{port}")))
        })?;
        let mut cluster = None;
        let database = run(Server::Database, &options.database, &mut |programs, port| {
            let opened = Cluster::open(&programs.postgres_bin, path, port, account.as_ref())?;
            let program = opened.program(path.join("postgres.log"), options.shared_buffers_mb);
            let url = opened.url(postgres::NAME);
            cluster = Some(opened);
            Ok((program, url))
        })?;
        let services = Self { supervisor, nats, redis, database, cluster, folder };
        for server in [Server::Nats, Server::Redis, Server::Database] {
            services.await_ready(server)?;
        }
        if let Some(cluster) = &services.cluster {
            cluster.ensure_database()?;
        }
        Ok(services)
    }

    /// One instance for all tests of a process, in a temporary folder; it ends with the process.
    pub fn shared() -> Result<&'static Self, &'static Error> {
        static SHARED: OnceLock<Result<Services, Error>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&Options::temporary(), &|_| ())).as_ref()
    }

    /// Returns the URL of NATS.
    pub fn nats_url(&self) -> &str {
        &self.nats.url
    }

    /// Returns the URL of Redis.
    pub fn redis_url(&self) -> &str {
        &self.redis.url
    }

    /// Returns the URL of the database `clickwire`, with the password. Its user may create extensions.
    pub fn database_url(&self) -> &str {
        &self.database.url
    }

    /// Process ids, as they are now.
    pub fn pids(&self) -> Pids {
        let pid = |running: &Running| running.own.as_ref().map(|own| own.pid.load(Ordering::Relaxed));
        Pids { nats: pid(&self.nats), redis: pid(&self.redis), database: pid(&self.database) }
    }

    /// A server that was started here and has ended.
    pub fn ended(&self) -> Option<Server> {
        let is_dead = |own: &Own| !supervisor::alive(own.pid.load(Ordering::Relaxed));
        [Server::Nats, Server::Redis, Server::Database]
            .into_iter()
            .find(|server| self.running(*server).own.as_ref().is_some_and(is_dead))
    }

    /// The log of a server that was started here.
    pub fn log(&self, server: Server) -> Result<&Path, Error> {
        Ok(&self.own(server)?.program.log)
    }

    /// An error if a server that was started here has ended, with the end of its log.
    pub fn check(&self) -> Result<(), Error> {
        let Some(server) = self.ended() else { return Ok(()) };
        let log = self.log(server)?.to_owned();
        let tail = tail(&log, LOG_LINES);
        Err(Error::NotRunning { server: server.name(), how: "has ended", log, tail })
    }

    /// Creates an empty database with a name that nobody else has, and returns its URL.
    pub fn fresh_database(&self) -> Result<String, Error> {
        let cluster = self.cluster()?;
        let name = format!("test_{}", crate::secret()?);
        cluster.create_database(&name)?;
        Ok(cluster.url(&name))
    }

    /// Creates a copy of a database that nobody is connected to, with a name that nobody else has, and returns its URL.
    pub fn copied_database(&self, template: &str) -> Result<String, Error> {
        let cluster = self.cluster()?;
        let name = format!("test_{}", crate::secret()?);
        cluster.copy_database(template, &name)?;
        Ok(cluster.url(&name))
    }

    /// Runs SQL as superuser in a database, `clickwire` or the last part of a URL, and returns the
    /// values as text: a row a line, columns separated by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, Error> {
        self.cluster()?.psql(database, sql)
    }

    /// Stops a server gracefully and returns when it has ended. Its port stays free for it.
    pub fn halt(&self, server: Server) -> Result<(), Error> {
        let program = &self.own(server)?.program;
        self.supervisor.halt(program.name, program.stop_signal).map(drop)
    }

    /// Ends a server by SIGKILL, as a crash would, and returns when all of its processes are gone.
    pub fn kill(&self, server: Server) -> Result<(), Error> {
        let own = self.own(server)?;
        let pid = own.pid.load(Ordering::Relaxed);
        // PostgreSQL's backends end by themselves when their parent is gone, a moment later.
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        self.supervisor.halt(own.program.name, "KILL")?;
        let gone_by = Instant::now() + READY_WITHIN;
        let is_left =
            || children.split_whitespace().filter_map(|child| child.parse().ok()).any(supervisor::alive);
        while is_left() && Instant::now() < gone_by {
            thread::sleep(POLL_EVERY);
        }
        Ok(())
    }

    /// Starts a server again that has ended, on the same port with the same data, and does not wait until it answers.
    pub fn revive(&self, server: Server) -> Result<(), Error> {
        let own = self.own(server)?;
        own.pid.store(self.supervisor.spawn(&own.program)?, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a base backup of the database that was started here, beside its data.
    pub fn back_up_database(&self) -> Result<(), Error> {
        self.cluster()?.back_up(&self.backup(), Account::to_drop_to()?.as_ref())
    }

    /// Throws away the data of the database that was started here, puts the base backup in their place, and returns
    /// when the database answers.
    pub fn restore_database(&self) -> Result<(), Error> {
        self.kill(Server::Database)?;
        self.cluster()?.restore(&self.backup())?;
        self.revive(Server::Database)?;
        self.await_ready(Server::Database)
    }

    /// Starts a replica of the database that was started here, beside it, and returns when it answers.
    pub fn start_standby(&self) -> Result<Standby, Error> {
        let account = Account::to_drop_to()?;
        let reservation = Port::Free.reserve(STANDBY)?;
        let folder = self.folder.path.join("postgres.standby");
        let cluster = self.cluster()?.stand_by(&folder, reservation.port(), account.as_ref())?;
        let log = self.folder.path.join("standby.log");
        let program = Program { name: STANDBY, ..cluster.program(log.clone(), STANDBY_BUFFERS_MB) };
        let pid = self.supervisor.spawn(&program)?;
        let give_up = Instant::now() + READY_WITHIN;
        while !cluster.is_ready(pid) {
            if !supervisor::alive(pid) || Instant::now() > give_up {
                let (how, tail) = ("did not start", tail(&log, LOG_LINES));
                return Err(Error::NotRunning { server: STANDBY, how, log, tail });
            }
            thread::sleep(POLL_EVERY);
        }
        Ok(Standby { cluster, _port: reservation })
    }

    fn backup(&self) -> PathBuf {
        self.folder.path.join("postgres.backup")
    }

    /// Starts a server again on the same port with the same data, after stopping it if it still runs,
    /// and returns when it answers.
    pub fn restart(&self, server: Server) -> Result<(), Error> {
        self.halt(server)?;
        self.revive(server)?;
        self.await_ready(server)
    }

    /// Stops what was started here and removes a temporary folder. Dropping does the same.
    pub fn stop(self) {
        drop(self);
    }

    fn running(&self, server: Server) -> &Running {
        match server {
            Server::Nats => &self.nats,
            Server::Redis => &self.redis,
            Server::Database => &self.database,
        }
    }

    fn own(&self, server: Server) -> Result<&Own, Error> {
        self.running(server).own.as_ref().ok_or(Error::NotOurs(server.name()))
    }

    fn cluster(&self) -> Result<&Cluster, Error> {
        self.cluster.as_ref().ok_or(Error::NotOurs(Server::Database.name()))
    }

    fn await_ready(&self, server: Server) -> Result<(), Error> {
        let Some(own) = &self.running(server).own else { return Ok(()) };
        let pid = own.pid.load(Ordering::Relaxed);
        let give_up = Instant::now() + READY_WITHIN;
        let how = loop {
            let port = own.reservation.port();
            // Another server may answer on our port, while ours has not found out yet that it can't have it.
            let is_ours = match server {
                Server::Nats | Server::Redis => {
                    let found = listener(port, pid);
                    match found.map_err(Error::io(|| "cannot read /proc/net/tcp".to_owned()))? {
                        Listener::Process => true,
                        Listener::Nobody => false,
                        Listener::Stranger(_) => break "found its port taken",
                    }
                }
                // Its own files say which process is ready.
                Server::Database => true,
            };
            let is_ready = is_ours
                && match server {
                    Server::Nats => nats::is_ready(port),
                    Server::Redis => redis::is_ready(port),
                    Server::Database => self.cluster()?.is_ready(pid),
                };
            if !supervisor::alive(pid) {
                break "ended instead of starting";
            }
            if is_ready {
                return Ok(());
            }
            if Instant::now() > give_up {
                break "did not answer within 60 s";
            }
            thread::sleep(POLL_EVERY);
        };
        let log = own.program.log.clone();
        let tail = tail(&log, LOG_LINES);
        Err(Error::NotRunning { server: server.name(), how, log, tail })
    }
}

type Ready = (Program, String);

/// The last lines of a log, for a message.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The servers' folder, closed to everybody but the user they run as.
#[derive(Debug)]
struct DataFolder {
    path: PathBuf,
    is_temporary: bool,
}

impl DataFolder {
    fn create(folder: &Folder, account: Option<&Account>) -> Result<Self, Error> {
        let (path, is_temporary) = match folder {
            Folder::Temporary => (std::env::temp_dir().join(format!("clickwire-{}", crate::secret()?)), true),
            Folder::Persistent(path) => (path.clone(), false),
        };
        let failed = || format!("cannot create {}", path.display());
        let path = std::path::absolute(&path).map_err(Error::io(failed))?;
        if !path.is_dir() {
            fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(Error::io(failed))?;
            DirBuilder::new().mode(0o700).create(&path).map_err(Error::io(failed))?;
        }
        let folder = Self { path, is_temporary };
        if let Some(account) = account {
            account.own(&folder.path)?;
            account.check_reach(&folder.path)?;
        }
        Ok(folder)
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if self.is_temporary {
            // Usually the supervisor has done so already; what is left can only be left behind.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}
