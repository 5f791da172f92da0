//! Other engines, for comparison: DuckDB and ClickHouse from PyPI, in a process of Python, with the same minutes and
//! with roll-ups at the same grains. They answer in that process: nothing of HTTP, of who may see what and of JSON is
//! in their times, and nothing is written meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::interrupt::Interrupt;

const PACKAGES: [&str; 7] = [
    "duckdb==1.5.5",
    "chdb==4.4.0",
    "chdb-core==26.9.0",
    "numpy==2.4.6",
    "pandas==3.1.1",
    "pyarrow==26.0.1",
    "python-dateutil==4.0.0",
];
const SCRIPT: &str = include_str!("engines.py");

/// Engines as the script names them, and as people do.
pub(super) const ENGINES: [(&str, &str); 2] = [("duckdb", "DuckDB"), ("clickhouse", "ClickHouse")];

/// The engines, by the folder of their packages.
pub(super) struct Engines(PathBuf);

impl Engines {
    /// Installs them, unless an earlier run has.
    pub(super) fn install() -> Result<Self> {
        Ok(Self(clickwire_services::python_path(&PACKAGES)?))
    }

    /// Median and 99th percentile of each statement, in ms.
    pub(super) fn measure(
        &self,
        engine: &str,
        csv: &Path,
        folder: &Path,
        statements: &[Option<String>],
        seconds: u64,
        interrupt: &Interrupt,
    ) -> Result<Vec<Option<(f64, f64)>>> {
        let folder = folder.join(engine);
        fs::create_dir(&folder)?;
        let (job, answer) = (folder.join("job.json"), folder.join("answer.json"));
        let asked = json!({
            "engine": engine, "csv": csv, "folder": folder, "seconds": seconds, "statements": statements,
            "answer": answer,
        });
        fs::write(&job, serde_json::to_vec(&asked)?)?;
        let mut python = Command::new("python3");
        python
            .env("PYTHONPATH", &self.0)
            .args(["-c", SCRIPT])
            .stdin(fs::File::open(&job)?)
            .current_dir(&folder);
        // What an engine says is not its answer.
        python.stdout(Stdio::null());
        ensure!(interrupt.run(&mut python)?.success(), "{engine} could not be measured");
        let times: Vec<Value> =
            serde_json::from_slice(&fs::read(&answer)?).context("what the engine took")?;
        // Gigabytes, which the next one needs.
        fs::remove_dir_all(&folder)?;
        Ok(times.iter().map(|times| Some((times[0].as_f64()?, times[1].as_f64()?))).collect())
    }
}
