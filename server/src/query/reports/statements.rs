//! The statements of reports. Table and column names come from enums, values are bound.

use clickwire_ledger::counts::{COLUMNS, SUMS, each};
use clickwire_protocol::ids::AdvertiserId;
use clickwire_protocol::report::{Dimension, Group, Source};
use foldhash::HashMap;
use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;

use super::{
    super::past,
    MAX_ROWS,
    calendar::Range,
    of_click,
    plan::{Piece, Plan},
    question::Question,
};

/// A statement, its question and its plan.
pub(super) struct Statement<'a> {
    pub(super) question: &'a Question,
    pub(super) plan: &'a Plan,
    /// The advertiser; `None`: all that the transaction shows.
    pub(super) advertiser_id: Option<&'a AdvertiserId>,
    /// The groups that are told apart; the others are one. `None`: all are told apart.
    pub(super) top: Option<&'a Top>,
}

/// The groups that a report tells apart.
#[derive(Debug, Default)]
pub(super) struct Top {
    /// The groups in their order.
    pub(super) groups: Vec<Group>,
    pub(super) places: HashMap<Group, usize>,
}

impl Top {
    pub(super) fn new(groups: Vec<Group>) -> Self {
        let places = groups.iter().cloned().enumerate().map(|(place, group)| (group, place)).collect();
        Self { groups, places }
    }
}

impl Statement<'_> {
    /// Rows of `label`, the place of the group in `top` as `place` or else the group's columns, and counts.
    pub(super) fn counts(&self) -> QueryBuilder<Postgres> {
        self.grouped(SUMS, |sql| {
            for (n, piece) in self.plan.pieces.iter().enumerate() {
                sql.push(if n == 0 { "" } else { " UNION ALL " });
                match piece.source {
                    Source::Ledger => self.push_clicks(sql, ""),
                    Source::Days | Source::Hours | Source::Minutes => self.push_buckets(sql, piece),
                }
            }
        })
    }

    /// Rows as of [`Self::counts`] with the number of distinct `users` in place of counts, from the ledger.
    pub(super) fn users(&self) -> QueryBuilder<Postgres> {
        self.grouped("count(DISTINCT user_id) AS users", |sql| self.push_clicks(sql, ", user_id"))
    }

    /// Returns whether the database adds up the groups that are not told apart. Where groups are parts of the time,
    /// too, the server does it.
    pub(super) fn is_cut_by_database(&self) -> bool {
        let is_by_time = self.question.group_by.iter().any(|dimension| dimension.is_time());
        self.top.is_some()
            && self.question.columns().next().is_some()
            && (self.question.granularity.is_some() || !is_by_time)
    }

    fn grouped(
        &self,
        selected: &str,
        push: impl FnOnce(&mut QueryBuilder<Postgres>),
    ) -> QueryBuilder<Postgres> {
        let columns: Vec<_> = self.question.columns().map(Dimension::as_str).collect();
        let top = self.top.filter(|_| self.is_cut_by_database());
        let groups = if top.is_some() { "place".to_owned() } else { columns.join(", ") };
        let comma = if groups.is_empty() { "" } else { ", " };
        let mut sql = QueryBuilder::new("SELECT ");
        self.push_label(&mut sql);
        sql.push(format!(" AS label{comma}{groups}, {selected} FROM ("));
        push(&mut sql);
        sql.push(") AS parts");
        if let Some(top) = top {
            sql.push(" LEFT JOIN unnest(");
            for (n, dimension) in self.question.columns().enumerate() {
                sql.push(if n == 0 { "" } else { ", " });
                let values: Vec<_> =
                    top.groups.iter().map(|group| group.value(dimension).unwrap_or_default()).collect();
                sql.push_bind(values).push("::text[]");
            }
            let names = columns.join(", ");
            sql.push(format!(") WITH ORDINALITY AS top ({names}, place) USING ({names})"));
        }
        sql.push(format!(" GROUP BY 1{comma}{groups} LIMIT {}", MAX_ROWS + 1));
        sql
    }

    /// Adds the place of the row's label: of the segment that its time is in.
    pub(super) fn push_label(&self, sql: &mut QueryBuilder<Postgres>) {
        if let [_] = self.plan.labels[..] {
            sql.push("0");
            return;
        }
        let bounds: Vec<_> = self.plan.bounds.iter().map(|&bound| instant(bound)).collect();
        sql.push("(").push_bind(self.plan.label_of.clone()).push("::int4[])[width_bucket(bucket, ");
        sql.push_bind(bounds).push("::timestamptz[])]");
    }

    fn push_buckets(&self, sql: &mut QueryBuilder<Postgres>, piece: &Piece) {
        let (hull, stored) = (piece.hull(), self.plan.stored);
        let table = table(self.question, piece.source, stored.is_some());
        // Coarser minutes are stored as far as hours are.
        let is_coarser = table == CAMPAIGN_MINUTES || table == ADVERTISER_MINUTES;
        let Some(hours_before) = stored.map(|stored| stored.hours_before).filter(|_| is_coarser) else {
            return self.push_table(sql, &table, hull, piece);
        };
        if hull.start < hours_before {
            self.push_table(sql, &table, Range { end: hull.end.min(hours_before), ..hull }, piece);
        }
        if hull.start < hours_before && hours_before < hull.end {
            sql.push(" UNION ALL ");
        }
        if hours_before < hull.end {
            self.push_table(sql, MINUTES, Range { start: hull.start.max(hours_before), ..hull }, piece);
        }
    }

    /// The buckets of a piece that lie in a range.
    fn push_table(&self, sql: &mut QueryBuilder<Postgres>, table: &str, range: Range, piece: &Piece) {
        let columns: String = self.question.columns().map(|column| format!(", {column}")).collect();
        sql.push(format!("SELECT bucket{columns}, {COLUMNS} FROM {table} WHERE "));
        push_range(sql, "bucket", range);
        if let Some(starts) = piece.starts() {
            sql.push(" AND bucket = ANY(");
            sql.push_bind(starts.into_iter().map(instant).collect::<Vec<_>>()).push(")");
        }
        self.push_filters(sql);
    }

    /// Adds clicks as buckets of one click each, with the disposition that they had at the report's `as_of`.
    fn push_clicks(&self, sql: &mut QueryBuilder<Postgres>, more: &str) {
        let columns: String =
            self.question.columns().map(|column| format!(", {} AS {column}", of_click(column))).collect();
        let as_of = self.question.as_of_ms.map(instant_ms);
        let disposition = if as_of.is_some() { past::DISPOSITION } else { "c.disposition" };
        let counts = each(|column| format!("({disposition} = '{column}')::int AS {column}"));
        sql.push(format!("SELECT c.clicked_at AS bucket{columns}, {counts}{more} FROM clicks AS c"));
        if let Some(as_of) = as_of {
            past::join(sql, as_of, |sql| {
                sql.push(" AND ");
                push_range(sql, "clicked_at", self.plan.range);
                self.push_advertiser(sql, "advertiser_id");
            });
        }
        sql.push(" WHERE ");
        push_range(sql, "c.clicked_at", self.plan.range);
        if let Some(as_of) = as_of {
            sql.push(" AND c.received_at <= ").push_bind(as_of);
        }
        if !more.is_empty() {
            sql.push(format!(" AND {disposition} NOT IN ('test', 'defective')"));
        }
        self.push_advertiser(sql, OF_LEDGER);
        for filter in &self.question.filters {
            let not = if filter.is_exclusion { "NOT " } else { "" };
            sql.push(format!(" AND {not}{} = ANY(", of_click(filter.dimension)));
            sql.push_bind(filter.values.clone()).push(")");
        }
    }

    /// Adds conditions: the advertiser, and filters by columns.
    pub(super) fn push_filters(&self, sql: &mut QueryBuilder<Postgres>) {
        self.push_advertiser(sql, "advertiser_id");
        for filter in &self.question.filters {
            let not = if filter.is_exclusion { "NOT " } else { "" };
            sql.push(format!(" AND {not}{} = ANY(", filter.dimension));
            sql.push_bind(filter.values.clone()).push(")");
        }
    }

    fn push_advertiser(&self, sql: &mut QueryBuilder<Postgres>, column: &str) {
        if let Some(advertiser_id) = self.advertiser_id {
            sql.push(format!(" AND {column} = ")).push_bind(advertiser_id.clone());
        }
    }
}

