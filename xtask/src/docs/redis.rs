//! Redis keys and channels: every text of what is deployed that begins with the configured prefix.

use std::collections::BTreeSet;

use anyhow::Result;

use super::source::{Sources, Token};
use super::table::Table;

pub(super) fn table(sources: &Sources) -> Result<Table> {
    let texts = sources.deployed().flat_map(|source| source.tokens.iter()).filter_map(Token::text);
    let keys: BTreeSet<String> = texts.filter_map(pattern).collect();
    Ok(Table {
        page: "docs/develop/redis.md",
        name: "redis",
        made: &["Pattern in the code"],
        written: &["Kind", "Holds", "Writer", "Reader", "Lifetime"],
        rows: keys.into_iter().map(|key| vec![format!("`{key}`")]).collect(),
    })
}

/// A key's pattern, if the text is that of a key: the prefix, a colon, and a name directly behind it.
fn pattern(text: &str) -> Option<String> {
    let (placeholder, name) = text.strip_prefix('{')?.split_once("}:")?;
    let is_prefix = placeholder.is_empty() || placeholder.ends_with("prefix");
    let is_name = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '{');
    let is_key = is_prefix && is_name && !name.contains(' ') && !name.starts_with("{}");
    is_key.then(|| format!("{{prefix}}:{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_other_texts_with_a_colon() {
        let key = |text| pattern(text).unwrap_or_default();
        assert_eq!(key("{prefix}:ad:{ad_id}"), "{prefix}:ad:{ad_id}");
        assert_eq!(key("{}:idempotency:{key_id}:"), "{prefix}:idempotency:{key_id}:");
        assert_eq!(key("{prefix}:{{{advertiser_id}}}:{name}"), "{prefix}:{{{advertiser_id}}}:{name}");
        for text in ["{}: {error}", "{scheme}://{host}", "{}:{}", "{name}:x", "prefix:ads", "{}://{}"] {
            assert_eq!(pattern(text), None, "{text}");
        }
    }
}
