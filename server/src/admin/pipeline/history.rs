//! The last hour of the pipeline, in this server's memory.

use std::collections::VecDeque;

use clickwire_protocol::pipeline::PipelinePoint;

use super::measure::Measured;

/// Time between two measurements, in seconds.
pub(super) const EVERY_SECONDS: u32 = 10;

/// Points that are kept: an hour.
const KEPT: usize = 3_600 / EVERY_SECONDS as usize;

/// The last measurement, and the points before it.
#[derive(Debug, Default)]
pub(super) struct History {
    latest: Option<Measured>,
    points: VecDeque<PipelinePoint>,
}

impl History {
    /// Adds what was measured now.
    pub(super) fn add(&mut self, now: Measured) {
        let point = point(self.latest.as_ref(), &now);
        while self.points.len() >= KEPT {
            self.points.pop_front();
        }
        self.points.push_back(point);
        self.latest = Some(now);
    }

    /// Returns the last measurement.
    pub(super) fn latest(&self) -> Option<&Measured> {
        self.latest.as_ref()
    }

    /// The points, the oldest first.
    pub(super) fn points(&self) -> Vec<PipelinePoint> {
        self.points.iter().cloned().collect()
    }
}

/// Returns the growth of a counter per second; `None` if it has restarted or no time has passed.
fn rate(before: u64, now: u64, seconds: f64) -> Option<f64> {
    let grown = now.checked_sub(before)?;
    (seconds > 0.0).then(|| grown as f64 / seconds)
}

fn point(before: Option<&Measured>, now: &Measured) -> PipelinePoint {
    let seconds = before.map_or(0.0, |before| (now.at_ms - before.at_ms) as f64 / 1_000.0);
    let streams = before.and_then(|before| before.stream.as_ref()).zip(now.stream.as_ref());
    let stream = now.stream.as_ref();
    let behind = |until: clickwire_protocol::times::UnixMs| (now.at_ms - until.0).max(0);
    PipelinePoint {
        at_ms: now.at_ms,
        accepted_per_second: before.and_then(|before| accepted(before, now, seconds)),
        stored_per_second: streams.and_then(|(before, now)| rate(before.stored, now.stored, seconds)),
        counted_per_second: streams.and_then(|(before, now)| rate(before.counted, now.counted, seconds)),
        waiting: stream.map(|stream| stream.waiting),
        ledger_behind_ms: now.database.as_ref().and_then(|database| database.watermark).map(behind),
        screens_behind_ms: now.screens.map(behind),
        spooled: now.are_all.then(|| spooled(now)),
        dead_letters: stream.map(|stream| stream.dead_letters),
        stream_bytes: stream.map(|stream| stream.bytes),
        database_bytes: now.database.as_ref().map(|database| database.bytes),
        lake_waiting: stream.and_then(|stream| stream.lake_waiting),
        sessions: now.are_all.then(|| now.servers.iter().map(|server| server.sessions).sum()),
    }
}

/// Clicks in the spools of the servers that are known.
pub(super) fn spooled(now: &Measured) -> u64 {
    now.servers.iter().filter_map(|server| server.spool.as_ref()).map(|spool| spool.clicks).sum()
}

/// Returns the clicks that the servers have accepted per second; `None`: not all servers are known.
fn accepted(before: &Measured, now: &Measured, seconds: f64) -> Option<f64> {
    if !(before.are_all && now.are_all) || seconds <= 0.0 {
        return None;
    }
    let grown = now.servers.iter().map(|server| {
        let known = before.servers.iter().find(|known| known.id == server.id);
        // One that has just started began at nothing.
        server.accepted.saturating_sub(known.map_or(0, |known| known.accepted))
    });
    Some(grown.sum::<u64>() as f64 / seconds)
}

#[cfg(test)]
pub(super) mod tests {
    use clickwire_protocol::times::UnixMs;

    use super::{
        super::{measure::Stream, servers::tests::report},
        *,
    };

    pub(crate) fn measured(at_ms: i64, stored: u64) -> Measured {
        Measured {
            at_ms,
            stream: Some(Stream { stored, counted: stored / 2, waiting: 7, ..Stream::default() }),
            database: None,
            screens: Some(UnixMs(at_ms - 400)),
            servers: vec![report(1, stored)],
            are_all: true,
        }
    }

    #[test]
    fn rates_are_what_grew_since_the_moment_before() {
        let mut history = History::default();
        history.add(measured(10_000, 100));
        history.add(measured(20_000, 300));
        let points = history.points();
        assert_eq!(
            (points[0].stored_per_second, points[0].accepted_per_second),
            (None, None),
            "nothing was before"
        );
        let rates =
            (points[1].accepted_per_second, points[1].stored_per_second, points[1].counted_per_second);
        assert_eq!(rates, (Some(20.0), Some(20.0), Some(10.0)));
        assert_eq!((points[1].screens_behind_ms, points[1].ledger_behind_ms), (Some(400), None));

        // A stream that was made anew, and a server beside the first.
        let mut anew = measured(30_000, 0);
        anew.servers = vec![report(1, 300), report(2, 50)];
        history.add(anew);
        let point = history.points().pop().unwrap();
        assert_eq!((point.stored_per_second, point.accepted_per_second), (None, Some(5.0)));
        // What is away is unknown, not zero.
        history.add(Measured { stream: None, are_all: false, ..measured(40_000, 400) });
        let point = history.points().pop().unwrap();
        assert_eq!((point.waiting, point.sessions, point.spooled), (None, None, None));
        assert_eq!(point.accepted_per_second, None);
    }

    #[test]
    fn an_hour_is_kept() {
        let mut history = History::default();
        for number in 0..500 {
            history.add(measured(number * 10_000, 0));
        }
        let points = history.points();
        assert_eq!((points.len(), points[0].at_ms), (KEPT, 140 * 10_000));
    }
}
