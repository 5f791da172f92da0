//! The template of the message to an advertiser that stands behind a target's query; pure.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::macros::{NoPattern, Pattern};

/// Longest template, in bytes.
const MAX_TEMPLATE_BYTES: usize = 512;

/// The template of the message to an advertiser: pairs `name=value` joined by `&`, in which [macros](super::macros)
/// are replaced. Nothing else in it needs to be encoded. Empty: nothing is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<(Pattern, Pattern)>);

/// The reason why a text is no template, as a message for its author.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum NoTemplate {
    #[error("At most {MAX_TEMPLATE_BYTES} bytes.")]
    Long,
    #[error("Expected pairs name=value, joined by &.")]
    Pair,
    #[error("Beside macros, only letters, digits and - . _ ~ are allowed.")]
    Characters,
    #[error("{0}")]
    Pattern(#[from] NoPattern),
}

impl Template {
    /// Names and values, in their order.
    pub(super) fn pairs(&self) -> &[(Pattern, Pattern)] {
        &self.0
    }

    /// Returns whether one of its pairs has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known.to_string() == name)
    }
}

impl FromStr for Template {
    type Err = NoTemplate;

    fn from_str(text: &str) -> Result<Self, NoTemplate> {
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(NoTemplate::Long);
        }
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split('&').map(pair).collect::<Result<_, _>>().map(Self)
    }
}

fn pair(text: &str) -> Result<(Pattern, Pattern), NoTemplate> {
    let (name, value) = text.split_once('=').ok_or(NoTemplate::Pair)?;
    if name.is_empty() {
        return Err(NoTemplate::Pair);
    }
    // RFC 3986, section 2.3: what means the same wherever it stands.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let (name, value) = (Pattern::parse(name)?, Pattern::parse(value)?);
    if [&name, &value].into_iter().flat_map(Pattern::texts).all(|text| text.chars().all(is_plain)) {
        Ok((name, value))
    } else {
        Err(NoTemplate::Characters)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}={value}", if number == 0 { "" } else { "&" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_pairs_of_plain_text() {
        for text in ["", "a=", "cw_click_id={click_id}", "sub{ad_id}=x-{campaign_id}.{click_id}~&b=c_d"] {
            assert_eq!(text.parse::<Template>().unwrap().to_string(), text);
        }
        for text in [
            "a",
            "=b",
            "a=b&",
            "&",
            "a=b c",
            "a=%20",
            "a=b#c",
            "a=b=c",
            "a={price}",
            "a={click_id",
            "a=}",
            "a=\r\n",
            "ä=b",
        ] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
        assert_eq!(
            format!("a={}", "b".repeat(MAX_TEMPLATE_BYTES)).parse::<Template>(),
            Err(NoTemplate::Long)
        );
    }
}
