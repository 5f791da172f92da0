//! One database is one deployment's, and one stream's: whoever comes with another name is refused, and says why.

use std::time::Duration;

use anyhow::{Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_load::traffic;
use rand::{SeedableRng as _, rngs::StdRng};

/// The name of the stack's stream, in small letters: the same subjects.
fn respelt(stack: &Stack) -> String {
    stack.names().stream().to_lowercase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_name_for_a_database_is_refused() -> Result<()> {
    let mut stack = Stack::new().await?;
    let known = stack.names().stream().to_owned();
    stack.start_aggregator().await?.kill().await?;
    stack.set("CLICKWIRE_AGGREGATOR_LISTEN", "127.0.0.1:0");
    for name in [respelt(&stack), "ANOTHER".to_owned()] {
        stack.set("CLICKWIRE_STREAM", &name);
        for (program, output) in [
            ("aggregator", stack.command(&[]).await?),
            ("server", stack.serve_to_the_end().await?),
            ("reconcile", {
                let range = ["--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T01:00:00Z"];
                stack.command(&[&["reconcile"], &range[..]].concat()).await?
            }),
        ] {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(!output.status.success(), "{program} runs as {name}");
            ensure!(said.contains(&known) && said.contains(&name), "{program}: {said}");
        }
    }
    Ok(())
}

/// A server that is there before the database is migrated learns the name later, and ends if it is another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_there_first_ends() -> Result<()> {
    let mut stack = Stack::new().await?;
    sqlx::raw_sql("ALTER TABLE deployment RENAME TO not_there_yet").execute(stack.database()).await?;
    stack.set("CLICKWIRE_STREAM", &respelt(&stack));
    let server = stack.start_server().await?;
    let named = "ALTER TABLE not_there_yet RENAME TO deployment; \
                 INSERT INTO deployment (stream) VALUES ('SOMEBODY')";
    sqlx::raw_sql(named).execute(stack.database()).await?;
    let ended = server.ended(Duration::from_secs(30)).await?;
    ensure!(!ended.success(), "{ended}");
    Ok(())
}

/// Another deployment, with a database of its own, whose subjects are this one's: its clicks are refused, not
/// counted here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_of_another_deployment_do_not_get_in() -> Result<()> {
    let mut stack = Stack::new().await?;
    let mut other = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    other.set("CLICKWIRE_STREAM", &respelt(&stack));
    let _other = other.start_server().await?;
    let mut random = StdRng::seed_from_u64(1);
    let mut post = async |stack: &Stack| -> Result<u16> {
        let click = traffic::click(&mut random, 0.0).to_string().into_bytes();
        Ok(stack.poster()?.post("/api/v1/clicks", click).await?.0.as_u16())
    };
    ensure!(post(&other).await? == 503);
    ensure!(post(&stack).await? == 202);
    eventually("ours is counted", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? >= 1).then_some(())
    })
    .await?;
    assert_eq!(stack.ledger().await?, 1);
    Ok(())
}
