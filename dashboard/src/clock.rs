//! The browser's clock and zone.

/// Now, in milliseconds since the Unix epoch, as this machine believes.
pub fn now_ms() -> i64 {
    js_sys::Date::now() as i64
}

/// The viewer's zone: minutes ahead of UTC at a moment, in milliseconds since the Unix epoch. Natively, where tests
/// run, there is none.
pub fn zone_offset_minutes(at_ms: i64) -> i64 {
    if cfg!(target_arch = "wasm32") {
        -js_sys::Date::new(&(at_ms as f64).into()).get_timezone_offset() as i64
    } else {
        0
    }
}

/// A moment, in milliseconds since the Unix epoch, as the API reads it.
pub fn rfc3339(at_ms: i64) -> String {
    js_sys::Date::new(&(at_ms as f64).into()).to_iso_string().into()
}

/// The server's clock minus this machine's, from a response's `Date`; small differences are the
/// header's whole seconds and the way here.
pub fn ahead_ms(date: &str) -> Option<i64> {
    let at_ms = js_sys::Date::parse(date);
    let ahead_ms = at_ms - js_sys::Date::now();
    at_ms.is_finite().then_some(if ahead_ms.abs() < 3_000.0 { 0 } else { ahead_ms as i64 })
}
