//! Conditions that must hold in the end.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv6Addr,
    time::Duration,
};

use anyhow::{Result, ensure};
use clickwire_protocol::counts::Disposition;
use time::OffsetDateTime;
use uuid::Uuid;

use super::plan::{Click, Plan};
use crate::{
    Screens, Sent, Stack, conservation,
    naive::{self, Evidence, Name},
};

/// Differences that are shown one by one.
const SHOWN: usize = 10;

/// The plan has no clicks for hours on either side of it; live views end there.
const ON_SCREENS: Duration = Duration::from_secs(210 * 60);

/// A click of the ledger.
#[derive(sqlx::FromRow)]
struct Row {
    click_id: Uuid,
    clicked_at: OffsetDateTime,
    advertiser_id: String,
    ad_id: String,
    user_id: Option<String>,
    disposition: String,
}

/// Compares what was sent with what is counted, and each disposition with a recount. Returns what was sent.
pub(crate) async fn check(
    plan: &Plan,
    stack: &Stack,
    screens: &mut Screens,
    within: Duration,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Sent> {
    let mut sent = Sent::new();
    for click in &plan.clicks {
        *sent.entry(click.text("advertiser_id").unwrap_or_default().to_owned()).or_default() += 1;
    }
    conservation::holds(stack, &sent, within).await?;
    say(&format!("ledger = minutes = hours = days = sent: {sent:?}"));

    let rows: Vec<Row> = sqlx::query_as(
        "SELECT click_id, clicked_at, advertiser_id, ad_id, user_id, disposition::text FROM clicks",
    )
    .fetch_all(stack.database())
    .await?;
    screens.show(&recent(&rows), Duration::from_secs(10)).await?;
    say("screens show the same");
    ensure!(stack.dead_letters().await? == 0, "{} dead letters", stack.dead_letters().await?);

    let counts = recount(plan, &rows)?;
    say(&format!("dispositions are those of the recount: {counts:?}"));
    Ok(sent)
}

/// Returns the part that live views show.
fn recent(rows: &[Row]) -> Sent {
    let since = OffsetDateTime::now_utc() - ON_SCREENS;
    let mut recent = Sent::new();
    for row in rows.iter().filter(|row| row.clicked_at > since) {
        *recent.entry(row.advertiser_id.clone()).or_default() += 1;
    }
    recent
}

/// Judges once more: times as the ledger has them (which of two times of one click came first is not
/// determined), everything else as it was sent.
fn recount(plan: &Plan, rows: &[Row]) -> Result<BTreeMap<String, usize>> {
    let sent: HashMap<Name, &Click> = plan.clicks.iter().map(|click| (click.name(), click)).collect();
    let (mut clicks, mut differences) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match sent.get(&(row.click_id, row.advertiser_id.clone())) {
            Some(click)
                if click.text("ad_id") == Some(&row.ad_id)
                    && click.text("user_id") == row.user_id.as_deref() =>
            {
                clicks.push(evidence(click, row));
            }
            Some(_) => differences.push(format!("{}: of another user or ad", row.click_id)),
            None => differences.push(format!("{}: never sent", row.click_id)),
        }
    }
    let expected = naive::judge(&clicks);
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.disposition.clone()).or_default() += 1;
        let expected = expected.get(&(row.click_id, row.advertiser_id.clone()));
        let expected = expected.map(|disposition: &Disposition| disposition.as_str());
        if expected != Some(row.disposition.as_str()) {
            differences.push(format!("{}: {}, recounted {expected:?}", row.click_id, row.disposition));
        }
    }
    let shown: Vec<&str> = differences.iter().take(SHOWN).map(String::as_str).collect();
    ensure!(differences.is_empty(), "{} dispositions differ:\n{}", differences.len(), shown.join("\n"));
    Ok(counts)
}

fn evidence(click: &Click, row: &Row) -> Evidence {
    let agent = click.text("user_agent").unwrap_or_default();
    Evidence {
        click_id: click.id,
        advertiser_id: row.advertiser_id.clone(),
        is_bound: click.is_bound,
        clicked_at_ms: (row.clicked_at.unix_timestamp_nanos() / 1_000_000) as i64,
        is_test: false,
        is_late: click.is_late,
        is_robot: agent.is_empty() || agent.contains("bot"),
        is_forged: false,
        user_id: click.text("user_id").map(str::to_owned),
        ad_id: click.text("ad_id").unwrap_or_default().to_owned(),
        address: click.text("ip_address").map(network),
    }
}

/// Returns the network that stands for an address: the address itself, or the /64 of an IPv6 address.
fn network(address: &str) -> String {
    match address.parse::<Ipv6Addr>() {
        Ok(address) => format!("{:x?}", &address.segments()[..4]),
        Err(_) => address.to_owned(),
    }
}
