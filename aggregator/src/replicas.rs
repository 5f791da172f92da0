//! Copies of the streams: how many of those that there should be are there and up to date.

use async_nats::jetstream::{
    Context, ErrorCode,
    context::GetStreamErrorKind,
    stream::{ClusterInfo, Info},
};

use crate::config::Config;

/// Copies of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replicas {
    /// The number of copies that the stream is configured to have.
    pub(crate) wanted: usize,
    /// Those that have all of it, the leader's among them; none while there is no leader, or no stream.
    pub(crate) current: usize,
}

impl Replicas {
    /// Fewer servers may fail than should be able to.
    pub(crate) fn is_short(self) -> bool {
        self.current < self.wanted
    }

    /// Enough of them agree that something can be stored.
    pub(crate) fn has_majority(self) -> bool {
        self.current * 2 > self.wanted
    }

    fn of(info: &Info) -> Self {
        Self { wanted: info.config.num_replicas.max(1), current: current(info.cluster.as_ref()) }
    }
}

/// A server that is in no cluster has its stream alone.
fn current(cluster: Option<&ClusterInfo>) -> usize {
    let Some(ClusterInfo { leader, replicas, .. }) = cluster else { return 1 };
    if leader.as_ref().is_none_or(String::is_empty) {
        return 0;
    }
    1 + replicas.iter().filter(|replica| replica.current && !replica.offline).count()
}

/// Returns whether the broker's answer is that there is no such stream.
fn is_missing(error: &GetStreamErrorKind) -> bool {
    matches!(error, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// Asks for the copies of the deployment's streams, by their names.
pub(crate) async fn observe(nats: &Context, config: &Config) -> anyhow::Result<Vec<(String, Replicas)>> {
    let names = config.names();
    let mut streams = Vec::new();
    for name in [names.stream().to_owned(), names.dead_letter_stream()] {
        let replicas = match nats.get_stream(&name).await {
            Ok(stream) => Replicas::of(stream.cached_info()),
            Err(error) if is_missing(&error.kind()) => {
                Replicas { wanted: config.stream_replicas, current: 0 }
            }
            Err(error) => return Err(error.into()),
        };
        metrics::gauge!("clickwire_stream_replicas_current", "stream" => name.clone())
            .set(replicas.current as f64);
        streams.push((name, replicas));
    }
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(cluster: Value) -> usize {
        current(Some(&serde_json::from_value(cluster).unwrap()))
    }

    #[test]
    fn copies_are_the_leader_and_those_that_have_caught_up() {
        let peer =
            |current, offline| json!({"name": "b", "current": current, "offline": offline, "active": 1});
        for (peers, expected) in [
            (json!([]), 1),
            (json!([peer(true, false), peer(true, false)]), 3),
            (json!([peer(true, false), peer(false, false)]), 2),
            (json!([peer(true, true), peer(false, true)]), 1),
        ] {
            assert_eq!(
                read(json!({"name": "c", "leader": "a", "replicas": peers.clone()})),
                expected,
                "{peers}"
            );
        }
        assert_eq!(read(json!({"name": "c", "replicas": [peer(true, false)]})), 0, "without a leader");
        assert_eq!(current(None), 1, "without a cluster");
    }
}
