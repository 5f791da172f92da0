//! The server's code on a database of which there may be one connection, for questions alone: all else is away.

use clap::Parser as _;
use clickwire_load::http::Server;
use clickwire_services::{Port, Reservation};
use sqlx::PgPool;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "token-of-the-community-test";

/// A server that answers.
pub(crate) struct Asked {
    pub(crate) server: Server,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    _port: Reservation,
}

impl Asked {
    /// Takes the connection of a pool for a server on the same database.
    pub(crate) async fn start(url: &str, database: &PgPool) -> anyhow::Result<Self> {
        // What a connection asks for at its start the one session of PGlite ignores, so it is told before to look
        // where the server's look first.
        sqlx::query("SET search_path = tenants, public").execute(database).await?;
        database.close().await;
        let port = Port::Free.reserve("the server")?;
        let listener = TcpListener::bind(("127.0.0.1", port.port())).await?;
        let metrics = TcpListener::bind(("127.0.0.1", 0)).await?;
        let config = clickwire_server::config::Config::parse_from([
            "clickwire-server",
            "--database-url=postgres://nobody@127.0.0.1:1/nothing",
            "--reader-database-url",
            url,
            "--database-connections=1",
            "--nats-url=nats://127.0.0.1:1",
            "--redis-url=redis://127.0.0.1:1",
            "--spool=off",
            "--ingest-keys=key-of-the-community-test",
            "--ip-hash-key=key-of-the-community-test",
            &format!("--admin-token={TOKEN}"),
        ]);
        let stop = CancellationToken::new();
        let running = tokio::spawn(clickwire_server::run(config, listener, metrics, stop.clone()));
        let server = Server::new(&format!("http://127.0.0.1:{}", port.port()), TOKEN)?;
        Ok(Self { server, stop, running, _port: port })
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.await?
    }
}
