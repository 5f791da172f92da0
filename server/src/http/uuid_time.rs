//! The time inside of a UUIDv7.

use clickwire_protocol::times::UnixMs;
use uuid::Uuid;

/// The time in a UUIDv7 (RFC 9562, section 5.7).
pub(crate) fn time_inside(id: &Uuid) -> Option<UnixMs> {
    (id.get_version_num() == 7).then(|| UnixMs((id.as_u128() >> 80) as i64))
}
