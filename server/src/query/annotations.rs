//! `GET /api/v1/analytics/annotations`: events in a range of time that explain a chart of it.
//!
//! Incidents and rules are few. Of corrections the earliest after the range began are looked at, up to a limit, and
//! they are added up to a few dozen annotations. The views of migration 44 decide which of all that a tenant may see; finance, which sees all
//! tenants, is told less here.

use std::{sync::Arc, time::Instant};

use axum::{Json, extract::State};
use clickwire_protocol::{
    alerts,
    alerts::Severity,
    annotations::{Annotation, Annotations, Kind, MAX},
    ids::AdvertiserId,
    rules::{Mode, Rule},
};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    http::{
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::{Role, access::Caller},
    query::{
        adjustments::{AHEAD, CHANGED_WITHIN},
        state::QueryState,
    },
    store::{
        database::{answer, rfc3339},
        error::of_question,
    },
};

/// Changes of verdicts that are looked at, at most.
const MAX_ADJUSTMENTS: i64 = 100_000;

/// Rows of one origin: one more than an answer has, to know that there are more.
const ROWS: usize = MAX + 1;

/// Pieces of a range that corrections are added up in, at most.
const PIECES: i64 = 48;

/// Widths of pieces, in seconds.
const WIDTHS: [i64; 7] = [60, 300, 900, 3_600, 21_600, 86_400, 604_800];

/// Incidents that hold up what all charts show.
const OUTAGES: [alerts::Kind; 2] = [alerts::Kind::Lag, alerts::Kind::Rollups];

/// A question, checked.
#[derive(Debug, PartialEq)]
struct Question {
    advertiser_id: Option<AdvertiserId>,
    start: OffsetDateTime,
    end: OffsetDateTime,
}

