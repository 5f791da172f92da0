//! Addresses of the broker: one server, or some of a cluster, any of which will do.
//!
//! The client library tries them in turn, and learns of the cluster's other servers from the one that it reaches. It
//! takes no login from an address, and writes addresses into its log: the login is taken out of them here.

use std::{str::FromStr, time::Duration};

use async_nats::{Client, ConnectError, ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::Url;

/// A connection is given up when three of these in a row are not answered: its other end is gone without a word. Much
/// more often, and a wire that takes seconds is given up, too, which is only slow.
const PING_EVERY: Duration = Duration::from_secs(5);

/// The name of a partition's consumer on a timeline of the database; `first` is the one on the first. What was
/// acknowledged on an older one may be lost, with a primary whose standby had not received it: no acknowledgement from
/// there may reach the consumer of a newer one.
pub fn on_timeline(first: &str, timeline: i64) -> String {
    if timeline == 1 { first.to_owned() } else { format!("{first}-t{timeline}") }
}

/// The timeline that a partition's consumer is of; `None`: the consumer is of something else. `firsts` are the names of
/// the partitions' consumers on the first timeline.
pub fn timeline_of(consumer: &str, mut firsts: impl Iterator<Item = String>) -> Option<i64> {
    firsts.find_map(|first| match consumer.strip_prefix(&first)? {
        "" => Some(1),
        rest => rest.strip_prefix("-t")?.parse().ok(),
    })
}

/// The broker's addresses in `CLICKWIRE_NATS_URL`: separated by commas, with one login for all of them.
#[derive(Clone)]
pub struct Addresses {
    servers: Vec<ServerAddr>,
    login: Option<Login>,
}

#[derive(Clone, PartialEq, Eq)]
enum Login {
    Password { user: String, password: String },
    Token(String),
}

/// An error in addresses. It never quotes one, for they may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// An empty address between two commas, or no address at all.
    #[error("an address is empty")]
    Empty,
    /// A text that is not the address of a NATS server.
    #[error("address {number}: {reason}")]
    Address {
        /// Which one, from 1.
        number: usize,
        /// The error in it.
        reason: String,
    },
    /// One login opens all servers of a cluster.
    #[error("two addresses name different logins; one is for all, and enough in the first address")]
    Logins,
}

/// A reason why there is no connection.
#[derive(Debug, Error)]
pub enum Error {
    /// The setting.
    #[error("CLICKWIRE_NATS_URL: {0}")]
    Malformed(#[from] Malformed),
    /// None of the servers takes us, and the options don't say that it be tried again.
    #[error("CLICKWIRE_NATS_URL: {0}")]
    Connect(#[from] ConnectError),
}

/// Connects to the first of the servers that takes us.
pub async fn connect(options: ConnectOptions, urls: &str) -> Result<Client, Error> {
    let Addresses { servers, login } = urls.parse()?;
    let options = options.ping_interval(PING_EVERY);
    let options = match login {
        Some(Login::Password { user, password }) => options.user_and_password(user, password),
        Some(Login::Token(token)) => options.token(token),
        None => options,
    };
    Ok(options.connect(servers).await?)
}

impl FromStr for Addresses {
    type Err = Malformed;

    fn from_str(urls: &str) -> Result<Self, Malformed> {
        let (mut servers, mut login) = (Vec::new(), None);
        for (number, address) in (1..).zip(urls.split(',').map(str::trim)) {
            if address.is_empty() {
                return Err(Malformed::Empty);
            }
            let malformed = |reason: String| Malformed::Address { number, reason };
            let server: ServerAddr = address.parse().map_err(|error| malformed(format!("{error}")))?;
            let mut url = server.into_inner();
            let own = login_of(&url);
            if own.is_some() && login.is_some() && own != login {
                return Err(Malformed::Logins);
            }
            login = login.or(own);
            let is_cleared = url.set_username("").is_ok() && url.set_password(None).is_ok();
            if !is_cleared || url.host_str().is_none_or(str::is_empty) {
                return Err(malformed("names no host".to_owned()));
            }
            servers.push(ServerAddr::from_url(url).map_err(|error| malformed(format!("{error}")))?);
        }
        Ok(Self { servers, login })
    }
}

fn login_of(url: &Url) -> Option<Login> {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (url.username(), url.password()) {
        ("", None) => None,
        (token, None) => Some(Login::Token(plain(token))),
        (user, Some(password)) => Some(Login::Password { user: plain(user), password: plain(password) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_has_a_consumer_on_each_timeline() {
        let firsts = || [0, 1].map(|partition| format!("a-{partition}")).into_iter();
        for (name, timeline) in [("a-1", 1), ("a-1-t2", 2), ("a-1-t41", 41)] {
            assert_eq!(on_timeline("a-1", timeline), name);
            assert_eq!(timeline_of(name, firsts()), Some(timeline));
        }
        for other in ["a-10", "a-10-t2", "a", "lake-7", "a-1-t", "a-1-x2"] {
            assert_eq!(timeline_of(other, firsts()), None, "{other}");
        }
    }

    fn read(urls: &str) -> Result<(Vec<String>, Option<Login>), Malformed> {
        let Addresses { servers, login } = urls.parse()?;
        Ok((servers.iter().map(|server| server.as_url_str().to_owned()).collect(), login))
    }

    fn login(user: &str, password: &str) -> Option<Login> {
        Some(Login::Password { user: user.to_owned(), password: password.to_owned() })
    }

    #[test]
    fn one_address_or_several_are_read_and_the_login_is_taken_out_of_them() {
        for (urls, servers, expected) in [
            ("nats://127.0.0.1:4222", &["nats://127.0.0.1:4222"][..], None),
            ("broker", &["nats://broker"], None),
            ("nats://a:1,nats://b:2 , c", &["nats://a:1", "nats://b:2", "nats://c"], None),
            ("tls://a:1", &["tls://a:1"], None),
            ("nats://us:pa%40ss%2C@a:1,nats://b:2", &["nats://a:1", "nats://b:2"], login("us", "pa@ss,")),
            ("nats://us:pass@a:1,nats://us:pass@b:2", &["nats://a:1", "nats://b:2"], login("us", "pass")),
            ("nats://b:2,nats://us:pass@a:1", &["nats://b:2", "nats://a:1"], login("us", "pass")),
            ("nats://s3cret@[::1]:1", &["nats://[::1]:1"], Some(Login::Token("s3cret".to_owned()))),
        ] {
            let (read, found) = read(urls).unwrap_or_else(|error| panic!("{urls}: {error}"));
            assert_eq!(read, servers, "{urls}");
            assert!(found == expected, "{urls}");
        }
    }

    #[test]
    fn nonsense_is_refused_without_being_quoted() {
        for urls in ["", ",", "nats://us:s3cret@a,", "nats://a,,nats://b"] {
            assert_eq!(read(urls).err(), Some(Malformed::Empty), "{urls}");
        }
        assert_eq!(read("nats://us:s3cret@a,nats://us:other@b").err(), Some(Malformed::Logins));
        for urls in ["http://us:s3cret@a", "nats://us:s3cret@a:99999", "nats://a,nats://us:s3cret@:1"] {
            let error = read(urls).err().unwrap_or_else(|| panic!("{urls} is taken")).to_string();
            assert!(error.starts_with("address ") && !error.contains("s3cret"), "{urls}: {error}");
        }
    }
}
