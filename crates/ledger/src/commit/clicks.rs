//! New clicks into the ledger: which of a batch it knows already, and the others as its rows.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use clickwire_protocol::{ids::AdvertiserId, rules::Rule};
use sqlx::{PgConnection, error::DatabaseError};
use uuid::Uuid;

use super::{
    copy::Rows,
    entry::{Entry, Name},
    stored::listed,
};
use crate::{ROWS, at};

/// Returns which of the clicks the ledger holds, under whatever time they were counted.
///
/// A click can stand between one horizon before its receive time and just after it; a resend can
/// come up to one horizon later. So a click's earlier arrival lies within two horizons, or, as long
/// as the ledger keeps it, at the very time that a late resend claims.
pub(super) async fn known<'a>(
    connection: &mut PgConnection,
    entries: &BTreeMap<Name<'a>, Entry<'a>>,
    horizon: Duration,
) -> Result<HashSet<Name<'a>>, sqlx::Error> {
    let times = || entries.values().map(|entry| entry.examined.counted_at_ms);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return Ok(HashSet::new());
    };
    let horizon = time::Duration::try_from(horizon).unwrap_or(time::Duration::DAY);
    let ids: Vec<Uuid> = entries.keys().map(|&(click_id, _)| click_id).collect();
    // One descent into each chunk's index for all ids that are neighbours there, as those of one time
    // are. As a value of its own the array is not weighed id by id, which takes longer than the search.
    let mut found: Vec<(Uuid, AdvertiserId)> = sqlx::query_as(
        "SELECT click_id, advertiser_id FROM clicks WHERE click_id = ANY ((SELECT $1)::uuid[]) AND clicked_at BETWEEN $2 AND $3",
    )
    .bind(&ids)
    .bind(at(first) - horizon * 2)
    .bind(at(last) + horizon * 2)
    .fetch_all(&mut *connection)
    .await?;
    // What comes too late may be a resend of what was counted in time, under the time it claims.
    let late: Vec<&Entry<'_>> = entries.values().filter(|entry| entry.is_moved()).collect();
    if !late.is_empty() {
        let counted: Vec<(Uuid, AdvertiserId)> = sqlx::query_as(
            "SELECT click_id, advertiser_id FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) \
               AS late (click_id, clicked_at, advertiser_id) JOIN clicks USING (click_id, clicked_at, advertiser_id)",
        )
        .bind(late.iter().map(|entry| entry.click().click_id).collect::<Vec<_>>())
        .bind(late.iter().map(|entry| at(entry.click().clicked_at_ms)).collect::<Vec<_>>())
        .bind(late.iter().map(|entry| entry.click().advertiser_id.as_str()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        found.extend(counted);
    }
    // What another advertiser has counted under the same id is another click.
    let found: HashSet<Name<'_>> =
        found.iter().map(|(click_id, advertiser_id)| (*click_id, advertiser_id)).collect();
    Ok(entries.keys().copied().filter(|name| found.contains(name)).collect())
}

/// The number of clicks from which on they are copied, which takes the database two thirds of the time. But the driver
/// sends the end of a copy by itself, behind the data, and its connections have Nagle's algorithm on (sqlx 0.9.0,
/// issue 4335): the end waits 40 ms for the database's delayed acknowledgement of the data.
const WORTH_COPYING: usize = 1_000;

/// Puts clicks into the ledger, with the verdict that each has by itself, and returns them. `None`, and
/// the transaction has failed, if another partition has counted one of them since the look-up: the next look-up
/// finds it.
pub(super) async fn insert<'a>(
    connection: &mut PgConnection,
    rows: Vec<&'a Entry<'a>>,
) -> Result<Option<Vec<&'a Entry<'a>>>, sqlx::Error> {
    if rows.len() >= WORTH_COPYING
        && let Some(data) = encoded(&rows)
    {
        return Ok(copy(connection, data).await?.then_some(rows));
    }
    let mut fresh = Vec::with_capacity(rows.len());
    for rows in rows.chunks(ROWS) {
        let inserted = insert_new(connection, rows).await?;
        let is_inserted = |entry: &&Entry<'_>| {
            let click = entry.click();
            inserted.get(&click.click_id).is_some_and(|of| of.contains(&click.advertiser_id))
        };
        fresh.extend(rows.iter().copied().filter(is_inserted));
    }
    Ok(Some(fresh))
}

