//! `clickwire-server`: click intake, analytics, live gateway and dashboard.

use anyhow::Context as _;
use clickwire_server::{
    cli::{self, Cli, Command},
    run,
};
use tokio::net::TcpListener;

/// A request is many small allocations, made by one thread and often freed by another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Cli { config, command }: Cli = clickwire_process::settings::parse();
    config.validate()?;
    clickwire_process::log_to_stderr(&config.log, config.log_format);
    match command {
        Some(Command::Accounts { order, actor }) => {
            return cli::accounts::run(&config, order, &actor).await;
        }
        Some(Command::EraseUser { order, actor }) => {
            return cli::erase_user::run(&config, &order, &actor).await;
        }
        Some(Command::Keys { order, actor }) => return cli::keys::run(&config, order, &actor).await,
        None => {}
    }
    let _points = clickwire_process::failpoint::arm()?;
    let bind =
        async |address| TcpListener::bind(address).await.with_context(|| format!("listening on {address}"));
    let (listener, metrics) = (bind(config.listen).await?, bind(config.metrics_listen).await?);
    run(config, listener, metrics, clickwire_process::stop_on_signal()?).await
}
