//! All three servers run, and are what they should be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result};
use clickwire_services::{Error, Options, Port, Services, Source};

#[test]
fn all_servers_answer_on_loopback_below_the_ephemeral_ports() -> Result<()> {
    let services = Services::shared()?;
    for url in [services.nats_url(), services.redis_url(), services.database_url()] {
        let address = address(url)?;
        let port: u16 = address.rsplit(':').next().context("no port")?.parse()?;
        assert!(address.starts_with("127.0.0.1:") && port < 32_768, "{address}");
        TcpStream::connect(address)?;
    }
    Ok(())
}

#[test]
fn nats_greets_with_jetstream() -> Result<()> {
    let stream = TcpStream::connect(address(Services::shared()?.nats_url())?)?;
    let mut greeting = String::new();
    BufReader::new(stream).read_line(&mut greeting)?;
    assert!(greeting.starts_with("INFO ") && greeting.contains("\"jetstream\":true"), "{greeting}");
    Ok(())
}

#[test]
fn redis_answers_a_ping() -> Result<()> {
    let mut stream = TcpStream::connect(address(Services::shared()?.redis_url())?)?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"+PONG\r\n");
    Ok(())
}

#[test]
fn a_fresh_database_takes_timescaledb_and_is_durable() -> Result<()> {
    let services = Services::shared()?;
    let url = services.fresh_database()?;
    let database = url.rsplit('/').next().context("no database in the URL")?;
    assert_ne!(services.fresh_database()?, url);
    services.psql(database, "CREATE EXTENSION timescaledb")?;
    let version =
        services.psql(database, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")?;
    assert!(version.starts_with("2."), "{version}");
    services.psql(database, "CREATE TABLE t (at timestamptz NOT NULL)")?;
    services.psql(database, "SELECT create_hypertable('t', by_range('at'))")?;
    services.psql(database, "INSERT INTO t VALUES (now())")?;
    for setting in ["fsync", "synchronous_commit"] {
        assert_eq!(services.psql(database, &format!("SHOW {setting}"))?, "on");
    }
    Ok(())
}

#[test]
fn the_database_refuses_whoever_has_no_password() -> Result<()> {
    let services = Services::shared()?;
    let method = "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules";
    assert_eq!(services.psql("clickwire", method)?, "scram-sha-256");
    Ok(())
}

#[test]
fn a_taken_port_is_an_error_that_names_it() -> Result<()> {
    let taken = TcpListener::bind(("127.0.0.1", 0))?;
    let port = taken.local_addr()?.port();
    let options = Options { redis: Source::Start(Port::Exactly(port)), ..Options::temporary() };
    match Services::start(&options, &|_| ()) {
        Err(error @ Error::PortTaken { .. }) => {
            assert!(error.to_string().contains(&format!("port {port} for Redis")), "{error}");
        }
        other => panic!("expected a taken port, got {other:?}"),
    }
    Ok(())
}

fn address(url: &str) -> Result<&str> {
    let authority = url.split("//").nth(1).context("no authority")?.split('/').next().context("no host")?;
    Ok(authority.rsplit('@').next().unwrap_or(authority))
}