/// Events in a range of time: outages and other incidents, changes of rules, corrections, repairs.
///
/// The 200 most important ones, in the order of their times. Corrections are added up: clicks of a piece of the range
/// whose verdict changed after they were counted, by rule. A tenant is told of its own clicks, of outages of the whole
/// deployment, and that a rule has changed; finance of the same about all advertisers, without incidents; operators are
/// told of all.
#[utoipa::path(get, path = "/api/v1/analytics/annotations", tag = "viewer",
    params(
        ("start_time" = Option<OffsetDateTime>, Query, description = "By default a day before the end."),
        ("end_time" = Option<OffsetDateTime>, Query, description = "Exclusive; by default now."),
        ("advertiser_id" = Option<String>, Query, description = "Without it a caller that sees all advertisers asks about all."),
    ),
    responses((status = 200, body = Annotations), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn annotations(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<Annotations>, Error> {
    let question = Question::read(parameters, OffsetDateTime::now_utc())?;
    let advertiser_id = caller.scope.advertiser_or_all(question.advertiser_id.as_ref())?;
    let started = Instant::now();
    let mut tenants = state.tenants.begin(&caller.scope, caller.holders(advertiser_id)).await?;
    let (found, is_cut) = answer(question.find(advertiser_id, &mut tenants)).await.map_err(of_question)?;
    metrics::histogram!("clickwire_query_seconds", "query" => "annotations").record(started.elapsed());
    let found = if caller.role == Role::Finance {
        found.into_iter().filter_map(without_operations).collect()
    } else {
        found
    };
    let mut annotations = Annotations::of(found);
    annotations.has_more |= is_cut;
    Ok(Json(annotations))
}

/// An incident as the database has it.
#[derive(FromRow)]
struct Incident {
    alert_id: Option<Uuid>,
    kind: String,
    severity: String,
    advertiser_id: Option<String>,
    campaign_id: Option<String>,
    start_time: String,
    end_time: Option<String>,
}

/// A version of a rule as the database has it.
#[derive(FromRow)]
struct Version {
    rule: String,
    start_time: String,
    version: Option<i32>,
    mode: Option<String>,
}

/// Corrections of a piece of the range; where there are none, all but `looked_at` is `None`.
#[derive(FromRow)]
struct Correction {
    looked_at: i64,
    kind: Option<String>,
    rule: Option<String>,
    advertiser_id: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
    count: Option<i64>,
}

/// A comparison that has mended something.
#[derive(FromRow)]
struct Repair {
    start_time: String,
    end_time: String,
    count: i64,
}

impl Question {
    fn read(mut given: Parameters, now: OffsetDateTime) -> Result<Self, Error> {
        let (start, end) = given.day_or_range(now);
        let advertiser_id = given.take("advertiser_id", AdvertiserId::new);
        given.finish(Self { advertiser_id, start, end })
    }

    /// All annotations, and whether something was not looked at.
    async fn find(
        &self,
        advertiser_id: Option<&AdvertiserId>,
        database: &mut PgConnection,
    ) -> Result<(Vec<Annotation>, bool), sqlx::Error> {
        let incidents: Vec<Incident> =
            self.incidents(advertiser_id).build_query_as().fetch_all(&mut *database).await?;
        let rules: Vec<Version> = self.rules().build_query_as().fetch_all(&mut *database).await?;
        let corrections: Vec<Correction> =
            self.corrections(advertiser_id).build_query_as().fetch_all(&mut *database).await?;
        let repairs: Vec<Repair> = self.repairs().build_query_as().fetch_all(&mut *database).await?;
        let is_cut = corrections.iter().any(|row| row.looked_at >= MAX_ADJUSTMENTS);
        let mut found: Vec<Annotation> = incidents.into_iter().filter_map(incident).collect();
        found.extend(rules.into_iter().map(rule));
        found.extend(corrections.into_iter().filter_map(correction));
        found.extend(repairs.into_iter().map(|Repair { start_time, end_time, count }| Annotation {
            end_time: Some(end_time),
            count: Some(count),
            ..Annotation::bare(Kind::Repair, start_time)
        }));
        Ok((found, is_cut))
    }

    fn incidents(&self, advertiser_id: Option<&AdvertiserId>) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new(format!(
            "SELECT alert_id, kind, severity::text, advertiser_id, campaign_id, {} AS start_time, {} AS end_time \
               FROM incidents WHERE opened_at < ",
            rfc3339("opened_at"),
            rfc3339("resolved_at"),
        ));
        sql.push_bind(self.end).push(" AND (resolved_at IS NULL OR resolved_at > ").push_bind(self.start);
        sql.push(")");
        if let Some(advertiser_id) = advertiser_id {
            sql.push(" AND (advertiser_id IS NULL OR advertiser_id = ");
            sql.push_bind(advertiser_id.clone()).push(")");
        }
        sql.push(" ORDER BY kind = ANY(").push_bind(OUTAGES.map(alerts::Kind::as_str).to_vec());
        sql.push(format!(") DESC, incidents.severity DESC, opened_at DESC LIMIT {ROWS}"));
        sql
    }

    fn rules(&self) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new(format!(
            "SELECT rule, {} AS start_time, version, mode FROM rule_changes WHERE effective_at >= ",
            rfc3339("effective_at"),
        ));
        sql.push_bind(self.start).push(" AND effective_at < ").push_bind(self.end);
        sql.push(format!(" ORDER BY effective_at DESC LIMIT {ROWS}"));
        sql
    }

    /// Clicks whose verdict changed between valid and convicted, by the piece of the range that holds them.
    fn corrections(&self, advertiser_id: Option<&AdvertiserId>) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new(
            "WITH looked AS (SELECT clicked_at, advertiser_id, from_disposition, to_disposition, rule, actor \
               FROM adjustments WHERE adjusted_at >= ",
        );
        sql.push_bind(self.start.saturating_sub(AHEAD)).push(" AND adjusted_at < ");
        sql.push_bind(self.end.saturating_add(CHANGED_WITHIN));
        if let Some(advertiser_id) = advertiser_id {
            sql.push(" AND advertiser_id = ").push_bind(advertiser_id.clone());
        }
        // The earliest changes are most likely about clicks of this range.
        sql.push(format!(" ORDER BY adjusted_at LIMIT {MAX_ADJUSTMENTS}) "));
        sql.push(format!(
            "SELECT looked_at, kind, rule, advertiser_id, {} AS start_time, {} AS end_time, count \
               FROM (SELECT count(*) AS looked_at FROM looked) AS all_of_them LEFT JOIN \
                    (SELECT CASE WHEN actor <> 'rules' THEN 'release' WHEN to_disposition = 'valid' THEN 'acquittal' \
                                 ELSE 'conviction' END AS kind, rule, \
                            CASE WHEN count(DISTINCT advertiser_id) = 1 THEN min(advertiser_id) END AS advertiser_id, \
                            min(clicked_at) AS first, max(clicked_at) AS last, count(*) AS count \
                       FROM looked WHERE (from_disposition = 'valid') <> (to_disposition = 'valid') AND clicked_at >= ",
            rfc3339("first"),
            rfc3339("last"),
        ));
        sql.push_bind(self.start).push(" AND clicked_at < ").push_bind(self.end);
        let seconds = self.width();
        sql.push(format!(
            " GROUP BY 1, 2, date_bin(make_interval(secs => {seconds}), clicked_at, 'epoch') \
              ORDER BY count DESC LIMIT {ROWS}) AS found ON true"
        ));
        sql
    }

    fn repairs(&self) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new(format!(
            "SELECT {} AS start_time, {} AS end_time, repaired AS count FROM repairs WHERE finished_at >= ",
            rfc3339("range_start"),
            rfc3339("range_end"),
        ));
        sql.push_bind(self.start).push(" AND range_end > ").push_bind(self.start);
        sql.push(" AND range_start < ").push_bind(self.end);
        sql.push(format!(" ORDER BY repaired DESC LIMIT {ROWS}"));
        sql
    }

    /// The width of a piece of the range, in seconds.
    fn width(&self) -> i64 {
        let seconds = (self.end - self.start).whole_seconds();
        let fits = |width: &i64| seconds / width <= PIECES;
        WIDTHS.into_iter().find(fits).unwrap_or(seconds / PIECES)
    }
}

