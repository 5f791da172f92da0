//! `cargo xtask test`: everything that must hold before a change is merged, or the part of it that is asked for.

mod instructions;
mod suite;

use std::time::Instant;

use anyhow::{Result, bail};
use clickwire_services::Programs;

use crate::interrupt::Interrupt;
use crate::steps::Steps;
use crate::{docs, manifests, supply_chain, toolbox, wasm, workspace};
use suite::Suite;

/// Packages that wait for the page: it is embedded in the server, whose answers the aggregator's tests read.
const OF_THE_PAGE: [&str; 2] = ["clickwire-server", "clickwire-aggregator"];

/// The checks to run; without an option all of them.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Formatting, documents, lints and unit tests alone; needs no services and no browser
    #[arg(long, conflicts_with = "only")]
    quick: bool,
    /// Tests alone whose names contain NAME, such as `fraud::` or `resends`; no lints
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let checks = Checks { steps: Steps::start(), interrupt: Interrupt::listen()? };
    match arguments {
        Arguments { only: Some(name), .. } => checks.only(name)?,
        Arguments { quick: true, .. } => checks.quick()?,
        Arguments { .. } => checks.everything()?,
    }
    checks.steps.say(&format!("Everything passed, in {} s", started.elapsed().as_secs()));
    Ok(())
}

/// Counts the instructions of pure parts, in the programs of tests.
pub(crate) fn count_instructions() -> Result<()> {
    let checks = Checks { steps: Steps::start(), interrupt: Interrupt::listen()? };
    toolbox::ensure(&[toolbox::VALGRIND])?;
    checks.page()?;
    checks.steps.say("Compiling unit tests");
    let mut suite = Suite::new(&checks.steps, &checks.interrupt);
    suite.find(&["--lib"])?;
    instructions::check(&suite, &checks.interrupt)
}

struct Checks {
    steps: Steps,
    interrupt: Interrupt,
}

impl Checks {
    /// Runs the checks for the time between two edits.
    fn quick(&self) -> Result<()> {
        self.format()?;
        self.documents()?;
        self.lints()?;
        let mut suite = Suite::new(&self.steps, &self.interrupt);
        suite.run("Unit tests", &["--lib", "--bins"], None)?;
        suite.print_slowest();
        Ok(())
    }

    /// Runs some tests, with the things that they need.
    fn only(&self, name: &str) -> Result<()> {
        self.install()?;
        self.page()?;
        self.compile()?;
        let mut suite = Suite::new(&self.steps, &self.interrupt);
        if suite.run(&format!("Tests whose names contain {name}"), &[], Some(name))? == 0 {
            bail!("no test has a name that contains {name:?}");
        }
        suite.print_slowest();
        Ok(())
    }

    fn everything(&self) -> Result<()> {
        self.format()?;
        self.documents()?;
        self.install()?;
        toolbox::ensure(&[toolbox::VALGRIND])?;

        self.steps.say("Helm chart and files of Compose");
        manifests::check()?;
        self.interrupt.check()?;

        self.steps.say("Licences and sources of dependencies, bills of materials");
        supply_chain::check()?;
        let bills = supply_chain::bills_of_materials()?;
        self.steps.say(&format!("Bills of materials are in {}", bills.display()));
        self.interrupt.check()?;

        // The last step of the page's build has one thread, and lints take the other core; but for those of the server,
        // which embeds the page.
        std::thread::scope(|scope| {
            let page = scope.spawn(|| self.page());
            let others = OF_THE_PAGE.iter().flat_map(|package| ["--exclude", package]);
            let lints = self.lints_of(&["--workspace"].into_iter().chain(others).collect::<Vec<_>>());
            page.join().unwrap_or_else(|_| bail!("the build of the page died")).and(lints)
        })?;
        self.lints()?;
        self.compile()?;
        let mut suite = Suite::new(&self.steps, &self.interrupt);
        suite.run("Tests", &[], None)?;
        suite.print_slowest();
        self.steps.say("Instructions of pure parts");
        instructions::check(&suite, &self.interrupt)?;
        self.cargo("Examples in the documentation", &["test", "--quiet", "--doc"])?;
        self.documentation()
    }

    fn format(&self) -> Result<()> {
        self.cargo("Formatting", &["fmt", "--all", "--check"])
    }

    fn documents(&self) -> Result<()> {
        self.steps.say("Documents");
        docs::check()
    }

    fn lints(&self) -> Result<()> {
        self.lints_of(&[])
    }

    /// Lints of the packages that cargo is told to select.
    fn lints_of(&self, packages: &[&str]) -> Result<()> {
        let (before, behind) = (["clippy", "--quiet", "--all-targets"], ["--", "--deny", "warnings"]);
        self.cargo("Lints", &[&before, packages, &behind].concat())
    }

    fn compile(&self) -> Result<()> {
        let targets = ["build", "--quiet", "--bins", "--tests", "--examples"];
        self.cargo("Compiling programs, examples and tests", &targets)
    }

    /// The documentation of all items, private ones too, for those who work here.
    fn documentation(&self) -> Result<()> {
        self.steps.say("Documentation of the code");
        let mut command = workspace::cargo();
        command.args(["doc", "--quiet", "--no-deps", "--document-private-items"]);
        command.env("RUSTDOCFLAGS", "--deny warnings").env("CARGO_TERM_PROGRESS_WHEN", "never");
        if !self.interrupt.run(&mut command)?.success() {
            bail!("the documentation has dead links or the like");
        }
        Ok(())
    }

    fn page(&self) -> Result<()> {
        self.steps.say("Dashboard for the browser");
        wasm::build(true)?;
        self.interrupt.check()
    }

    fn install(&self) -> Result<()> {
        self.steps.say("Installing what is missing: servers, browser");
        Programs::ensure(&|step| self.steps.say(step))?;
        toolbox::ensure(&toolbox::BROWSER)?;
        self.interrupt.check()
    }

    /// Runs cargo in the repository's root, under a headline.
    fn cargo(&self, headline: &str, arguments: &[&str]) -> Result<()> {
        self.steps.say(headline);
        let mut command = workspace::cargo();
        command.args(arguments).env("CARGO_TERM_PROGRESS_WHEN", "never");
        if !self.interrupt.run(&mut command)?.success() {
            bail!("`cargo {}` failed", arguments.join(" "));
        }
        Ok(())
    }
}
