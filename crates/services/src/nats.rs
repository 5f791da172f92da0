//! NATS with JetStream on file storage.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::{Error, Program};

/// Writes the configuration into `folder` and says how to run the server with it.
pub(crate) fn program(path: &Path, folder: &Path, port: u16, sync_interval: &str) -> Result<Program, Error> {
    let config = folder.join("nats.conf");
    let store = folder.join("nats");
    // JSON strings are valid NATS configuration strings; a debug-printed path is close enough to one.
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\n\
         server_name: clickwire\n\
         jetstream {{\n  store_dir: {store:?}\n  max_memory_store: 64MB\n  max_file_store: 64GB\n  \
         sync_interval: \"{sync_interval}\"\n}}\n"
    );
    std::fs::write(&config, text).map_err(Error::io(|| format!("cannot write {}", config.display())))?;
    Ok(Program {
        name: "nats",
        stop_signal: "TERM",
        path: path.to_owned(),
        args: vec!["--config".into(), config.into()],
        env: Vec::new(),
        log: folder.join("nats.log"),
    })
}

/// Returns whether the server greets with JetStream switched on.
pub(crate) fn is_ready(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut greeting = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && BufReader::new(stream).read_line(&mut greeting).is_ok()
        && greeting.starts_with("INFO ")
        && greeting.contains("\"jetstream\":true")
}