/// An advertiser in the ledger, as its index has it (migration 27).
const OF_LEDGER: &str = r#"c.advertiser_id COLLATE "C""#;

pub(super) fn push_range(sql: &mut QueryBuilder<Postgres>, column: &str, range: Range) {
    sql.push(format!("{column} >= ")).push_bind(instant(range.start));
    sql.push(format!(" AND {column} < ")).push_bind(instant(range.end));
}

/// Minutes, and those of stored hours by campaign and by advertiser.
const MINUTES: &str = "click_minutes";
const CAMPAIGN_MINUTES: &str = "minute_counts_by_campaign";
const ADVERTISER_MINUTES: &str = "minute_counts_by_advertiser";

/// The table of a width at the coarsest grain that answers the question: a stored one, or the view of it. All are by
/// advertiser.
fn table(question: &Question, source: Source, is_stored: bool) -> String {
    let has_only = |some: &[Dimension]| {
        question
            .dimensions()
            .filter(|dimension| !dimension.is_time() && *dimension != Dimension::AdvertiserId)
            .all(|dimension| some.contains(&dimension))
    };
    let is_by_campaign = has_only(&[Dimension::CampaignId]);
    let name = match (source, is_stored) {
        (Source::Days, true) => "day_counts",
        (Source::Days, false) => "click_days",
        (Source::Hours, true) => "hour_counts",
        (Source::Hours, false) => "click_hours",
        (Source::Minutes, true) if has_only(&[]) => return ADVERTISER_MINUTES.to_owned(),
        (Source::Minutes, true) if is_by_campaign => return CAMPAIGN_MINUTES.to_owned(),
        (Source::Minutes | Source::Ledger, _) => return MINUTES.to_owned(),
    };
    if is_by_campaign {
        format!("{name}_by_campaign")
    } else if has_only(&[Dimension::Country, Dimension::DeviceType]) {
        format!("{name}_by_place")
    } else if is_stored && has_only(&[Dimension::CampaignId, Dimension::AdId]) {
        format!("{name}_by_ad")
    } else {
        name.to_owned()
    }
}

/// A time as it is bound, as far as there are such times.
pub(super) fn instant(at: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn instant_ms(at_ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
