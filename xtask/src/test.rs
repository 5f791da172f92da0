//! `cargo xtask test`: everything that must hold before a change is merged.

use anyhow::{Result, bail};
use clickwire_services::Programs;

use crate::interrupt::Interrupt;
use crate::steps::Steps;
use crate::{supply_chain, toolbox, wasm, workspace};

pub(crate) fn run() -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let steps = Steps::start();
    let cargo = |headline: &str, arguments: &[&str]| -> Result<()> {
        steps.say(headline);
        let mut command = workspace::cargo();
        command.args(arguments).env("CARGO_TERM_PROGRESS_WHEN", "never");
        // Tests of the whole start the programs that were built with them.
        command.env("CLICKWIRE_PROGRAMS", workspace::debug_programs()?);
        // Errors say what failed; where they came from is known by their texts.
        command.env("RUST_LIB_BACKTRACE", "0");
        if !interrupt.run(&mut command)?.success() {
            bail!("`cargo {}` failed", arguments.join(" "));
        }
        Ok(())
    };

    cargo("Formatting", &["fmt", "--all", "--check"])?;

    steps.say("Installing what is missing: servers, browser");
    Programs::ensure(&|step| steps.say(step))?;
    toolbox::ensure_browser()?;
    interrupt.check()?;

    steps.say("Licences and sources of dependencies, bills of materials");
    supply_chain::check()?;
    let bills = supply_chain::bills_of_materials()?;
    steps.say(&format!("Bills of materials are in {}", bills.display()));
    interrupt.check()?;

    // Before anything else is compiled: the server embeds what this builds.
    steps.say("Dashboard for the browser");
    wasm::build(true)?;
    interrupt.check()?;

    // Of the default members: the dashboard has its own, below.
    cargo("Lints", &["clippy", "--quiet", "--all-targets", "--", "--deny", "warnings"])?;

    cargo("Compiling programs and tests", &["build", "--quiet", "--bins", "--tests"])?;
    cargo("Tests", &["test"])?;
    wasm::check(&cargo)?;

    steps.say("Everything passed");
    Ok(())
}