/// Copies clicks into the ledger; false if it holds one of them.
async fn copy(connection: &mut PgConnection, rows: Vec<u8>) -> Result<bool, sqlx::Error> {
    let mut copy = connection
        .copy_in_raw(
            "COPY clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, device_type, \
               os, browser, user_id, ip_hash, bound, disposition, rule, rule_version, evidence, stream_seq, params, referrer, robot) \
               FROM STDIN (FORMAT binary)",
        )
        .await?;
    copy.send(rows).await?;
    match copy.finish().await {
        Ok(_) => Ok(true),
        Err(error) if error.as_database_error().is_some_and(DatabaseError::is_unique_violation) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Clicks as they are copied; `None` if the hash of an address is none, which the database is to say.
fn encoded(clicks: &[&Entry<'_>]) -> Option<Vec<u8>> {
    let mut rows = Rows::new(21);
    for entry in clicks {
        let (click, verdict) = (entry.click(), &entry.verdict);
        rows.begin();
        rows.uuid(click.click_id);
        rows.time(entry.examined.counted_at_ms);
        rows.time(click.received_at_ms);
        rows.text(click.advertiser_id.as_str());
        rows.text(click.dimensions.campaign_id.as_str());
        rows.text(click.dimensions.ad_id.as_str());
        rows.text(&click.dimensions.country);
        rows.text(click.dimensions.device_type.as_str());
        rows.optional(click.os.as_deref(), Rows::text);
        rows.optional(click.browser.as_deref(), Rows::text);
        rows.optional(click.user_id.as_deref(), Rows::text);
        match &click.ip_hash {
            Some(hash) => rows.bytes(&unhex(hash)?),
            None => rows.null(),
        }
        rows.optional(click.bound.then_some(true), Rows::boolean);
        rows.text(verdict.disposition.as_str());
        rows.optional(verdict.rule.map(|(name, _)| name), Rows::text);
        rows.optional(verdict.rule.map(|(_, version)| version), Rows::integer);
        let evidence = entry.examined.evidence.rules().map(Rule::as_str);
        if evidence.clone().next().is_some() {
            rows.texts(evidence);
        } else {
            rows.null();
        }
        rows.bigint(entry.received.stream_seq as i64);
        match params(entry) {
            Some(params) => rows.json(&params),
            None => rows.null(),
        }
        rows.optional(click.referrer.as_deref(), Rows::text);
        rows.optional(entry.examined.robot, Rows::text);
    }
    Some(rows.finish())
}

/// The parameters of a click's link, as JSON; `None` if there are none.
fn params(entry: &Entry<'_>) -> Option<String> {
    let params = &entry.click().params;
    // Texts by text: nothing in it can't be written as JSON.
    if params.is_empty() { None } else { serde_json::to_string(params).ok() }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// Inserts those clicks that the ledger does not hold yet, and returns their ids, each with the advertisers
/// that have it.
async fn insert_new(
    connection: &mut PgConnection,
    rows: &[&Entry<'_>],
) -> Result<HashMap<Uuid, Vec<AdvertiserId>>, sqlx::Error> {
    fn column<'a, T>(rows: &'a [&'a Entry<'a>], value: impl Fn(&'a Entry<'a>) -> T) -> Vec<T> {
        rows.iter().map(|entry| value(entry)).collect()
    }
    let inserted: Vec<(Uuid, AdvertiserId)> = sqlx::query_as(
        "INSERT INTO clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, \
           device_type, os, browser, user_id, ip_hash, bound, disposition, rule, rule_version, evidence, stream_seq, \
           params, referrer, robot) \
         SELECT id, clicked, received, advertiser, campaign, ad, country, device, os, browser, \
                usr, decode(ip, 'hex'), nullif(bound, false), judged::disposition, rule, version, string_to_array(evidence, ','), seq, \
                params::jsonb, referrer, robot \
           FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], \
                       $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::int[], \
                       $14::text[], $15::bigint[], $16::text[], $17::text[], $18::boolean[], \
                       $19::text[], $20::text[], $21::text[]) \
             AS t (id, clicked, received, advertiser, campaign, ad, country, device, usr, ip, judged, rule, version, \
                   evidence, seq, os, browser, bound, params, referrer, robot) \
         ON CONFLICT DO NOTHING RETURNING click_id, advertiser_id",
    )
    .bind(column(rows, |entry| entry.click().click_id))
    .bind(column(rows, |entry| at(entry.examined.counted_at_ms)))
    .bind(column(rows, |entry| at(entry.click().received_at_ms)))
    .bind(column(rows, |entry| entry.click().advertiser_id.as_str()))
    .bind(column(rows, |entry| entry.click().dimensions.campaign_id.as_str()))
    .bind(column(rows, |entry| entry.click().dimensions.ad_id.as_str()))
    .bind(column(rows, |entry| entry.click().dimensions.country.as_str()))
    .bind(column(rows, |entry| entry.click().dimensions.device_type.as_str()))
    .bind(column(rows, |entry| entry.click().user_id.as_deref()))
    .bind(column(rows, |entry| entry.click().ip_hash.as_deref()))
    .bind(column(rows, |entry| entry.verdict.disposition.as_str()))
    .bind(column(rows, |entry| entry.verdict.rule.map(|(name, _)| name)))
    .bind(column(rows, |entry| entry.verdict.rule.map(|(_, version)| version)))
    .bind(column(rows, |entry| listed(entry.examined.evidence)))
    .bind(column(rows, |entry| entry.received.stream_seq as i64))
    .bind(column(rows, |entry| entry.click().os.as_deref()))
    .bind(column(rows, |entry| entry.click().browser.as_deref()))
    .bind(column(rows, |entry| entry.click().bound))
    .bind(column(rows, params))
    .bind(column(rows, |entry| entry.click().referrer.as_deref()))
    .bind(column(rows, |entry| entry.examined.robot))
    .fetch_all(connection)
    .await?;
    let mut by_id: HashMap<Uuid, Vec<AdvertiserId>> = HashMap::with_capacity(inserted.len());
    for (click_id, advertiser_id) in inserted {
        by_id.entry(click_id).or_default().push(advertiser_id);
    }
    Ok(by_id)
}
