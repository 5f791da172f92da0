//! The owner of a port: an answer on it may come from somebody else's server, while ours has not yet found out that
//! it can't have it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// In `/proc/net/tcp`, the state of a socket that listens.
const LISTENS: &str = "0A";

/// The listener on a port of this machine's loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listener {
    /// No process.
    Nobody,
    /// The process that was asked about.
    Process,
    /// Another one, described as far as we may know it.
    Stranger(String),
}

/// A socket that listens.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    user: String,
    inode: String,
}

/// Returns the listener on a port of loopback: the process `pid`, another one or none.
pub fn listener(port: u16, pid: u32) -> io::Result<Listener> {
    let mut sockets = listening(&fs::read_to_string("/proc/net/tcp")?, port);
    // Where there is no IPv6 there is no such file.
    sockets.extend(listening(&fs::read_to_string("/proc/net/tcp6").unwrap_or_default(), port));
    let process = format!("/proc/{pid}");
    let is_its = |socket: &Socket| match has(Path::new(&process), &socket.inode) {
        Ok(has) => has,
        // Another user's, without the right to look (root in a container): its user is all there is to go by.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fs::metadata(&process).is_ok_and(|process| process.uid().to_string() == socket.user)
        }
        Err(_) => false,
    };
    if sockets.iter().any(is_its) {
        return Ok(Listener::Process);
    }
    Ok(sockets.first().map_or(Listener::Nobody, |socket| Listener::Stranger(describe(socket))))
}

/// Returns the owner of a port, if a process listens on it.
pub fn owner(port: u16) -> Option<String> {
    match listener(port, 0) {
        Ok(Listener::Stranger(owner)) => Some(owner),
        Ok(Listener::Nobody | Listener::Process) | Err(_) => None,
    }
}

/// The sockets of a table like `/proc/net/tcp` that take connections to 127.0.0.1 on this port.
fn listening(table: &str, port: u16) -> Vec<Socket> {
    let socket = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (address, at) = columns.get(1)?.split_once(':')?;
        // Addresses are hexadecimal and in the machine's order: 127.0.0.1, or any; IPv6's any takes IPv4, too.
        let reaches = address.bytes().all(|digit| digit == b'0') || address.ends_with("0100007F");
        let is_it = *columns.get(3)? == LISTENS && u16::from_str_radix(at, 16).ok()? == port && reaches;
        is_it.then_some(Socket { user: (*columns.get(7)?).to_owned(), inode: (*columns.get(9)?).to_owned() })
    };
    table.lines().filter_map(socket).collect()
}

/// Returns whether a process (its folder in `/proc`) has this socket.
fn has(process: &Path, inode: &str) -> io::Result<bool> {
    let socket = format!("socket:[{inode}]");
    let mut refused = None;
    for file in fs::read_dir(process.join("fd"))?.flatten() {
        match fs::read_link(file.path()) {
            Ok(link) if link.as_os_str() == socket.as_str() => return Ok(true),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => refused = Some(error),
            // Another file, or one that has been closed meanwhile.
            Ok(_) | Err(_) => {}
        }
    }
    refused.map_or(Ok(false), Err)
}

fn describe(socket: &Socket) -> String {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let owner = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok().map(|pid| (pid, entry.path())))
        .find(|(_, process)| has(process, &socket.inode).unwrap_or(false));
    match owner {
        Some((pid, process)) => {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            format!("process {pid} ({})", name.trim())
        }
        None => format!("a process of the user with the number {}", socket.user),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
    use std::process::Command;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn ours_is_told_from_a_strangers() {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = nobody.local_addr().unwrap().port();
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(listener(port, std::process::id()).unwrap(), Listener::Process);
        let Listener::Stranger(owner) = listener(port, other.id()).unwrap() else { panic!("not a stranger") };
        assert!(owner.contains(&std::process::id().to_string()), "{owner}");
        drop(nobody);
        // A child that another test starts at this moment has a copy of the socket until it executes its program.
        let gone = Instant::now() + Duration::from_secs(10);
        while listener(port, other.id()).unwrap() != Listener::Nobody && Instant::now() < gone {
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(listener(port, other.id()).unwrap(), Listener::Nobody);
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn whoever_listens_on_every_address_listens_on_loopback() {
        for any in
            [TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)), TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))]
        {
            // A machine without IPv6 has nobody there.
            let Ok(any) = any else { continue };
            let port = any.local_addr().unwrap().port();
            assert_eq!(listener(port, std::process::id()).unwrap(), Listener::Process);
        }
    }

    #[test]
    fn connections_and_other_ports_are_no_listeners() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 42 1 0 100 0\n\
            1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 43 1 0 100 0\n\
            2: 0200000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 44 1 0 100 0\n";
        assert_eq!(listening(table, 8080), [Socket { user: "1000".to_owned(), inode: "42".to_owned() }]);
        assert_eq!(listening(table, 8081), []);
    }
}
