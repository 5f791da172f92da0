//! The time inside of a UUIDv7.

use uuid::Uuid;

/// The Unix milliseconds in a UUIDv7 (RFC 9562, section 5.7).
pub(crate) fn time_inside(id: &Uuid) -> Option<i64> {
    (id.get_version_num() == 7).then(|| (id.as_u128() >> 80) as i64)
}
