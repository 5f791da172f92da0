//! The database that is measured: one of its own on services of its own, or one that is made on a given server.
//!
//! On a given server a database of another name than any of Clickwire's is made. If it is there and not empty,
//! nothing is done; in the end it is dropped if it was made here. Nothing else on that server is touched, but that
//! migrations make the role `clickwire_reader` if there is none.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clickwire_services::Programs;

use crate::interrupt::Interrupt;

/// The database's name on a given server.
const NAME: &str = "clickwire_bench_query";

/// A database, and the `psql` that sends it statements.
pub(in crate::bench) struct Database {
    psql: PathBuf,
    pub(in crate::bench) url: String,
    /// URL of the server on which it was made; it is dropped with this.
    made_on: Option<String>,
}

impl Database {
    /// A database that is there.
    pub(in crate::bench) fn at(url: &str) -> Result<Self> {
        let psql = Programs::ensure(&|_| ())?.postgres_bin.join("psql");
        Ok(Self { psql, url: url.to_owned(), made_on: None })
    }

    /// An empty one on a server, by the URL of another of its databases.
    pub(in crate::bench) fn make(server_url: &str) -> Result<Self> {
        let server = Self::at(server_url)?;
        let (address, parameters) = server_url.split_once('?').unwrap_or((server_url, ""));
        let (address, _) = address.rsplit_once('/').context("the database's URL names no database")?;
        let parameters = if parameters.is_empty() { String::new() } else { format!("?{parameters}") };
        let mut database = Self::at(&format!("{address}/{NAME}{parameters}"))?;
        let known = server.value(&format!("SELECT count(*) FROM pg_database WHERE datname = '{NAME}'"))?;
        if known == "0" {
            server.value(&format!("CREATE DATABASE {NAME} TEMPLATE template0"))?;
            database.made_on = Some(server_url.to_owned());
        } else {
            let tables = database.value(
                "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p') \
                    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')",
            )?;
            ensure!(tables == "0", "the database {NAME} is not empty: drop it, or name another server");
        }
        Ok(database)
    }

    /// Returns the result of a statement: a row a line, columns separated by `|`.
    pub(in crate::bench) fn value(&self, sql: &str) -> Result<String> {
        let output = self.psql().args(["--command", sql]).output().context("cannot run psql")?;
        if !output.status.success() {
            bail!("{sql}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Runs a script with variables.
    pub(in crate::bench) fn run(
        &self,
        script: &str,
        variables: &[(&str, &str)],
        interrupt: &Interrupt,
    ) -> Result<()> {
        // From a pipe psql reads as it goes; a failed statement ends it.
        let (reader, mut writer) = std::io::pipe()?;
        let mut psql = self.psql();
        for (name, value) in variables {
            psql.arg(format!("--set={name}={value}"));
        }
        psql.stdin(reader).stdout(Stdio::null());
        let script = script.to_owned();
        let written = std::thread::spawn(move || writer.write_all(script.as_bytes()));
        ensure!(interrupt.run(&mut psql)?.success(), "a script of the measurement failed");
        written.join().ok().context("a script was not read")??;
        Ok(())
    }

    /// Writes what a query returns into a file, as CSV.
    pub(in crate::bench) fn export(&self, query: &str, file: &Path, interrupt: &Interrupt) -> Result<()> {
        let output = File::create(file).with_context(|| format!("cannot create {}", file.display()))?;
        let mut psql = self.psql();
        psql.args(["--command", &format!("COPY ({query}) TO STDOUT (FORMAT csv)")]).stdout(output);
        ensure!(interrupt.run(&mut psql)?.success(), "the minutes could not be exported");
        Ok(())
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new(&self.psql);
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--dbname", &self.url]);
        psql
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(server_url) = &self.made_on else { return };
        let dropped = Self::at(server_url)
            .and_then(|server| server.value(&format!("DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")));
        if let Err(error) = dropped {
            crate::steps::print(&format!("cannot drop the database {NAME}: {error:#}"));
        }
    }
}
