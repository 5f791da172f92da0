//! Unique users of an answer: sketches of minutes or hours, merged into the answer's buckets.
//!
//! Sketches are kept by campaign, so they answer what is filtered and grouped by nothing finer; where
//! they can't, `unique_users` stays `null`. Rows come in the order of the answer's groups, so one
//! group's sketch is in memory at a time, and the whole range's.

use std::collections::HashMap;

use clickwire_protocol::{
    analytics::{Aggregate, Dimension, Granularity},
    ids::AdvertiserId,
};
use clickwire_uniques::{MINUTES_KEPT, Union};
use futures_util::TryStreamExt as _;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{AggregateQuery, floor, width};

/// Sketches read for one answer, at most; each has up to 8 KiB.
const MAX_SKETCHES: usize = 20_000;

/// A row of the answer: start of the bucket, and campaign if grouped by it.
type Group = (OffsetDateTime, Option<String>);

/// Fills in the unique users of each row and of all.
pub(super) async fn fill(
    answer: &mut Aggregate,
    question: &AggregateQuery,
    advertiser_id: Option<&AdvertiserId>,
    database: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    if !question.is_by_campaign() {
        return Ok(());
    }
    let Some((users, all)) = merged(question, advertiser_id, database).await? else { return Ok(()) };
    for row in &mut answer.data {
        let known = users.get(&(row.time_bucket.clone(), row.campaign_id.clone()));
        // Where nothing but test and defective clicks was received, there is nobody to know.
        row.unique_users = known.copied().or((row.clicks + row.duplicates == 0).then_some(0));
    }
    let is_complete = answer.data.iter().all(|row| row.unique_users.is_some());
    answer.total_unique_users = is_complete.then(|| all.users());
    Ok(())
}

/// Users by bucket and campaign, as the answer's rows name them, and the union of all. `None`: there are too many
/// sketches.
async fn merged(
    question: &AggregateQuery,
    advertiser_id: Option<&AdvertiserId>,
    database: &mut PgConnection,
) -> Result<Option<(HashMap<(String, Option<String>), i64>, Union)>, sqlx::Error> {
    let mut query = question.sketches(advertiser_id, OffsetDateTime::now_utc());
    let mut rows = query.build().fetch(database);
    let (mut users, mut all) = (HashMap::new(), Union::default());
    let mut current: Option<(Group, Union)> = None;
    let mut count = 0;
    let mut finish = |((bucket, campaign_id), union): (Group, Union)| {
        all.merge(&union);
        users.insert((bucket.format(&Rfc3339).unwrap_or_default(), campaign_id), union.users());
    };
    while let Some(row) = rows.try_next().await? {
        count += 1;
        if count > MAX_SKETCHES {
            return Ok(None);
        }
        let group: Group = (row.try_get("bucket")?, row.try_get("campaign_id")?);
        if current.as_ref().is_none_or(|(of, _)| *of != group) {
            current.replace((group, Union::default())).into_iter().for_each(&mut finish);
        }
        if let Some((_, merged)) = &mut current {
            merged.add(row.try_get("sketch")?).map_err(|error| sqlx::Error::ColumnDecode {
                index: "sketch".into(),
                source: Box::new(error),
            })?;
        }
    }
    current.into_iter().for_each(finish);
    Ok(Some((users, all)))
}

impl AggregateQuery {
    /// Returns whether the question filters and groups by nothing finer than campaigns.
    fn is_by_campaign(&self) -> bool {
        let mut asked = self.filters.iter().map(|(dimension, _)| dimension).chain(&self.group_by);
        asked.all(|dimension| *dimension == Dimension::CampaignId)
    }

    /// The sketches of the answer's buckets, whole ones as in the counts.
    pub(super) fn sketches(
        &self,
        advertiser_id: Option<&AdvertiserId>,
        now: OffsetDateTime,
    ) -> QueryBuilder<Postgres> {
        let width_seconds = width(self.granularity).whole_seconds();
        let campaign = if self.group_by.is_empty() { "NULL::text" } else { "campaign_id" };
        let mut sql = QueryBuilder::new(format!(
            "SELECT date_bin(make_interval(secs => {width_seconds}), bucket, 'epoch') AS bucket, \
                    {campaign} AS campaign_id, sketch FROM ("
        ));
        match self.granularity {
            Granularity::Minute => {
                // Later than this nothing is added to a minute, and it may be dropped.
                let kept_from = floor(now - MINUTES_KEPT, width_seconds) + width(self.granularity);
                self.push_table(&mut sql, "unique_minutes", kept_from, advertiser_id);
            }
            Granularity::Hour | Granularity::Day => {
                self.push_table(&mut sql, "unique_hours", self.start, advertiser_id);
                sql.push(" UNION ALL ");
                self.push_table(&mut sql, "unique_minutes", self.start, advertiser_id);
                sql.push(" AND NOT folded");
            }
        }
        sql.push(format!(") AS sketches ORDER BY 1, 2 LIMIT {}", MAX_SKETCHES + 1));
        sql
    }

    fn push_table(
        &self,
        sql: &mut QueryBuilder<Postgres>,
        table: &str,
        not_before: OffsetDateTime,
        advertiser_id: Option<&AdvertiserId>,
    ) {
        let width_seconds = width(self.granularity).whole_seconds();
        let (start, end) = self.buckets();
        let start = start.max(floor(not_before, width_seconds));
        sql.push(format!("SELECT bucket, campaign_id, sketch FROM {table} WHERE bucket >= "))
            .push_bind(start);
        sql.push(" AND bucket < ").push_bind(end);
        if let Some(advertiser_id) = advertiser_id {
            sql.push(" AND advertiser_id = ").push_bind(advertiser_id.clone());
        }
        for (dimension, value) in &self.filters {
            sql.push(format!(" AND {} = ", dimension.as_str())).push_bind(value.clone());
        }
    }
}
