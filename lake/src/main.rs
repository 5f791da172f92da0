//! `clickwire-lake`: archives clicks from the stream into Iceberg tables.

use std::process::ExitCode;

use anyhow::Context as _;
use clickwire_lake::{commands, config::Command, config::Config, run};
use clickwire_process::failpoint;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let config: Config = clickwire_process::settings::parse();
    config.validate()?;
    clickwire_process::log_to_stderr(&config.log, config.log_format);
    match &config.command {
        Command::Run => {
            let _points = failpoint::arm()?;
            let listener = TcpListener::bind(config.listen)
                .await
                .with_context(|| format!("listening on {}", config.listen))?;
            run(config, listener, clickwire_process::stop_on_signal()?).await?;
            Ok(ExitCode::SUCCESS)
        }
        command => commands::perform(&config, command).await,
    }
}
