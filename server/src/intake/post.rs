//! `POST /api/v1/clicks`: one click, answered 202 when it can't be lost any more.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use clickwire_protocol::click::{Accepted, PostedClick};

use super::Sender;
use crate::{AppState, error::Error, keys::Poster, visitor::Visitor};

/// `POST /api/v1/clicks`
pub(crate) async fn post_click(
    State(state): State<AppState>,
    poster: Poster,
    visitor: Visitor,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Accepted>), Error> {
    if !is_json(&headers) {
        return Err(Error::UnsupportedMediaType);
    }
    let body = body.map_err(|_| Error::TooLarge)?;
    let posted = PostedClick::parse(&body).map_err(|rejection| {
        metrics::counter!("clickwire_clicks_rejected_total").increment(1);
        Error::Invalid(rejection)
    })?;
    poster.check(&posted)?;
    let click = state.enricher.posted(posted, visitor, &poster);
    let is_duplicate = state.intake.take(&click, Sender::Repeats).await?;
    // No oracle: only the ledger judges, later.
    let accepted = Accepted { success: true, click_id: click.click_id, is_duplicate, is_fraudulent: false };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_compared_by_essence() {
        for (value, expected) in
            [("application/json", true), ("Application/JSON; charset=utf-8", true), ("text/plain", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
