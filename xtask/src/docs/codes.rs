//! Codes that clients see: of refusals over HTTP, and of closed WebSockets.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};

use super::source::{Sources, Token};
use super::table::Table;

/// Statuses and messages beside each code.
type Errors = BTreeMap<String, (BTreeSet<u16>, Vec<String>)>;

/// Refusals: a status and a code side by side, wherever they are.
pub(super) fn errors(sources: &Sources) -> Result<Table> {
    let mut errors = Errors::new();
    for source in sources.deployed() {
        collect_errors(&source.tokens, &mut errors)?;
    }
    ensure!(!errors.is_empty(), "no error code was found");
    let mut rows: Vec<(u16, Vec<String>)> = Vec::new();
    for (code, (statuses, messages)) in errors {
        ensure!(statuses.len() == 1, "the code {code} stands beside several statuses: {statuses:?}");
        let status = statuses.first().copied().unwrap_or_default();
        rows.push((status, vec![format!("`{code}`"), status.to_string(), messages.join(" / ")]));
    }
    rows.sort();
    Ok(Table {
        page: "docs/integrate/errors.md",
        name: "errors",
        made: &["Code", "Status", "Message"],
        written: &["What to do"],
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    })
}

fn collect_errors(tokens: &[Token], errors: &mut Errors) -> Result<()> {
    for at in 0..tokens.len() {
        let Some(
            [
                Token::Word(kind),
                Token::Mark(':'),
                Token::Mark(':'),
                Token::Word(status),
                Token::Mark(','),
                rest @ ..,
            ],
        ) = tokens.get(at..)
        else {
            continue;
        };
        let Some((Token::Text(code), [Token::Mark(','), rest @ ..])) = field(rest) else { continue };
        let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        // A text with nothing behind it is an answer of its own, such as that of `/readyz`.
        let Some((message, _)) = field(rest).filter(|(message, _)| !message.is_closing()) else { continue };
        let status = if kind == "StatusCode" && is_code { number(status)? } else { continue };
        if status < 400 {
            continue;
        }
        let (statuses, messages) = errors.entry(code.clone()).or_default();
        statuses.insert(status);
        messages.extend(message.text().map(str::to_owned).filter(|message| !messages.contains(message)));
    }
    Ok(())
}

/// The first token of a value, behind the name of its field if there is one.
fn field(tokens: &[Token]) -> Option<(&Token, &[Token])> {
    match tokens {
        [Token::Word(_), Token::Mark(':'), value, rest @ ..] => Some((value, rest)),
        [value, rest @ ..] => Some((value, rest)),
        [] => None,
    }
}

/// A status by its name in the crate `http`.
fn number(name: &str) -> Result<u16> {
    let known = [
        ("OK", 200),
        ("CREATED", 201),
        ("ACCEPTED", 202),
        ("NO_CONTENT", 204),
        ("FOUND", 302),
        ("NOT_MODIFIED", 304),
        ("BAD_REQUEST", 400),
        ("UNAUTHORIZED", 401),
        ("FORBIDDEN", 403),
        ("NOT_FOUND", 404),
        ("METHOD_NOT_ALLOWED", 405),
        ("NOT_ACCEPTABLE", 406),
        ("REQUEST_TIMEOUT", 408),
        ("CONFLICT", 409),
        ("GONE", 410),
        ("PRECONDITION_FAILED", 412),
        ("PAYLOAD_TOO_LARGE", 413),
        ("UNSUPPORTED_MEDIA_TYPE", 415),
        ("MISDIRECTED_REQUEST", 421),
        ("UNPROCESSABLE_ENTITY", 422),
        ("UPGRADE_REQUIRED", 426),
        ("TOO_MANY_REQUESTS", 429),
        ("INTERNAL_SERVER_ERROR", 500),
        ("NOT_IMPLEMENTED", 501),
        ("SERVICE_UNAVAILABLE", 503),
        ("INSUFFICIENT_STORAGE", 507),
    ];
    let found = known.into_iter().find(|(known, _)| *known == name);
    Ok(found.with_context(|| format!("StatusCode::{name} is not in xtask/src/docs/codes.rs"))?.1)
}

/// Close codes of our own protocol: `const NAME: u16 = 3…;`. Those above 4000 are of `graphql-transport-ws`, which has
/// its own page.
pub(super) fn closes(sources: &Sources) -> Result<Table> {
    let mut codes = BTreeMap::new();
    for source in sources.deployed() {
        for at in 0..source.tokens.len() {
            if let Some(
                [
                    Token::Word(keyword),
                    Token::Word(name),
                    Token::Mark(':'),
                    Token::Word(kind),
                    Token::Mark('='),
                    Token::Literal(code),
                    ..,
                ],
            ) = source.tokens.get(at..)
                && keyword == "const"
                && kind == "u16"
                && let Ok(code) = code.replace('_', "").parse::<u16>()
                && (3000..4000).contains(&code)
            {
                let again = if code < 3500 { "yes, with jitter" } else { "no" };
                codes.insert(code, vec![code.to_string(), format!("`{name}`"), again.to_owned()]);
            }
        }
    }
    ensure!(!codes.is_empty(), "no close code was found");
    Ok(Table {
        page: "docs/integrate/live.md",
        name: "close codes",
        made: &["Code", "Name", "Reconnect"],
        written: &["Meaning"],
        rows: codes.into_values().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    #[test]
    fn a_code_is_found_in_a_tuple_a_call_and_a_record() {
        let text = r#"
            fn public() { (StatusCode::CONFLICT, "one", "First.") }
            fn call() { problem(StatusCode::GONE, "two", message) }
            fn record() { P { status: StatusCode::NOT_FOUND, code: "three", message: "Third." } }
            fn other() { (StatusCode::CONFLICT, "one", "Another.") }
            fn none() { (StatusCode::OK, "ready"); (StatusCode::GONE, "plain"); (StatusCode::GONE, "text",); (StatusCode::CONFLICT, "Not a code.") }"#;
        let mut errors = Errors::new();
        collect_errors(&source::tokens(text).unwrap(), &mut errors).unwrap();
        let messages = |code: &str| errors.get(code).map(|(_, messages)| messages.join("/"));
        assert_eq!(messages("one").as_deref(), Some("First./Another."));
        assert_eq!(messages("two").as_deref(), Some(""));
        assert_eq!(messages("three").as_deref(), Some("Third."));
        assert_eq!(errors.len(), 3);
    }
}
