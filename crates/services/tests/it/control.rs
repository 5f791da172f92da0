//! Single servers can be stopped, crashed and restarted under a running test, and keep their data.

use anyhow::Result;
use clickwire_services::{Error, Options, Server, Services, Source, alive};

#[test]
fn a_killed_server_comes_back_on_its_port_with_its_data() -> Result<()> {
    let services = Services::start(&Options::temporary(), &|_| ())?;
    let (nats, database) = (services.nats_url().to_owned(), services.database_url().to_owned());
    let before = services.pids();
    services.psql("clickwire", "CREATE TABLE kept AS SELECT 42 AS answer")?;

    for server in [Server::Database, Server::Nats, Server::Redis] {
        services.kill(server)?;
    }
    for pid in [before.nats, before.redis, before.database].into_iter().flatten() {
        assert!(!alive(pid));
    }
    for server in [Server::Database, Server::Nats, Server::Redis] {
        services.restart(server)?;
    }

    assert_eq!(services.psql("clickwire", "SELECT answer FROM kept")?, "42");
    assert_eq!((services.nats_url(), services.database_url()), (nats.as_str(), database.as_str()));
    let after = services.pids();
    assert!(after.database.is_some_and(alive) && after.database != before.database);
    Ok(())
}

#[test]
fn a_halted_server_is_away_until_it_is_restarted() -> Result<()> {
    let services = Services::start(&Options::temporary(), &|_| ())?;
    services.halt(Server::Database)?;
    assert!(services.psql("clickwire", "SELECT 1").is_err());
    services.restart(Server::Database)?;
    assert_eq!(services.psql("clickwire", "SELECT 1")?, "1");
    Ok(())
}

#[test]
fn a_persistent_folder_keeps_data_and_password() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("clickwire-kept-{}", clickwire_services::secret()?));
    let redis = Source::Use("redis://127.0.0.1:1".to_owned());
    let options =
        Options { redis, nats_sync_interval: "always".into(), ..Options::persistent(folder.clone()) };
    let first = Services::start(&options, &|_| ())?;
    first.psql("clickwire", "CREATE TABLE kept AS SELECT 42 AS answer")?;
    first.stop();
    assert!(folder.exists());

    let second = Services::start(&options, &|_| ())?;
    assert_eq!(second.psql("clickwire", "SELECT answer FROM kept")?, "42");
    assert_eq!(second.redis_url(), "redis://127.0.0.1:1");
    assert!(matches!(second.kill(Server::Redis), Err(Error::NotOurs("Redis"))));
    second.stop();
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
