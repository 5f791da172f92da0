//! Subjects and partitions of the JetStream stream.
//!
//! Clicks with one id always take the same subject, so that one consumer finds out which of them counts, while those of
//! a popular ad are shared out among all.

use uuid::Uuid;

/// The number of partitions of a stream, unless configured otherwise.
pub const DEFAULT_PARTITIONS: u16 = 4;

/// The partition of the clicks with an id: both halves of it, combined by exclusive or and mixed as MurmurHash3 ends
/// (`fmix64`), modulo `partitions`.
///
/// Changing this function, or the number of partitions of a stream that holds clicks, sends a click and its repetition
/// to different consumers, which may count both at the same instant if they differ in their time. Before the number is
/// made smaller, the stream must be empty: nobody reads the partitions that fall away.
pub fn partition_of(click_id: Uuid, partitions: u16) -> u16 {
    let (first, second) = click_id.as_u64_pair();
    let mut hash = first ^ second;
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    ((hash ^ (hash >> 33)) % u64::from(partitions.max(1))) as u16
}

/// Names of a stream, its subjects, its consumers and its dead-letter stream, all from the
/// stream's name: `CLICKS` → `clicks.0` …, `CLICKS_DLQ`, `clicks_dlq`.
///
/// Capitals make no difference to subjects and locks, so two names that differ in nothing else get in each
/// other's way at once, and never half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    stream: String,
}

/// An advisory lock of PostgreSQL, in its form of two numbers (`pg_advisory_xact_lock(int, int)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdvisoryLock {
    /// The number of a deployment, made from the name of its stream.
    pub deployment: i32,
    /// The number of the work under the lock: a partition's, or less than 0 for work on the whole.
    pub work: i32,
}

impl Names {
    /// The rule for a name, for messages.
    pub const RULE: &str = "from 1 to 64 letters, digits, _ and -";

    /// The beginning of the names of the lake's consumers.
    pub const LAKE_CONSUMER: &str = "lake-";

    /// Returns whether a stream, or whatever else names a deployment, may be called so. JetStream allows no dots,
    /// spaces or wildcards.
    pub fn is_name(name: &str) -> bool {
        (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    }

    /// Names for the stream called `stream`, a name.
    pub fn new(stream: impl Into<String>) -> Self {
        Self { stream: stream.into() }
    }

    /// The stream of clicks.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The subject of one partition.
    pub fn subject(&self, partition: u16) -> String {
        format!("{}.{partition}", self.stream.to_lowercase())
    }

    /// The subjects of all partitions, as the broker matches them.
    pub fn subjects(&self) -> String {
        format!("{}.*", self.stream.to_lowercase())
    }

    /// The durable consumer of one partition.
    pub fn consumer(&self, partition: u16) -> String {
        format!("aggregator-{partition}")
    }

    /// The lock under which a partition's batches are committed. A database is one deployment's: its locks are
    /// named after its stream.
    pub fn partition_lock(&self, partition: u16) -> AdvisoryLock {
        AdvisoryLock { deployment: self.locks(), work: i32::from(partition) }
    }

    /// The lock under which verdicts and buckets change.
    pub fn deployment_lock(&self) -> AdvisoryLock {
        AdvisoryLock { deployment: self.locks(), work: -1 }
    }

    /// The lock of the aggregator that compares buckets with the ledger on schedule.
    pub fn reconciliation_lock(&self) -> AdvisoryLock {
        AdvisoryLock { deployment: self.locks(), work: -2 }
    }

    /// The lock of the process that archives.
    pub fn lake_lock(&self) -> AdvisoryLock {
        AdvisoryLock { deployment: self.locks(), work: -3 }
    }

    /// The first number of each of its locks: 64-bit FNV-1a of the name, modulo 65,535.
    fn locks(&self) -> i32 {
        const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let name = self.stream.to_ascii_uppercase();
        let hash = name.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
        (hash % u64::from(u16::MAX)) as i32
    }

    /// The stream of messages that could not be read.
    pub fn dead_letter_stream(&self) -> String {
        format!("{}_DLQ", self.stream)
    }

    /// The subject of messages that could not be read.
    pub fn dead_letter_subject(&self) -> String {
        format!("{}_dlq", self.stream.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_stable_across_releases() {
        // Pinned, for a change would send repetitions to other consumers.
        let partitions: Vec<u16> = (1..=8).map(|n| partition_of(Uuid::from_u128(n), 4)).collect();
        assert_eq!(partitions, [0, 3, 2, 1, 1, 3, 1, 3]);
        assert_eq!(partition_of(Uuid::max(), 0), 0);
    }

    #[test]
    fn names_that_share_subjects_share_locks() {
        let (one, other) = (Names::new("CLICKS"), Names::new("clicks"));
        assert_eq!(one.subject(0), other.subject(0));
        assert_eq!(one.partition_lock(0), other.partition_lock(0));
        assert_eq!(one.deployment_lock(), other.deployment_lock());
        // Pinned: an aggregator of another version, beside this one, must take the same.
        assert_eq!(one.deployment_lock(), AdvisoryLock { deployment: 5430, work: -1 });
    }

    #[test]
    fn names_are_what_every_service_takes() {
        assert!(["CLICKS", "a", "test-1_B"].into_iter().all(Names::is_name));
        for name in ["", "a.b", "a b", "*", ">", "clïcks", "a:b", &"a".repeat(65)] {
            assert!(!Names::is_name(name), "{name}");
        }
    }

    #[test]
    fn ids_of_every_kind_spread_over_partitions() {
        let kinds: [(&str, &dyn Fn(u128) -> Uuid); 5] = [
            ("random", &|_| Uuid::new_v4()),
            ("by time", &|_| Uuid::now_v7()),
            ("counted", &Uuid::from_u128),
            ("in steps", &|n| Uuid::from_u128(n << 10)),
            ("in large steps", &|n| Uuid::from_u128(n << 90)),
        ];
        for partitions in [2, 3, 4, 16] {
            for (kind, id) in kinds {
                let mut load = vec![0_u32; usize::from(partitions)];
                for n in 0..4000 {
                    load[usize::from(partition_of(id(n), partitions))] += 1;
                }
                let alike = 4000 / u32::from(partitions);
                assert!(
                    load.iter().all(|clicks| (alike * 3 / 4..alike * 5 / 4).contains(clicks)),
                    "{kind}: {load:?}"
                );
            }
        }
    }
}
