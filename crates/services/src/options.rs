//! Options of a caller: the folder of data, the servers to start and their ports.

use std::path::PathBuf;

use crate::Port;

/// One of the three servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// NATS with JetStream.
    Nats,
    /// Redis or Valkey.
    Redis,
    /// PostgreSQL with TimescaleDB.
    Database,
}

impl Server {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nats => "NATS",
            Self::Redis => "Redis",
            Self::Database => "PostgreSQL",
        }
    }
}

/// The place of the servers' data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// In a new folder below the system's temporary one, gone when the servers have stopped.
    Temporary,
    /// Here, for the next start.
    Persistent(PathBuf),
}

/// The origin of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Start one of our own on this port.
    Start(Port),
    /// One that runs already, by its URL. It is never stopped or restarted from here.
    Use(String),
}

/// The options of [`crate::Services::start`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The place of the data.
    pub folder: Folder,
    /// The broker.
    pub nats: Source,
    /// The publisher of deltas.
    pub redis: Source,
    /// The database.
    pub database: Source,
    /// PostgreSQL's `shared_buffers` in MiB.
    pub shared_buffers_mb: u32,
    /// JetStream's `sync_interval`: `always`, or how old a write may get before it is on disk.
    pub nats_sync_interval: String,
}

impl Options {
    /// For tests: everything of its own, in a temporary folder, on free ports. JetStream leaves
    /// fsync to the system, which outlives a killed server all the same.
    pub fn temporary() -> Self {
        let free = Source::Start(Port::Free);
        Self {
            folder: Folder::Temporary,
            nats: free.clone(),
            redis: free.clone(),
            database: free,
            shared_buffers_mb: 128,
            nats_sync_interval: "2m".to_owned(),
        }
    }

    /// For a system that lives on in `folder`. What the broker acknowledges is on disk.
    pub fn persistent(folder: PathBuf) -> Self {
        Self {
            folder: Folder::Persistent(folder),
            shared_buffers_mb: 512,
            nats_sync_interval: "always".to_owned(),
            ..Self::temporary()
        }
    }
}
