//! `GET /api/v1/clicks`: clicks of the ledger, with evidence and with the changes of their verdicts.
//!
//! Tenants find their own; they see neither addresses nor names of people who changed a verdict.

use std::{collections::HashMap, sync::Arc, time::Instant};

use axum::{Json, extract::State};
use clickwire_ledger::release::RELEASED_FOR_DAYS;
use clickwire_protocol::{counts::Disposition, ids::AdvertiserId, report::Dimension, rules::Rule};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row as _};
use time::{Duration, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    http::{
        cursor::{Asked, InPages, Page, at, micros},
        error::Error,
        openapi::{self, Refused},
        parameters::{Parameters, boolean, instant},
    },
    identity::access::Caller,
    query::{past, reports::of_click, state::QueryState},
    store::{
        database::{answer, rfc3339},
        error::of_question,
        params::StoredParams,
    },
};

/// The range that is searched unless another is asked for.
const RANGE: Duration = Duration::DAY;

/// Longest user id that is looked for, in bytes.
const MAX_USER_ID_BYTES: usize = 512;

/// A table of clicks with the hashes of their addresses. A search that has none takes no address.
#[derive(Clone, Copy)]
pub(crate) struct Addresses(&'static str);

impl Addresses {
    /// The ledger itself.
    pub(crate) const LEDGER: Self = Self("clicks");

    /// The ledger, for a transaction that may see all advertisers.
    const OF_ALL: Self = Self("tenants.addresses");
}

/// The address that a search is about.
struct Address {
    table: Addresses,
    hash: Vec<u8>,
    /// Whether keys bound to one advertiser have posted the clicks; `None`: either.
    bound: Option<bool>,
}

/// A click of the ledger.
#[derive(Clone, Serialize, ToSchema, FromRow)]
pub(crate) struct FoundClick {
    pub(crate) click_id: Uuid,
    /// The time under which the click is counted.
    #[schema(format = DateTime)]
    pub(crate) clicked_at: String,
    #[schema(format = DateTime)]
    pub(crate) received_at: String,
    #[schema(value_type = String)]
    pub(crate) advertiser_id: AdvertiserId,
    pub(crate) campaign_id: String,
    pub(crate) ad_id: String,
    pub(crate) country: String,
    pub(crate) device_type: String,
    pub(crate) os: Option<String>,
    pub(crate) browser: Option<String>,
    pub(crate) user_id: Option<String>,
    /// `valid`, `duplicate`, `givt`, `sivt`, `test` or `defective`.
    pub(crate) disposition: String,
    /// The rule that decided, and its version.
    pub(crate) rule: Option<String>,
    pub(crate) rule_version: Option<i32>,
    /// Every rule that applies.
    pub(crate) evidence: Option<Vec<String>>,
    /// The kind of robot that the user agent declares, such as `ai-crawler` or `http-library`.
    pub(crate) robot: Option<String>,
    pub(crate) released: bool,
    /// Parameters that its link came with: networks' click ids and the like.
    #[schema(value_type = BTreeMap<String, String>)]
    #[sqlx(try_from = "Option<String>")]
    pub(crate) params: StoredParams,
    /// The page that the click came from, without query.
    pub(crate) referrer: Option<String>,
    /// Changes of its verdict, the first one first.
    #[sqlx(skip)]
    pub(crate) adjustments: Vec<Change>,
    #[serde(skip)]
    at: OffsetDateTime,
}

/// A change of a verdict.
#[derive(Clone, Serialize, ToSchema, FromRow)]
pub(crate) struct Change {
    #[schema(format = DateTime)]
    pub(crate) adjusted_at: String,
    pub(crate) from_disposition: String,
    pub(crate) to_disposition: String,
    pub(crate) rule: Option<String>,
    pub(crate) rule_version: Option<i32>,
    /// `rules`, or the person who released it; for tenants, `operator`.
    pub(crate) actor: String,
    pub(crate) reason: String,
}

/// The conditions that clicks are searched by.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, and read as `Parameters`")]
pub(crate) struct Search {
    /// The click's id; all of the ledger is searched then.
    click_id: Option<Uuid>,
    /// Start of the range; by default a day before the end.
    start_time: Option<OffsetDateTime>,
    /// End of the range, exclusive; by default now.
    end_time: Option<OffsetDateTime>,
    /// The advertiser; without it a caller that sees all advertisers searches all.
    advertiser_id: Option<String>,
    campaign_id: Option<String>,
    ad_id: Option<String>,
    country: Option<String>,
    device_type: Option<String>,
    os: Option<String>,
    browser: Option<String>,
    user_id: Option<String>,
    /// One or several of `valid`, `duplicate`, `givt`, `sivt`, `test`, `defective`, separated by commas.
    disposition: Option<String>,
    /// The rule that decided, such as `ip_velocity`.
    rule: Option<String>,
    /// Moment whose knowledge is asked for: clicks received until then, with the verdicts of then.
    as_of: Option<OffsetDateTime>,
}

/// The address that clicks are searched by; for operators.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, and read as `Parameters`")]
pub(crate) struct OfAddress {
    /// The hash of the address, as an incident names it: 32 hexadecimal digits.
    ip_hash: Option<String>,
    /// With `ip_hash`: `true` for clicks that keys bound to one advertiser have posted, whose addresses count for that
    /// advertiser alone; `false` for all others.
    bound: Option<bool>,
}

/// A search, checked.
pub(crate) struct Wanted {
    click_id: Option<Uuid>,
    pub(crate) advertiser_id: Option<AdvertiserId>,
    start: Option<OffsetDateTime>,
    end: Option<OffsetDateTime>,
    dimensions: Vec<(Dimension, String)>,
    user_id: Option<String>,
    address: Option<Address>,
    dispositions: Option<Vec<&'static str>>,
    rule: Option<&'static str>,
    as_of: Option<OffsetDateTime>,
}

/// The place of a click in the order of pages.
type Cursor = (i64, Uuid, AdvertiserId);

/// Clicks, the latest first.
#[utoipa::path(get, path = "/api/v1/clicks", operation_id = "find_clicks", tag = "clicks", params(Search, OfAddress, InPages),
    responses((status = 200, body = Page<FoundClick>), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn find(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<Page<FoundClick>>, Error> {
    search(&state, &caller, parameters).await.map(Json)
}

/// A page of clicks, for whichever door asks.
pub(crate) async fn search(
    state: &QueryState,
    caller: &Caller,
    mut parameters: Parameters,
) -> Result<Page<FoundClick>, Error> {
    caller.sees_clicks()?;
    let asked: Asked<Cursor> = Asked::read(&mut parameters);
    let addresses = caller.sees_people().then_some(Addresses::OF_ALL);
    let wanted = Wanted::read(parameters, OffsetDateTime::now_utc(), addresses)?;
    let advertiser_id = caller.scope.advertiser_or_all(wanted.advertiser_id.as_ref())?;
    let started = Instant::now();
    let mut tenants = state.tenants.begin(&caller.scope, caller.holders(advertiser_id)).await?;
    let mut sql = wanted.page(advertiser_id, &asked);
    let found = answer(sql.build_query_as().fetch_all(&mut *tenants)).await.map_err(of_question)?;
    let mut found: Vec<FoundClick> = found;
    answer(add_changes(&mut found, caller.sees_people(), &mut tenants)).await.map_err(of_question)?;
    metrics::histogram!("clickwire_query_seconds", "query" => "clicks").record(started.elapsed());
    Ok(asked.page(found, |click| (micros(click.at), click.click_id, click.advertiser_id.clone())))
}

impl Wanted {
    pub(crate) fn read(
        mut given: Parameters,
        now: OffsetDateTime,
        addresses: Option<Addresses>,
    ) -> Result<Self, Error> {
        let click_id = given.take("click_id", |text| text.parse::<Uuid>().map_err(|_| "Expected a UUID."));
        let (start, end) = (given.take("start_time", instant), given.take("end_time", instant));
        if start.is_some_and(|start| start >= end.unwrap_or(now)) {
            given.reject("start_time", "Must be before end_time.");
        }
        let (start, end) = match click_id {
            Some(_) => (start, end),
            None => {
                let end = end.unwrap_or(now);
                (Some(start.unwrap_or_else(|| end.saturating_sub(RANGE))), Some(end))
            }
        };
        let mut dimensions = Vec::new();
        for dimension in Dimension::FILTERS {
            let value = given.take(dimension.as_str(), |text| dimension.value(text));
            dimensions.extend(value.map(|value| (dimension, value)));
        }
        let address = addresses.and_then(|table| {
            let (hash, bound) = (given.take("ip_hash", hash), given.take("bound", boolean));
            if hash.is_none() && bound.is_some() {
                given.reject("bound", "Is said of an ip_hash.");
            }
            Some(Address { table, hash: hash?, bound })
        });
        let wanted = Self {
            click_id,
            advertiser_id: given.take("advertiser_id", AdvertiserId::new),
            start,
            end,
            dimensions,
            user_id: given.take("user_id", |text| {
                let fits = !text.is_empty() && text.len() <= MAX_USER_ID_BYTES;
                fits.then(|| text.to_owned()).ok_or("Expected a user id.")
            }),
            address,
            dispositions: given.take("disposition", dispositions),
            rule: given.take("rule", rule),
            as_of: given.take("as_of", instant),
        };
        given.finish(wanted)
    }

    /// A page of clicks.
    fn page(&self, advertiser_id: Option<&AdvertiserId>, asked: &Asked<Cursor>) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new(format!(
            "SELECT click_id, {} AS clicked_at, {} AS received_at, advertiser_id, campaign_id, ad_id, country, \
                    device_type, os, browser, user_id, {}::text AS disposition, rule, rule_version, evidence, robot, \
                    released, params::text, referrer, c.clicked_at AS at",
            rfc3339("c.clicked_at"),
            rfc3339("c.received_at"),
            self.disposition(),
        ));
        self.push_from(&mut sql, advertiser_id);
        if let Some((clicked_at, click_id, advertiser_id)) = asked.after() {
            // The bound of time alone first: chunks behind it are not looked into.
            sql.push(" AND c.clicked_at <= ").push_bind(at(*clicked_at));
            sql.push(" AND (c.clicked_at, c.click_id, c.advertiser_id) < (").push_bind(at(*clicked_at));
            sql.push(", ").push_bind(*click_id).push(", ").push_bind(advertiser_id.clone()).push(")");
        }
        sql.push(" ORDER BY c.clicked_at DESC, c.click_id DESC, c.advertiser_id DESC LIMIT ");
        sql.push_bind(asked.limit());
        sql
    }

    /// Declares the cursor `exported` of all clicks, the earliest first.
    pub(super) fn cursor(&self, advertiser_id: Option<&AdvertiserId>) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new(format!(
            "DECLARE exported NO SCROLL CURSOR FOR SELECT click_id::text, c.clicked_at, c.received_at, advertiser_id, \
                    campaign_id, ad_id, country, device_type, os, browser, user_id, {}::text AS disposition, rule, \
                    rule_version, evidence, robot, params::text, referrer",
            self.disposition(),
        ));
        self.push_from(&mut sql, advertiser_id);
        sql.push(" ORDER BY c.clicked_at");
        sql
    }

    /// The number of clicks, up to `max`.
    pub(super) fn count(&self, advertiser_id: Option<&AdvertiserId>, max: i64) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT");
        self.push_from(&mut sql, advertiser_id);
        sql.push(format!(" LIMIT {max}) AS found"));
        sql
    }

    /// Returns whether the search is about the clicks of one address.
    pub(crate) fn is_of_address(&self) -> bool {
        self.address.is_some()
    }

    /// Returns whether the search is about what was known at another moment.
    pub(crate) fn is_of_the_past(&self) -> bool {
        self.as_of.is_some()
    }

    /// Keys of clicks that can be released, the earliest first, up to `max`: of invalid traffic, and of
    /// duplicates where the search names dispositions.
    pub(crate) fn releasable(&self, max: i64) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT click_id, clicked_at, advertiser_id");
        self.push_releasable(&mut sql);
        sql.push(" ORDER BY c.clicked_at LIMIT ").push_bind(max);
        sql
    }

    /// The number of clicks that can be released, up to `max`.
    pub(crate) fn count_releasable(&self, max: i64) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT count(*) FROM (SELECT");
        self.push_releasable(&mut sql);
        sql.push(" LIMIT ").push_bind(max).push(") AS found");
        sql
    }

    /// Advertisers with clicks of the address and the time that the search names, whatever else it names.
    pub(crate) fn advertisers_of_address(&self) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT DISTINCT advertiser_id");
        self.push_table(&mut sql);
        sql.push(" WHERE true");
        self.push_bounds(&mut sql, "c.", None);
        self.push_address(&mut sql);
        sql
    }

    fn push_releasable(&self, sql: &mut QueryBuilder<Postgres>) {
        self.push_from(sql, self.advertiser_id.as_ref());
        let invalid = if self.dispositions.is_none() { "" } else { "'duplicate', " };
        sql.push(format!(" AND c.disposition IN ({invalid}'givt', 'sivt')"));
        sql.push(" AND c.clicked_at >= now() - make_interval(days => ");
        sql.push_bind(RELEASED_FOR_DAYS as i32).push(")");
    }

    fn disposition(&self) -> &'static str {
        if self.as_of.is_some() { past::DISPOSITION } else { "c.disposition" }
    }

    /// Tables and conditions.
    fn push_from(&self, sql: &mut QueryBuilder<Postgres>, advertiser_id: Option<&AdvertiserId>) {
        self.push_table(sql);
        if let Some(as_of) = self.as_of {
            past::join(sql, as_of, |sql| self.push_bounds(sql, "", advertiser_id));
        }
        sql.push(" WHERE true");
        self.push_bounds(sql, "c.", advertiser_id);
        if let Some(as_of) = self.as_of {
            sql.push(" AND c.received_at <= ").push_bind(as_of);
        }
        if let Some(click_id) = self.click_id {
            sql.push(" AND c.click_id = ").push_bind(click_id);
        }
        for (dimension, value) in &self.dimensions {
            sql.push(format!(" AND {} = ", of_click(*dimension))).push_bind(value.clone());
        }
        if let Some(user_id) = &self.user_id {
            sql.push(" AND c.user_id = ").push_bind(user_id.clone());
        }
        self.push_address(sql);
        if let Some(dispositions) = &self.dispositions {
            sql.push(format!(" AND {} = ANY(", self.disposition()));
            sql.push_bind(dispositions.clone()).push("::text[]::disposition[])");
        }
        if let Some(rule) = self.rule {
            sql.push(" AND c.rule = ").push_bind(rule);
        }
    }

    fn push_table(&self, sql: &mut QueryBuilder<Postgres>) {
        let Addresses(table) = self.address.as_ref().map_or(Addresses::LEDGER, |address| address.table);
        sql.push(format!(" FROM {table} AS c"));
    }

    fn push_address(&self, sql: &mut QueryBuilder<Postgres>) {
        let Some(Address { hash, bound, .. }) = &self.address else { return };
        // As the ledger's two indexes have them (migration 16).
        let mut before = " AND (";
        for (is_bound, condition) in [(false, " AND c.bound IS NOT TRUE"), (true, " AND c.bound")] {
            if bound.is_none_or(|bound| bound == is_bound) {
                sql.push(before).push("c.ip_hash = ").push_bind(hash.clone()).push(condition);
                before = " OR ";
            }
        }
        sql.push(")");
    }

    fn push_bounds(&self, sql: &mut QueryBuilder<Postgres>, of: &str, advertiser_id: Option<&AdvertiserId>) {
        if let Some(start) = self.start {
            sql.push(format!(" AND {of}clicked_at >= ")).push_bind(start);
        }
        if let Some(end) = self.end {
            sql.push(format!(" AND {of}clicked_at < ")).push_bind(end);
        }
        if let Some(advertiser_id) = advertiser_id {
            // As the ledger's index has it (migration 27).
            sql.push(format!(" AND {of}advertiser_id COLLATE \"C\" = ")).push_bind(advertiser_id.clone());
        }
    }
}

