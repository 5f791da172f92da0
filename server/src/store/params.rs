//! Parameters of a click's link, as a column holds them.

use clickwire_protocol::attribution::Params;
use serde::Serialize;

/// Parameters out of a column of JSON that is read as text.
#[derive(Clone, Serialize)]
pub(crate) struct StoredParams(pub(crate) Params);

impl TryFrom<Option<String>> for StoredParams {
    type Error = serde_json::Error;

    fn try_from(text: Option<String>) -> serde_json::Result<Self> {
        text.map_or_else(|| Ok(Params::new()), |text| serde_json::from_str(&text)).map(Self)
    }
}
