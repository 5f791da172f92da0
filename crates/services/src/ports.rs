//! Ports on loopback. Free ones are looked for below 32768, where the kernel takes no ephemeral
//! ports from: an outgoing connection can't grab one between a server's stop and its restart.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::Error;

/// The choice of a server's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Any free one.
    Free,
    /// The given port, or any free one if it is taken.
    Prefer(u16),
    /// The given port, else [`Error::PortTaken`].
    Exactly(u16),
}

const LOWEST: u16 = 15_000;
const HIGHEST: u16 = 32_767;
const ATTEMPTS: usize = 500;

/// A port that nobody else who asks here gets, until this is dropped or the process ends: also while
/// nothing listens on it yet, or at the moment.
#[derive(Debug)]
pub struct Reservation {
    port: u16,
    _name: UnixListener,
}

impl Reservation {
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `None` if the port is taken. A socket with an abstract name stands for the reservation: names
    /// are unique on the machine, and the kernel forgets them with their owner.
    fn of(port: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("clickwire-port-{port}")).ok()?;
        let name = UnixListener::bind_addr(&name).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        Some(Self { port, _name: name })
    }

    /// Random, so that test programs that start together don't try the same ones.
    fn any() -> Result<Self, Error> {
        for _ in 0..ATTEMPTS {
            let port = LOWEST + u16::from_be_bytes(crate::secret::bytes()?) % (HIGHEST - LOWEST + 1);
            if let Some(reservation) = Self::of(port) {
                return Ok(reservation);
            }
        }
        Err(Error::NoFreePort)
    }
}

impl Port {
    /// Settles on a number for `server`, which an error names.
    pub fn reserve(self, server: &'static str) -> Result<Reservation, Error> {
        match self {
            Self::Free => Reservation::any(),
            Self::Prefer(port) => Reservation::of(port).map_or_else(Reservation::any, Ok),
            Self::Exactly(port) => Reservation::of(port).ok_or(Error::PortTaken { server, port }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_lies_below_the_ephemeral_ones() {
        let port = Port::Free.reserve("test").unwrap().port();
        assert!((LOWEST..=HIGHEST).contains(&port));
    }

    #[test]
    fn a_taken_port_is_replaced_or_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(Port::Prefer(port).reserve("NATS").unwrap().port(), port);
        let error = Port::Exactly(port).reserve("NATS").unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("NATS"), "{error}");
    }

    #[test]
    fn a_reserved_port_is_taken_until_it_is_given_back() {
        let reservation = Port::Free.reserve("NATS").unwrap();
        let port = Port::Exactly(reservation.port());
        assert!(port.reserve("Redis").is_err());
        drop(reservation);
        assert!(port.reserve("Redis").is_ok());
    }
}
