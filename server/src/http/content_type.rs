//! Media type of a body, as its sender states it.

use axum::http::{HeaderMap, header::CONTENT_TYPE};

/// The media type without its parameters, in lower case; empty if none is named.
pub(crate) fn essence(headers: &HeaderMap) -> String {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_compared_by_essence() {
        for (value, expected) in [
            ("application/json", "application/json"),
            ("Application/JSON; charset=utf-8", "application/json"),
            ("text/plain", "text/plain"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(essence(&headers), expected, "{value}");
        }
        assert_eq!(essence(&HeaderMap::new()), "");
    }
}
