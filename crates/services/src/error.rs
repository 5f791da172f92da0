//! Errors of installing and running servers. Every text says what to do about it.

use std::io;
use std::path::PathBuf;

/// A reason why a server could not be installed, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// The attempted action.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// Another process listens on a port that was asked for.
    #[error("port {port} for {server} is taken on 127.0.0.1: stop what listens there or choose another")]
    PortTaken {
        /// The server that wanted it.
        server: &'static str,
        /// The port.
        port: u16,
    },
    /// Hundreds of ports were tried.
    #[error("no free port on 127.0.0.1 between 15000 and 32767")]
    NoFreePort,
    /// A server doesn't run: it has ended, or said nothing while it was awaited.
    #[error("{server} {how}; its log {log} ends with:\n{tail}", log = log.display())]
    NotRunning {
        /// The server.
        server: &'static str,
        /// The kind of failure: it ended or took too long.
        how: &'static str,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A program that should do one thing and succeed did not.
    #[error("`{program}` failed ({status}):\n{output}")]
    Command {
        /// The program.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The program's output.
        output: String,
    },
    /// There is no apt, or no Debian mirror in its configuration.
    #[error(
        "cannot install the servers: {0}. Put PostgreSQL 16 or newer with TimescaleDB, nats-server 2.14.6 \
         or newer and redis-server or valkey-server 7 or newer on PATH, or set CLICKWIRE_DATABASE_URL, \
         CLICKWIRE_NATS_URL and CLICKWIRE_REDIS_URL to servers that already run"
    )]
    CannotInstall(String),
    /// Root needs somebody to drop to.
    #[error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as")]
    NoAccount,
    /// The user that the servers run as can't enter a folder.
    #[error(
        "the user {account}, which the servers run as, cannot reach {path}: set CLICKWIRE_CACHE, \
         CLICKWIRE_DATA or TMPDIR to a folder that every user can enter",
        path = path.display()
    )]
    OutOfReach {
        /// The folder or program.
        path: PathBuf,
        /// The user.
        account: String,
    },
    /// Neither a cache folder nor a home folder is known.
    #[error("no folder to install the servers into: set CLICKWIRE_CACHE or HOME")]
    NoCache,
    /// The supervising shell was ended by something else.
    #[error("the shell that supervises the servers is gone")]
    SupervisorGone,
    /// A line break in a path, argument or variable.
    #[error("a path, an argument or a variable of a server contains a line break")]
    LineBreak,
    /// The order is for a server that runs elsewhere.
    #[error("{0} is not ours to control: it was started by somebody else")]
    NotOurs(&'static str),
}

impl Error {
    /// For `map_err`: what was tried, put together only when it failed.
    pub(crate) fn io(what: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what(), source }
    }
}
