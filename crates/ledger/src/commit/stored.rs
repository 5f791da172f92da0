//! Clicks that the ledger holds already, and verdicts on them that change.

use clickwire_protocol::{counts::Disposition, ids::AdvertiserId, rules::Rule, times::UnixMs};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::entry::RowKey;
use crate::{
    ROWS, at,
    judge::{Evidence, Verdict},
    minutes::{CellKey, cell_key, unix_ms},
    rules::Rules,
};

/// A click in the ledger whose verdict may change.
pub(super) struct StoredClick {
    pub(super) click_id: Uuid,
    pub(super) clicked_at_ms: UnixMs,
    pub(super) received_at_ms: UnixMs,
    pub(super) cell: CellKey,
    pub(super) disposition: Disposition,
    pub(super) evidence: Evidence,
    /// The hash of the address, in hexadecimal.
    pub(super) ip_hash: Option<String>,
    /// Its poster alone vouches for the address.
    pub(super) is_bound: bool,
    pub(super) user_id: Option<String>,
    /// A person has decided that it is valid.
    pub(super) is_released: bool,
}

impl StoredClick {
    pub(super) fn advertiser_id(&self) -> &AdvertiserId {
        &self.cell.0
    }

    /// A [`RowKey`], borrowed.
    pub(super) fn key(&self) -> (Uuid, UnixMs, &AdvertiserId) {
        (self.click_id, self.clicked_at_ms, self.advertiser_id())
    }

    pub(super) fn row_key(&self) -> RowKey {
        (self.click_id, self.clicked_at_ms, self.advertiser_id().clone())
    }

    /// The verdict on the click, with everything that is known against it.
    pub(super) fn verdict(&self, rules: &Rules) -> Verdict {
        if self.is_released {
            return Verdict { disposition: Disposition::Valid, rule: None };
        }
        Verdict::from_evidence(self.evidence, self.received_at_ms, rules)
    }
}

/// Reads clicks; what the ledger does not hold is left out.
pub(super) async fn read(
    connection: &mut PgConnection,
    clicks: &[RowKey],
) -> Result<Vec<StoredClick>, sqlx::Error> {
    let times = || clicks.iter().map(|&(_, clicked_at_ms, _)| clicked_at_ms);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(Vec::new()) };
    // The bounds keep the planner from looking into every chunk.
    let rows = sqlx::query(
        "SELECT c.* FROM unnest($1::uuid[], $2::timestamptz[], $5::text[]) AS k (click_id, clicked_at, advertiser_id) \
         JOIN clicks c USING (click_id, clicked_at, advertiser_id) WHERE c.clicked_at BETWEEN $3 AND $4",
    )
    .bind(clicks.iter().map(|&(click_id, ..)| click_id).collect::<Vec<_>>())
    .bind(times().map(at).collect::<Vec<_>>())
    .bind(at(first))
    .bind(at(last))
    .bind(clicks.iter().map(|(_, _, advertiser_id)| advertiser_id.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter().map(stored_click).collect()
}

fn stored_click(row: &PgRow) -> Result<StoredClick, sqlx::Error> {
    let (clicked_at_ms, received_at_ms) = (unix_ms(row, "clicked_at")?, unix_ms(row, "received_at")?);
    let disposition: String = row.try_get_unchecked("disposition")?;
    let evidence: Option<Vec<String>> = row.try_get("evidence")?;
    let ip_hash: Option<Vec<u8>> = row.try_get("ip_hash")?;
    Ok(StoredClick {
        click_id: row.try_get("click_id")?,
        clicked_at_ms,
        received_at_ms,
        cell: cell_key(row, clicked_at_ms)?,
        disposition: Disposition::named(&disposition).ok_or_else(|| sqlx::Error::ColumnDecode {
            index: "disposition".into(),
            source: format!("unknown disposition {disposition}").into(),
        })?,
        evidence: Evidence::named(evidence.iter().flatten().map(String::as_str)),
        ip_hash: ip_hash.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        is_bound: row.try_get::<Option<bool>, _>("bound")?.unwrap_or(false),
        user_id: row.try_get("user_id")?,
        is_released: row.try_get::<Option<bool>, _>("released")?.unwrap_or(false),
    })
}

/// Writes what clicks are counted as now.
pub(super) async fn rewrite(
    connection: &mut PgConnection,
    clicks: &[(&StoredClick, Verdict)],
) -> Result<(), sqlx::Error> {
    for clicks in clicks.chunks(ROWS) {
        let times = || clicks.iter().map(|(click, _)| click.clicked_at_ms);
        sqlx::query(
            "UPDATE clicks c SET disposition = v.judged::disposition, rule = v.rule, rule_version = v.version, \
               evidence = string_to_array(v.evidence, ',') \
               FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::int[], $6::text[], $9::text[]) \
                 AS v (click_id, clicked_at, judged, rule, version, evidence, advertiser_id) \
              WHERE c.click_id = v.click_id AND c.clicked_at = v.clicked_at AND c.advertiser_id = v.advertiser_id \
                AND c.clicked_at BETWEEN $7 AND $8",
        )
        .bind(clicks.iter().map(|(click, _)| click.click_id).collect::<Vec<_>>())
        .bind(times().map(at).collect::<Vec<_>>())
        .bind(clicks.iter().map(|(_, verdict)| verdict.disposition.as_str()).collect::<Vec<_>>())
        .bind(clicks.iter().map(|(_, verdict)| verdict.rule.map(|(name, _)| name)).collect::<Vec<_>>())
        .bind(clicks.iter().map(|(_, verdict)| verdict.rule.map(|(_, version)| version)).collect::<Vec<_>>())
        .bind(clicks.iter().map(|(click, _)| listed(click.evidence)).collect::<Vec<_>>())
        .bind(times().min().map(at))
        .bind(times().max().map(at))
        .bind(clicks.iter().map(|(click, _)| click.advertiser_id().as_str()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Records verdicts that changed after they were counted.
pub(super) async fn adjust(
    connection: &mut PgConnection,
    clicks: &[(&StoredClick, Verdict)],
) -> Result<(), sqlx::Error> {
    for clicks in clicks.chunks(ROWS) {
        sqlx::query(
            "INSERT INTO adjustments (click_id, clicked_at, advertiser_id, from_disposition, to_disposition, rule, \
               rule_version, actor, reason) \
             SELECT click_id, clicked_at, advertiser, was::disposition, now::disposition, rule, version, 'rules', \
                    'other clicks of the same burst came later' \
               FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[]) \
                 AS t (click_id, clicked_at, advertiser, was, now, rule, version)",
        )
        .bind(clicks.iter().map(|(click, _)| click.click_id).collect::<Vec<_>>())
        .bind(clicks.iter().map(|(click, _)| at(click.clicked_at_ms)).collect::<Vec<_>>())
        .bind(clicks.iter().map(|(click, _)| click.advertiser_id().as_str()).collect::<Vec<_>>())
        .bind(clicks.iter().map(|(click, _)| click.disposition.as_str()).collect::<Vec<_>>())
        .bind(clicks.iter().map(|(_, verdict)| verdict.disposition.as_str()).collect::<Vec<_>>())
        .bind(clicks.iter().map(|(_, verdict)| verdict.rule.map(|(name, _)| name)).collect::<Vec<_>>())
        .bind(clicks.iter().map(|(_, verdict)| verdict.rule.map(|(_, version)| version)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The names of the rules, separated by commas; `None` if there are none.
pub(super) fn listed(evidence: Evidence) -> Option<String> {
    let names: Vec<&str> = evidence.rules().map(Rule::as_str).collect();
    (!names.is_empty()).then(|| names.join(","))
}