/// Returns what finance is told of an annotation: outages and rules that judge clicks as tenants are, no incident.
fn without_operations(told: Annotation) -> Option<Annotation> {
    let judges = told.rule.as_deref().is_none_or(|rule| Rule::named(rule).is_some());
    (told.kind != Kind::Incident && judges).then_some(Annotation {
        alert_id: None,
        version: None,
        mode: None,
        ..told
    })
}

/// Returns an incident's annotation; `None`: the incident is of a kind of a later program.
fn incident(row: Incident) -> Option<Annotation> {
    let kind: alerts::Kind = row.kind.parse().ok()?;
    let severities = [Severity::Warning, Severity::Critical];
    let is_outage = OUTAGES.contains(&kind);
    Some(Annotation {
        end_time: row.end_time,
        advertiser_id: row.advertiser_id,
        campaign_id: row.campaign_id,
        incident: Some(kind),
        severity: severities.into_iter().find(|severity| severity.as_str() == row.severity),
        alert_id: row.alert_id,
        ..Annotation::bare(if is_outage { Kind::Outage } else { Kind::Incident }, row.start_time)
    })
}

fn rule(row: Version) -> Annotation {
    let modes = [("off", Mode::Off), ("report_only", Mode::ReportOnly), ("flag", Mode::Flag)];
    let named = |name: String| modes.into_iter().find(|(known, _)| *known == name).map(|(_, mode)| mode);
    Annotation {
        rule: Some(row.rule),
        version: row.version,
        mode: row.mode.and_then(named),
        ..Annotation::bare(Kind::Rule, row.start_time)
    }
}

fn correction(row: Correction) -> Option<Annotation> {
    let kind = Kind::ALL.into_iter().find(|kind| Some(kind.as_str()) == row.kind.as_deref())?;
    Some(Annotation {
        end_time: row.end_time,
        advertiser_id: row.advertiser_id,
        rule: row.rule,
        count: row.count,
        ..Annotation::bare(kind, row.start_time?)
    })
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::click::Rejection;

    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<Question, Rejection> {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let given = query.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Question::read(Parameters::new(given), now).map_err(|error| match error {
            Error::Invalid(rejection) => rejection,
            error => panic!("{error}"),
        })
    }

    #[test]
    fn nothing_asks_for_the_last_day() {
        let question = read(&[]).unwrap();
        assert_eq!(question.end - question.start, time::Duration::DAY);
        assert_eq!(question.width(), 3_600);
    }

    #[test]
    fn corrections_are_a_few_dozen_whatever_the_range() {
        for (end, width) in [
            ("2026-01-01T00:01:00Z", 60),
            ("2026-01-01T01:00:00Z", 300),
            ("2026-01-02T00:00:00Z", 3_600),
            ("2026-02-01T00:00:00Z", 86_400),
            ("2026-12-01T00:00:00Z", 604_800),
        ] {
            let question = read(&[("start_time", "2026-01-01T00:00:00Z"), ("end_time", end)]).unwrap();
            assert_eq!(question.width(), width, "{end}");
        }
        // At the edges of the years that there are, nothing overflows.
        let all = read(&[("start_time", "0000-01-01T00:00:00Z"), ("end_time", "9999-12-31T23:59:59Z")]);
        let all = all.unwrap();
        assert!(all.width() > 604_800);
        all.corrections(None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, field) in [
            (vec![("start_time", "yesterday")], "start_time"),
            (vec![("start_time", "2030-01-01T00:00:00Z")], "start_time"),
            (vec![("end_time", "10000-01-01T00:00:00Z")], "end_time"),
            (vec![("advertiser_id", "a b")], "advertiser_id"),
            (vec![("campaign_id", "camp_001")], "campaign_id"),
        ] {
            let rejection = read(&query).unwrap_err();
            assert_eq!(rejection.field_errors.keys().collect::<Vec<_>>(), [field], "{query:?}");
        }
    }

    #[test]
    fn values_are_bound_and_an_advertiser_is_told_of_outages() {
        let question = read(&[]).unwrap();
        let advertiser = AdvertiserId::unchecked("adv_001");
        let sql = question.incidents(Some(&advertiser)).into_sql();
        assert!(sql.as_str().contains("(advertiser_id IS NULL OR advertiser_id = $3)"), "{sql:?}");
        assert!(!question.incidents(None).into_sql().as_str().contains("advertiser_id ="));
        let sql = question.corrections(Some(&advertiser)).into_sql();
        assert!(sql.as_str().contains("AND advertiser_id = $3 ORDER BY adjusted_at"), "{sql:?}");
    }

    #[test]
    fn an_incident_of_a_later_program_is_left_out() {
        let row = |kind: &str| Incident {
            alert_id: None,
            kind: kind.to_owned(),
            severity: "critical".to_owned(),
            advertiser_id: None,
            campaign_id: None,
            start_time: String::new(),
            end_time: None,
        };
        assert_eq!(incident(row("lag")).map(|found| found.kind), Some(Kind::Outage));
        assert_eq!(incident(row("fraud_rate")).map(|found| found.kind), Some(Kind::Incident));
        assert_eq!(incident(row("fraud_rate")).and_then(|found| found.severity), Some(Severity::Critical));
        assert_eq!(incident(row("of_tomorrow")), None);
    }
}