/// Adds the changes of clicks' verdicts.
async fn add_changes(
    found: &mut [FoundClick],
    sees_people: bool,
    database: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let actor = if sees_people { "actor" } else { "CASE actor WHEN 'rules' THEN actor ELSE 'operator' END" };
    let sql = format!(
        "SELECT k.n, {} AS adjusted_at, from_disposition::text, to_disposition::text, rule, rule_version, {actor} AS actor, reason \
           FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) WITH ORDINALITY AS k (click_id, clicked_at, advertiser_id, n) \
           JOIN adjustments USING (click_id, clicked_at, advertiser_id) ORDER BY adjustment_id LIMIT 10000",
        rfc3339("adjusted_at"),
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(found.iter().map(|click| click.click_id).collect::<Vec<_>>())
        .bind(found.iter().map(|click| click.at).collect::<Vec<_>>())
        .bind(found.iter().map(|click| click.advertiser_id.clone()).collect::<Vec<_>>())
        .fetch_all(database)
        .await?;
    let mut changes: HashMap<i64, Vec<Change>> = HashMap::new();
    for row in &rows {
        changes.entry(row.try_get("n")?).or_default().push(Change::from_row(row)?);
    }
    for (n, click) in (1..).zip(found) {
        click.adjustments = changes.remove(&n).unwrap_or_default();
    }
    Ok(())
}

fn dispositions(text: &str) -> Result<Vec<&'static str>, String> {
    let named = text.split(',').map(|name| Disposition::named(name.trim()).map(Disposition::as_str));
    named.collect::<Option<Vec<_>>>().ok_or_else(|| {
        format!("Expected one or several of {}.", Disposition::ALL.map(Disposition::as_str).join(", "))
    })
}

/// Reads the hash of an address.
fn hash(text: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32 && !text.starts_with('+'));
    bytes.map(|bytes| bytes.to_be_bytes().to_vec()).ok_or("Expected 32 hexadecimal digits.")
}

fn rule(text: &str) -> Result<&'static str, String> {
    let named = Rule::named(text).map(Rule::as_str);
    named.ok_or_else(|| format!("Expected one of {}.", Rule::ALL.map(Rule::as_str).join(", ")))
}
