//! The browser's clock.

/// Now, in milliseconds since the Unix epoch, as this machine believes.
pub fn now_ms() -> i64 {
    js_sys::Date::now() as i64
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
