//! PostgreSQL with TimescaleDB: creating its data folder, settings, and SQL through `psql`.
//!
//! Billing is done from this data, so `fsync` and `synchronous_commit` stay on, in tests as well.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::run;
use crate::{Account, Error, Program};

/// The superuser, and the database that is always there.
pub(crate) const NAME: &str = "clickwire";

/// A data folder and how to get in.
#[derive(Debug)]
pub(crate) struct Cluster {
    bin: PathBuf,
    data: PathBuf,
    port: u16,
    password: String,
}

impl Cluster {
    /// Opens the data folder in `folder`, or creates it.
    pub(crate) fn open(
        bin: &Path,
        folder: &Path,
        port: u16,
        account: Option<&Account>,
    ) -> Result<Self, Error> {
        let data = folder.join("postgres");
        let secret = folder.join("postgres.password");
        let cluster = |password| Self { bin: bin.to_owned(), data: data.clone(), port, password };
        if data.exists() {
            let password = fs::read_to_string(&secret)
                .map_err(Error::io(|| format!("cannot read {}", secret.display())))?;
            return Ok(cluster(password));
        }
        let password = crate::secret()?;
        write_secret(&secret, &password)?;
        if let Some(account) = account {
            account.own(&secret)?;
        }
        // Under its final name only when it is complete: initdb may be interrupted.
        let unfinished = folder.join("postgres.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)
                .map_err(Error::io(|| format!("cannot remove {}", unfinished.display())))?;
        }
        let mut initdb = Command::new(bin.join("initdb"));
        initdb
            .args(["--username", NAME, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
            .args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"])
            .arg("--pwfile")
            .arg(&secret)
            .arg("--pgdata")
            .arg(&unfinished)
            .current_dir(folder);
        if let Some(account) = account {
            account.apply(&mut initdb);
        }
        run(&mut initdb)?;
        fs::rename(&unfinished, &data).map_err(Error::io(|| format!("cannot create {}", data.display())))?;
        Ok(cluster(password))
    }

    /// Returns the program that runs the server. SIGINT is its fast shutdown: clients are disconnected, data is safe.
    pub(crate) fn program(&self, log: PathBuf, shared_buffers_mb: u32) -> Program {
        let mut args = vec!["-D".into(), self.data.clone().into()];
        for (name, value) in [
            ("listen_addresses", "127.0.0.1"),
            ("port", &self.port.to_string()),
            ("unix_socket_directories", ""),
            ("max_connections", "200"),
            ("shared_buffers", &format!("{shared_buffers_mb}MB")),
            ("max_wal_size", "2GB"),
            ("checkpoint_timeout", "15min"),
            ("random_page_cost", "1.1"),
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("jit", "off"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("shared_preload_libraries", "timescaledb"),
            ("timescaledb.telemetry_level", "off"),
            // A scheduler for every database, and every test has a database of its own.
            ("timescaledb.max_background_workers", "32"),
            ("max_worker_processes", "48"),
            // One lock for each chunk that a query touches.
            ("max_locks_per_transaction", "256"),
        ] {
            args.extend(["-c".into(), format!("{name}={value}").into()]);
        }
        Program {
            name: "postgres",
            stop_signal: "INT",
            path: self.bin.join("postgres"),
            args,
            env: Vec::new(),
            log,
        }
    }

    /// Returns whether the server with this process id accepts connections, as it says in its own pid file.
    pub(crate) fn is_ready(&self, pid: u32) -> bool {
        let Ok(text) = fs::read_to_string(self.data.join("postmaster.pid")) else { return false };
        let mut lines = text.lines();
        // Line 1 is the process, line 8 the state.
        lines.next() == Some(&pid.to_string()) && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    /// Creates the database that is always there, if it isn't.
    pub(crate) fn ensure_database(&self) -> Result<(), Error> {
        let found = self.psql("postgres", &format!("SELECT 1 FROM pg_database WHERE datname = '{NAME}'"))?;
        if found.is_empty() { self.create_database(NAME) } else { Ok(()) }
    }

    /// Creates an empty database, not from `template1`: TimescaleDB's launcher may be looking into that one, which
    /// PostgreSQL refuses to copy meanwhile.
    pub(crate) fn create_database(&self, name: &str) -> Result<(), Error> {
        self.copy_database("template0", name)
    }

    /// Creates a copy of a database that nobody is connected to.
    pub(crate) fn copy_database(&self, template: &str, name: &str) -> Result<(), Error> {
        self.psql("postgres", &format!("CREATE DATABASE \"{name}\" TEMPLATE \"{template}\"")).map(drop)
    }

    /// Runs SQL and returns the values as text, a row a line.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<String, Error> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"])
            .args(["--host=127.0.0.1", "--username", NAME, "--dbname", database, "--command", sql])
            .arg(format!("--port={}", self.port))
            .env_clear()
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "10");
        let output = run(&mut psql)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Copies the running cluster into a folder that does not exist yet, with the write-ahead log without which the
    /// copy would not be consistent.
    pub(crate) fn back_up(&self, backup: &Path, account: Option<&Account>) -> Result<(), Error> {
        self.copy(backup, &[], account)
    }

    /// Copies the running cluster into a folder that does not exist yet, as a standby that follows it.
    pub(crate) fn stand_by(
        &self,
        folder: &Path,
        port: u16,
        account: Option<&Account>,
    ) -> Result<Self, Error> {
        self.copy(folder, &["--write-recovery-conf"], account)?;
        Ok(Self { bin: self.bin.clone(), data: folder.to_owned(), port, password: self.password.clone() })
    }

    fn copy(&self, folder: &Path, more: &[&str], account: Option<&Account>) -> Result<(), Error> {
        let mut command = Command::new(self.bin.join("pg_basebackup"));
        command
            .arg("--pgdata")
            .arg(folder)
            .args(more)
            .args(["--wal-method=stream", "--checkpoint=fast", "--no-password"])
            .args(["--host=127.0.0.1", "--username", NAME])
            .arg(format!("--port={}", self.port))
            .current_dir("/")
            .env_clear()
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "10");
        if let Some(account) = account {
            account.apply(&mut command);
        }
        run(&mut command).map(drop)
    }

    /// Puts a copy in the place of the data of a cluster that has ended.
    pub(crate) fn restore(&self, backup: &Path) -> Result<(), Error> {
        let failed = || format!("cannot put {} in the place of {}", backup.display(), self.data.display());
        fs::remove_dir_all(&self.data).map_err(Error::io(failed))?;
        fs::rename(backup, &self.data).map_err(Error::io(failed))
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{NAME}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }
}

fn write_secret(path: &Path, secret: &str) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(secret.as_bytes()))
        .map_err(Error::io(|| format!("cannot write {}", path.display())))
}
