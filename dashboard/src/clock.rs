//! The browser's clock and zone.

/// Now, in milliseconds since the Unix epoch, as this machine believes.
pub fn now_ms() -> i64 {
    js_sys::Date::now() as i64
}

/// The viewer's zone: minutes ahead of UTC, today.
pub fn zone_offset_minutes() -> i64 {
    -js_sys::Date::new_0().get_timezone_offset() as i64
}

/// The server's clock minus this machine's, from a response's `Date`; small differences are the
/// header's whole seconds and the way here.
pub fn ahead_ms(date: &str) -> Option<i64> {
    let at_ms = js_sys::Date::parse(date);
    let ahead_ms = at_ms - js_sys::Date::now();
    at_ms.is_finite().then_some(if ahead_ms.abs() < 3_000.0 { 0 } else { ahead_ms as i64 })
}
