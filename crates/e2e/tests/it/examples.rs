//! The programs in `examples/` do what they say, against a real server.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, examples};
use clickwire_services::Package;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::live::{SOON, counted};

/// The compiler of TypeScript.
const TYPESCRIPT: Package = Package::Node("typescript", "5.9.3");

/// Programs that run the examples which post a click, with the examples' files.
const POSTERS: [(&str, &str); 4] =
    [("sh", "post_click.sh"), ("python3", "post_click.py"), ("tsc", "post_click.ts"), ("", "post_click.rs")];

/// The folder with the examples' sources.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Checks and compiles an example in TypeScript into a folder, and returns the script.
async fn compiled(file: &str, into: &Path) -> Result<PathBuf> {
    let compiler = tokio::task::spawn_blocking(|| TYPESCRIPT.folder()).await??.join("lib/tsc.js");
    let options =
        ["--strict", "--target", "es2022", "--lib", "es2022,dom", "--module", "nodenext", "--outDir"];
    let mut compile = Command::new("node");
    compile.arg(compiler).args(options).arg(into).arg(sources().join(file));
    let output = compile.output().await?;
    ensure!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(into.join(file).with_extension("js"))
}

/// An example, told where the server is.
async fn example(stack: &Stack, interpreter: &str, file: &str) -> Result<Command> {
    let mut command = match interpreter {
        "" => Command::new(examples()?.join(file).with_extension("")),
        "tsc" => {
            let folder = std::env::temp_dir().join(format!("clickwire-examples-{}", std::process::id()));
            let mut command = Command::new("node");
            command.arg(compiled(file, &folder).await?);
            command
        }
        _ => {
            let mut command = Command::new(interpreter);
            command.arg(sources().join(file));
            command
        }
    };
    command.arg(stack.server_url());
    command.env("INGEST_KEY", Stack::ingest_key()).env("VIEWER_TOKEN", Stack::viewer_token("adv_001"));
    command.kill_on_drop(true);
    Ok(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_language_posts_a_click() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    for (posted, (interpreter, file)) in (1..).zip([POSTERS, POSTERS].concat()) {
        let output = example(&stack, interpreter, file).await?.output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{file}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
        assert_eq!((&answer["success"], &answer["is_duplicate"]), (&true.into(), &false.into()), "{said}");
        counted(&stack, posted).await?;
    }
    // A key that nobody has: the reason is shown, and the program fails.
    for (interpreter, file) in POSTERS {
        let mut stranger = example(&stack, interpreter, file).await?;
        let output = stranger.env("INGEST_KEY", "nobody-has-this-key").output().await?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(!output.status.success() && said.contains("401"), "{file}: {said}");
    }
    Ok(())
}

/// Waits for a line that ends so.
async fn says(lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>, end: &str) -> Result<()> {
    let said = async {
        while let Some(line) = lines.next_line().await? {
            if line.ends_with(end) {
                return Ok(());
            }
        }
        anyhow::bail!("it has ended")
    };
    timeout(SOON * 3, said).await.with_context(|| format!("it does not say {end:?}"))?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboards_show_a_click_and_go_on_after_a_restart() -> Result<()> {
    for (interpreter, file) in [("node", "dashboard.mjs"), ("", "watch_clicks.rs")] {
        shows_a_click_and_goes_on(interpreter, file).await.context(file)?;
    }
    Ok(())
}

async fn shows_a_click_and_goes_on(interpreter: &str, file: &str) -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    let mut dashboard: Child =
        example(&stack, interpreter, file).await?.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(dashboard.stdout.take().context("no output")?).lines();
    says(&mut lines, ": 0 billable clicks in the last hour").await?;
    for (clicks, restart) in [(1, false), (2, true)] {
        if restart {
            server.crash().await?;
            server.revive().await?;
            server.await_ready().await?;
        }
        let posted = example(&stack, "python3", "post_click.py").await?.output().await?;
        ensure!(posted.status.success(), "{}", String::from_utf8_lossy(&posted.stderr));
        says(&mut lines, &format!(": {clicks} billable clicks in the last hour")).await?;
    }
    Ok(())
}
