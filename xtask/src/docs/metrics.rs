//! Metrics: every `counter!`, `gauge!` and `histogram!` of what is deployed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::source::{Part, Source, Sources, Token};
use super::table::Table;

/// A metric as the code has it.
#[derive(Debug, Default, PartialEq)]
struct Metric {
    kinds: BTreeSet<String>,
    labels: BTreeSet<String>,
    programs: BTreeSet<&'static str>,
}

/// Names of all metrics, with the programs that tell them.
pub(super) fn names(sources: &Sources) -> Result<BTreeMap<String, BTreeSet<&'static str>>> {
    Ok(all(sources)?.into_iter().map(|(name, metric)| (name, metric.programs)).collect())
}

fn all(sources: &Sources) -> Result<BTreeMap<String, Metric>> {
    let mut metrics = BTreeMap::new();
    for source in sources.deployed() {
        collect(source, &mut metrics)?;
    }
    Ok(metrics)
}

pub(super) fn table(sources: &Sources) -> Result<Table> {
    let rows = all(sources)?.into_iter().map(|(name, Metric { kinds, labels, programs })| {
        let list = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
        let labels = labels.into_iter().map(|label| format!("`{label}`")).collect();
        let programs = programs.into_iter().map(str::to_owned).collect();
        vec![format!("`{name}`"), list(kinds), list(labels), list(programs)]
    });
    Ok(Table {
        page: "docs/operate/metrics.md",
        name: "metrics",
        made: &["Name", "Type", "Labels", "Program"],
        written: &["Meaning", "Alert"],
        rows: rows.collect(),
    })
}

fn collect(Source { part, tokens }: &Source, metrics: &mut BTreeMap<String, Metric>) -> Result<()> {
    let programs: &[&str] = match part {
        Part::Server => &["server"],
        Part::Aggregator => &["aggregator"],
        Part::Lake => &["lake"],
        Part::Process => &["aggregator", "lake", "server"],
        Part::Shared | Part::Tool => &["aggregator", "server"],
    };
    for (at, kind) in tokens.iter().enumerate().filter_map(|(at, token)| Some((at, token.word()?))) {
        let is_macro = tokens.get(at + 1).is_some_and(|token| token.is('!'));
        if !["counter", "gauge", "histogram"].contains(&kind) || !is_macro {
            continue;
        }
        let name = tokens.get(at + 3).and_then(Token::text);
        ensure!(name.is_some(), "{kind}!: the name of a metric is a literal, so that its line can be found");
        let metric = metrics.entry(name.unwrap_or_default().to_owned()).or_default();
        metric.kinds.insert(kind.to_owned());
        metric.programs.extend(programs);
        metric.labels.extend(labels(tokens.get(at + 4..).unwrap_or_default()));
    }
    Ok(())
}

/// The labels behind a metric's name, up to the bracket that ends the macro.
fn labels(tokens: &[Token]) -> Vec<String> {
    let mut depth = 0;
    let end = tokens.iter().position(|token| match token {
        Token::Mark('(' | '[' | '{') => {
            depth += 1;
            false
        }
        Token::Mark(')' | ']' | '}') => {
            depth -= 1;
            depth < 0
        }
        _ => false,
    });
    let arguments = tokens.get(..end.unwrap_or(tokens.len())).unwrap_or_default();
    let labels = arguments.windows(3).filter_map(|tokens| match tokens {
        [Token::Text(label), Token::Mark('='), Token::Mark('>')] => Some(label.clone()),
        _ => None,
    });
    labels.collect()
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;
    use crate::workspace;

    fn found(text: &str) -> Result<BTreeMap<String, Metric>> {
        let mut metrics = BTreeMap::new();
        let source = Source { part: Part::Server, tokens: source::tokens(text)? };
        collect(&source, &mut metrics)?;
        Ok(metrics)
    }

    #[test]
    fn a_metric_has_its_type_and_its_labels_even_inside_another_macro() {
        let metrics =
            found(r#"select! { _ => metrics::counter!("a_total", "by" => f(1), "to" => x).increment(1) }"#);
        let metrics = metrics.unwrap();
        let metric = metrics.get("a_total").unwrap();
        assert_eq!(metric.kinds, ["counter".to_owned()].into());
        assert_eq!(metric.labels, ["by".to_owned(), "to".to_owned()].into());
        assert_eq!(metric.programs, ["server"].into());
    }

    #[test]
    fn what_every_program_starts_with_is_told_by_the_lake_too() {
        let sources = Sources::read(workspace::root()).unwrap();
        let programs = names(&sources).unwrap().remove("clickwire_panics_total").unwrap();
        assert_eq!(programs, ["aggregator", "lake", "server"].into());
    }

    #[test]
    fn a_name_that_is_no_literal_is_refused() {
        assert!(found("metrics::gauge!(NAME)").is_err());
    }
}
