//! Settings: fields with `#[arg(env = "CLICKWIRE_…")]`, in the order in which the programs have them. The rows are
//! those that `clickwire_process::settings::table` makes from clap itself; tests of both programs compare the page
//! with that, so what is read from the sources here can't differ from what the programs take.

use std::collections::BTreeSet;
use std::slice::from_ref;

use anyhow::{Context as _, Result};

use super::source::{Part, Sources, Token};
use super::table::Table;

const PAGE: &str = "docs/operate/configuration.md";

/// First letters of every setting.
const OURS: &str = "CLICKWIRE_";

/// A setting, as the sources have it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Setting {
    pub(super) variable: String,
    default: String,
    meaning: String,
    /// Its value is hidden in `--help`, and may stand in a file.
    pub(super) is_secret: bool,
}

pub(super) fn tables(sources: &Sources) -> Result<Vec<Table>> {
    let (server, aggregator) = (program(sources, Part::Server)?, program(sources, Part::Aggregator)?);
    let lake = program(sources, Part::Lake)?;
    let deployed: BTreeSet<_> =
        server.iter().chain(&aggregator).chain(&lake).map(|setting| setting.variable.clone()).collect();
    let texts = sources.of(Part::Tool).flat_map(|source| source.tokens.iter()).filter_map(Token::text);
    let tools: BTreeSet<_> = texts.filter(|text| is_variable(text) && !deployed.contains(*text)).collect();
    let table = |name, settings: Vec<Setting>| Table {
        page: PAGE,
        name,
        made: &["Variable", "Default", "Meaning"],
        written: &[],
        rows: settings.into_iter().map(Setting::row).collect(),
    };
    Ok(vec![
        table("clickwire-server", server),
        table("clickwire-aggregator", aggregator),
        table("clickwire-lake", lake),
        Table {
            page: PAGE,
            name: "tools",
            made: &["Variable"],
            written: &["Read by", "Meaning"],
            rows: tools.into_iter().map(|name| vec![format!("`{name}`")]).collect(),
        },
    ])
}

/// Returns whether a text is the name of a variable of ours, alone.
fn is_variable(text: &str) -> bool {
    text.strip_prefix(OURS).is_some_and(|name| {
        let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        !name.is_empty() && name.bytes().all(is_part)
    })
}

/// The settings of a program.
pub(super) fn program(sources: &Sources, part: Part) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for source in sources.of(part) {
        settings.extend(read(&source.tokens, sources)?);
    }
    Ok(settings)
}

impl Setting {
    fn row(self) -> Vec<String> {
        let default = if self.default.is_empty() { String::new() } else { format!("`{}`", self.default) };
        vec![format!("`{}`", self.variable), default, self.meaning]
    }
}

/// Settings among a file's fields.
fn read(tokens: &[Token], sources: &Sources) -> Result<Vec<Setting>> {
    let (mut settings, mut documentation, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        at += 1;
        if token.is('#') && tokens.get(at).is_some_and(|token| token.is('[')) {
            let end = at + end_of_brackets(tokens.get(at..).unwrap_or_default());
            match tokens.get(at + 1..end).unwrap_or_default() {
                [Token::Word(name), Token::Mark('='), Token::Text(line)] if name == "doc" => {
                    documentation.push(line.trim().to_owned());
                }
                [Token::Word(name), Token::Mark('('), arguments @ .., Token::Mark(')')] if name == "arg" => {
                    let variable = value(arguments, "env").and_then(<[Token]>::first).and_then(Token::text);
                    if let Some(variable) = variable.filter(|variable| variable.starts_with(OURS)) {
                        settings.push(Setting {
                            variable: variable.to_owned(),
                            default: default(arguments, sources).with_context(|| variable.to_owned())?,
                            meaning: short(&documentation),
                            is_secret: value(arguments, "hide_env_values").is_some(),
                        });
                    }
                }
                _ => {}
            }
            at = end;
        } else if matches!(token, Token::Mark(',' | '{' | '}' | ';')) {
            documentation.clear();
        }
    }
    Ok(settings)
}

