//! Redis or Valkey: only the road between aggregator and gateways, so nothing is kept on disk.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::Program;

/// Returns the program that runs the server; its working folder is `folder`.
pub(crate) fn program(path: &Path, folder: &Path, port: u16) -> Program {
    let mut args = Vec::new();
    for (name, value) in [
        ("--bind", "127.0.0.1"),
        ("--port", &port.to_string()),
        ("--protected-mode", "yes"),
        ("--save", ""),
        ("--appendonly", "no"),
        // Only deltas and short streams live here: more would be a leak, and refusing shows it.
        ("--maxmemory", "512mb"),
        ("--maxmemory-policy", "noeviction"),
        ("--daemonize", "no"),
    ] {
        args.extend([name.into(), value.into()]);
    }
    args.extend(["--dir".into(), folder.into()]);
    Program {
        name: "redis",
        stop_signal: "TERM",
        path: path.to_owned(),
        args,
        env: Vec::new(),
        log: folder.join("redis.log"),
    }
}

/// Returns whether the server answers a ping.
pub(crate) fn is_ready(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut answer = [0; 7];
    stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"+PONG\r\n"
}
