//! An aggregator without a server beside it, and its metrics.

use anyhow::{Result, ensure};
use clickwire_services::{Port, Program, Reservation, Supervisor, alive, tail};

use crate::up::{
    ask,
    launch::{Launch, loopback},
};

const LOG_LINES: usize = 20;

/// A running aggregator. Dropping it lets it finish its batches and stops it.
pub(super) struct Aggregator {
    program: Program,
    pid: u32,
    port: Reservation,
    _supervisor: Supervisor,
}

/// Metrics of one or more aggregators, in Prometheus' text format.
#[derive(Default)]
pub(super) struct Metrics(String);

impl Aggregator {
    pub(super) fn start(launch: &Launch<'_>) -> Result<Self> {
        Self::start_with(launch, &[])
    }

    /// Starts an aggregator with settings of its own.
    pub(super) fn start_with(launch: &Launch<'_>, settings: &[(&'static str, String)]) -> Result<Self> {
        let port = Port::Free.reserve("the aggregator")?;
        let listen = ("CLICKWIRE_AGGREGATOR_LISTEN", loopback(port.port()));
        let settings = [settings, &[listen]].concat();
        let program = launch.program("aggregator", "clickwire-aggregator", &[], &settings)?;
        let log = launch.deployment.logs().join("supervisor.log");
        let supervisor = Supervisor::start(&log, None, None)?;
        let pid = supervisor.spawn(&program)?;
        Ok(Self { program, pid, port, _supervisor: supervisor })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn is_ready(&self) -> Result<bool> {
        ask::is_ready_process(self.port.port(), self.pid)
    }

    /// An error if it has ended, with the end of its log.
    pub(super) fn check(&self) -> Result<()> {
        let log = || tail(&self.program.log, LOG_LINES);
        ensure!(alive(self.pid), "an aggregator has ended; its log ends with:\n{}", log());
        Ok(())
    }

    /// Returns its metrics; none before it listens.
    pub(super) fn metrics(&self) -> Metrics {
        Metrics::of(self.port.port())
    }
}

impl FromIterator<Metrics> for Metrics {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        Self(all.into_iter().map(|metrics| metrics.0 + "\n").collect())
    }
}

impl Metrics {
    /// Reads the metrics of the program on this port of 127.0.0.1; empty before it listens.
    pub(super) fn of(port: u16) -> Self {
        Self(ask::get(port, "/metrics").unwrap_or_default())
    }

    /// The sum of a series, named with its labels as it is rendered.
    pub(super) fn sum(&self, series: &str) -> f64 {
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse::<f64>().ok();
        self.0.lines().filter_map(value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn a_series_is_summed_over_aggregators_and_told_from_longer_names() {
        let one = || Metrics("clicks_total 3\nclicks_total_seen 4\nsum{stage=\"read\"} 0.5\n".to_owned());
        let metrics: Metrics = [one(), one()].into_iter().collect();
        assert_eq!(metrics.sum("clicks_total"), 6.0);
        assert_eq!(metrics.sum("sum{stage=\"read\"}"), 1.0);
        assert_eq!(metrics.sum("absent"), 0.0);
    }
}
