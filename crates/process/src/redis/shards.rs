//! Which shard of a cluster a command is for, and which shards are silent.
//!
//! A shard that does not answer is left alone: what it is asked fails at once, until it answers a question of ours over
//! a new connection. Nobody waits for it meanwhile, and the connection to the other shards stays in use: the library
//! holds up all commands of a connection while it looks for a node that it has none to.

use std::ops::RangeInclusive;

use redis::{Arg, Cmd, RedisResult, Value, from_redis_value};

/// Hash slots of a cluster.
const SLOTS: u16 = 16_384;

/// The hash slot of a key: the same rule as the cluster's
/// (<https://valkey.io/topics/cluster-spec/>, "Key distribution model", "Hash tags").
pub fn slot(key: &[u8]) -> u16 {
    let tag = || {
        let rest = &key[key.iter().position(|byte| *byte == b'{')? + 1..];
        let tag = &rest[..rest.iter().position(|byte| *byte == b'}')?];
        (!tag.is_empty()).then_some(tag)
    };
    crc16::State::<crc16::XMODEM>::calculate(tag().unwrap_or(key)) % SLOTS
}

/// The first key, or the channel, of a command of those that we send; `None` if it is for no shard in particular.
pub(super) fn key(command: &Cmd) -> Option<&[u8]> {
    let argument = |number| {
        command.args_iter().nth(number).and_then(|argument| match argument {
            Arg::Simple(bytes) => Some(bytes),
            _ => None,
        })
    };
    let is = |name: &[u8]| argument(0).is_some_and(|called| called.eq_ignore_ascii_case(name));
    match () {
        // The text of the script, and the number of its keys, are before them.
        () if is(b"EVAL") || is(b"EVALSHA") => argument(3),
        () if is(b"SCRIPT") => None,
        () => argument(1),
    }
}

/// The shards that do not answer.
#[derive(Debug, Default)]
pub(super) struct Silent(Vec<Shard>);

#[derive(Debug)]
struct Shard {
    /// The slot that was asked.
    slot: u16,
    /// All of its slots, when they are known.
    slots: Option<Vec<RangeInclusive<u16>>>,
}

impl Shard {
    fn has(&self, slot: u16) -> bool {
        match &self.slots {
            Some(slots) => slots.iter().any(|slots| slots.contains(&slot)),
            None => self.slot == slot,
        }
    }
}

impl Silent {
    /// Whether nobody is to ask for what is in this slot.
    pub(super) fn has(&self, slot: u16) -> bool {
        self.0.iter().any(|shard| shard.has(slot))
    }

    /// Takes a shard into the books by a slot of it; whether it is new there. A second one waits until the slots of the
    /// first are known: it is likely to be the same.
    pub(super) fn add(&mut self, slot: u16) -> bool {
        let is_new = !self.has(slot) && self.0.iter().all(|shard| shard.slots.is_some());
        if is_new {
            self.0.push(Shard { slot, slots: None });
        }
        is_new
    }

    /// Learns all slots of the shard that `slot` was asked of.
    pub(super) fn extend(&mut self, slot: u16, slots: Vec<RangeInclusive<u16>>) {
        if let Some(shard) = self.0.iter_mut().find(|shard| shard.slot == slot) {
            shard.slots = Some(slots);
        }
    }

    /// The shard that `slot` was asked of has answered.
    pub(super) fn remove(&mut self, slot: u16) {
        self.0.retain(|shard| shard.slot != slot);
    }
}

/// All slots, for a server that is no cluster.
pub(super) fn all() -> Vec<RangeInclusive<u16>> {
    vec![0..=SLOTS - 1]
}

/// All slots of the shard that has `slot`, from the answer to `CLUSTER SLOTS`; the slot alone if it is not in there.
pub(super) fn of_shard(answer: Value, slot: u16) -> RedisResult<Vec<RangeInclusive<u16>>> {
    // First and last slot, the master (address and port come first), its replicas.
    let entries: Vec<Vec<Value>> = from_redis_value(answer)?;
    let mut ranges = Vec::new();
    for entry in entries {
        let mut entry = entry.into_iter();
        if let (Some(first), Some(last), Some(master)) = (entry.next(), entry.next(), entry.next()) {
            ranges.push((from_redis_value(first)?..=from_redis_value(last)?, master));
        }
    }
    let Some((_, master)) = ranges.iter().find(|(slots, _)| slots.contains(&slot)) else {
        return Ok(vec![slot..=slot]);
    };
    Ok(ranges.iter().filter(|(_, other)| other == master).map(|(slots, _)| slots.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_that_of_the_key_or_of_its_tag() {
        // The specification's own example, and what `CLUSTER KEYSLOT` says.
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"a:{foo}:b"), 12_182);
        assert_eq!(slot(b"{foo}{bar}"), 12_182);
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"), "an empty tag is none");
        assert_ne!(slot(b"{foo"), slot(b"foo"));
    }

    #[test]
    fn the_key_is_known_of_every_command_that_we_send() {
        for (command, expected) in [
            (&["GET", "a"][..], Some(&b"a"[..])),
            (&["SSUBSCRIBE", "channel"], Some(b"channel")),
            (&["EVAL", "return 1", "2", "a", "b"], Some(b"a")),
            (&["evalsha", "0123", "1", "a", "x"], Some(b"a")),
            (&["SCRIPT", "LOAD", "return 1"], None),
            (&["PING"], None),
        ] {
            let (name, arguments) = command.split_first().unwrap();
            assert_eq!(key(redis::cmd(name).arg(arguments)), expected, "{command:?}");
        }
    }

    #[test]
    fn a_silent_shard_is_all_of_its_slots_and_no_others() {
        let node = |port: i64| {
            let id = Value::BulkString(port.to_string().into());
            Value::Array(vec![Value::BulkString(b"127.0.0.1".to_vec()), Value::Int(port), id])
        };
        let range = |first, last, nodes: &[i64]| {
            let slots = [Value::Int(first), Value::Int(last)].into_iter();
            Value::Array(slots.chain(nodes.iter().copied().map(node)).collect())
        };
        let slots =
            Value::Array(vec![range(0, 99, &[1, 4]), range(100, 199, &[2]), range(300, 16_383, &[1, 4])]);
        let mut silent = Silent::default();
        assert!(silent.add(50));
        assert!(!silent.add(50), "it is asked again already");
        assert!(!silent.add(150), "it may be the same shard, whose slots are asked for");
        assert!(silent.has(50) && !silent.has(51));
        silent.extend(50, of_shard(slots.clone(), 50).unwrap());
        for (slot, is_silent) in
            [(0, true), (99, true), (100, false), (250, false), (300, true), (16_383, true)]
        {
            assert_eq!(silent.has(slot), is_silent, "{slot}");
        }
        assert!(silent.add(150), "another one");
        silent.extend(150, of_shard(slots.clone(), 150).unwrap());
        silent.remove(50);
        assert!(!silent.has(50) && silent.has(199));
        assert_eq!(of_shard(slots, 250).unwrap(), [250..=250], "nobody has it");
        assert!(of_shard(Value::Array(vec![Value::Array(vec![Value::Nil; 3])]), 0).is_err());
    }
}