/// Returns the place of the bracket that closes the one at the beginning of `tokens`.
fn end_of_brackets(tokens: &[Token]) -> usize {
    let mut depth = 0;
    let end = tokens.iter().position(|token| {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    end.unwrap_or(tokens.len())
}

/// Returns the tokens behind `name =`, up to the next comma.
fn value<'t>(arguments: &'t [Token], name: &str) -> Option<&'t [Token]> {
    let at = arguments.windows(2).position(|pair| match pair {
        [Token::Word(word), Token::Mark('=')] => word == name,
        _ => false,
    })?;
    let value = arguments.get(at + 2..)?;
    value.get(..value.iter().position(|token| token.is(',')).unwrap_or(value.len()))
}

/// clap's short help: the first paragraph, without the full stop at its end.
fn short(documentation: &[String]) -> String {
    let lines: Vec<_> =
        documentation.iter().take_while(|line| !line.is_empty()).map(String::as_str).collect();
    let text = lines.join(" ");
    text.strip_suffix('.').filter(|rest| !rest.ends_with('.')).unwrap_or(&text).to_owned()
}

fn default(arguments: &[Token], sources: &Sources) -> Result<String> {
    if let Some(text) = value(arguments, "default_value") {
        return Ok(text.first().and_then(Token::text).context("a default that is no text")?.to_owned());
    }
    match value(arguments, "default_value_t") {
        None => Ok(String::new()),
        Some([Token::Word(truth)]) if matches!(truth.as_str(), "true" | "false") => Ok(truth.to_string()),
        Some(expression) => Ok(number(expression, sources)?.to_string()),
    }
}

/// The value of a number, a constant, or some of them with `*` or `<<` between.
fn number(expression: &[Token], sources: &Sources) -> Result<u64> {
    let unread = || format!("a default that xtask/src/docs/settings.rs can't read: {expression:?}");
    match expression {
        [left @ .., Token::Mark('*'), right] => {
            Ok(number(left, sources)? * number(from_ref(right), sources)?)
        }
        [left @ .., Token::Mark('<'), Token::Mark('<'), right] => {
            Ok(number(left, sources)? << number(from_ref(right), sources)?)
        }
        [Token::Literal(literal)] => literal.replace('_', "").parse().with_context(unread),
        [.., Token::Word(name)] => number(sources.constant(name).with_context(unread)?, sources),
        _ => Err(anyhow::anyhow!(unread())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    #[test]
    fn a_setting_is_read_as_clap_shows_it() {
        let text = r#"
            /// A program.
            struct Config {
                /// How large, in bytes;
                /// at most.
                ///
                /// More.
                #[arg(long, env = "CLICKWIRE_SIZE", default_value_t = 256 << 20)]
                size: u64,
                /// Without a setting.
                #[arg(long)]
                other: bool,
                #[arg(env = "CLICKWIRE_AGE", default_value_t = 23 * 3_600)]
                age: u64,
                /// Where.
                #[arg(long, env = "CLICKWIRE_URL", default_value = "nats://a", hide_env_values = true)]
                url: String,
                /// Else.
                #[arg(env = "USER")]
                user: String,
            }"#;
        let sources = Sources::read(&std::env::temp_dir().join("no-such-folder")).unwrap();
        let settings = read(&source::tokens(text).unwrap(), &sources).unwrap();
        let secrets: Vec<_> =
            settings.iter().filter(|setting| setting.is_secret).map(|setting| &setting.variable).collect();
        assert_eq!(secrets, ["CLICKWIRE_URL"]);
        let rows: Vec<_> = settings.into_iter().map(|setting| setting.row().join("|")).collect();
        assert_eq!(
            rows,
            [
                "`CLICKWIRE_SIZE`|`268435456`|How large, in bytes; at most",
                "`CLICKWIRE_AGE`|`82800`|",
                "`CLICKWIRE_URL`|`nats://a`|Where"
            ]
        );
    }
}
