//! Clicks, advertisers and campaigns as GraphQL answers them.

use std::collections::BTreeMap;

use async_graphql::{Json, SimpleObject};

use super::scalar::DateTime;
use crate::{
    http::cursor::Page,
    query::{
        clicks::{Change, FoundClick},
        entities,
    },
};

/// A click of the ledger.
#[derive(SimpleObject)]
pub(super) struct Click {
    click_id: String,
    /// The time that it is counted under.
    clicked_at: DateTime,
    received_at: DateTime,
    advertiser_id: String,
    campaign_id: String,
    ad_id: String,
    country: String,
    device_type: String,
    os: Option<String>,
    browser: Option<String>,
    user_id: Option<String>,
    /// `valid`, `duplicate`, `givt`, `sivt`, `test` or `defective`.
    disposition: String,
    /// The rule that decided.
    rule: Option<String>,
    rule_version: Option<i32>,
    /// Every rule that applies.
    evidence: Vec<String>,
    /// The kind of robot that the user agent declares.
    robot: Option<String>,
    released: bool,
    /// Parameters of its link.
    params: Json<BTreeMap<String, String>>,
    /// The page that it came from, without query.
    referrer: Option<String>,
    /// Changes of its verdict, the first one first.
    adjustments: Vec<Adjustment>,
}

/// A change of a verdict.
#[derive(SimpleObject)]
pub(super) struct Adjustment {
    adjusted_at: DateTime,
    from_disposition: String,
    to_disposition: String,
    rule: Option<String>,
    rule_version: Option<i32>,
    /// `rules`, or the person who released it; for tenants, `operator`.
    actor: String,
    reason: String,
}

/// An advertiser.
#[derive(SimpleObject)]
pub(super) struct Advertiser {
    advertiser_id: String,
    name: String,
}

/// A campaign.
#[derive(SimpleObject)]
pub(super) struct Campaign {
    campaign_id: String,
    name: String,
}

/// A page of clicks, the latest first.
#[derive(SimpleObject)]
pub(super) struct ClickPage {
    nodes: Vec<Click>,
    /// Cursor of the next page, for `after`; null after the last.
    next: Option<String>,
}

/// A page of advertisers.
#[derive(SimpleObject)]
pub(super) struct AdvertiserPage {
    nodes: Vec<Advertiser>,
    /// Cursor of the next page, for `after`; null after the last.
    next: Option<String>,
}

/// A page of campaigns.
#[derive(SimpleObject)]
pub(super) struct CampaignPage {
    nodes: Vec<Campaign>,
    /// Cursor of the next page, for `after`; null after the last.
    next: Option<String>,
}

impl From<Change> for Adjustment {
    fn from(change: Change) -> Self {
        let Change { adjusted_at, from_disposition, to_disposition, rule, rule_version, actor, reason } =
            change;
        let adjusted_at = DateTime(adjusted_at);
        Self { adjusted_at, from_disposition, to_disposition, rule, rule_version, actor, reason }
    }
}

impl From<FoundClick> for Click {
    fn from(click: FoundClick) -> Self {
        Self {
            click_id: click.click_id.to_string(),
            clicked_at: DateTime(click.clicked_at),
            received_at: DateTime(click.received_at),
            advertiser_id: click.advertiser_id.to_string(),
            campaign_id: click.campaign_id,
            ad_id: click.ad_id,
            country: click.country,
            device_type: click.device_type,
            os: click.os,
            browser: click.browser,
            user_id: click.user_id,
            disposition: click.disposition,
            rule: click.rule,
            rule_version: click.rule_version,
            evidence: click.evidence.unwrap_or_default(),
            robot: click.robot,
            released: click.released,
            params: Json(click.params.0),
            referrer: click.referrer,
            adjustments: click.adjustments.into_iter().map(Adjustment::from).collect(),
        }
    }
}

impl From<Page<FoundClick>> for ClickPage {
    fn from(page: Page<FoundClick>) -> Self {
        let (rows, next) = page.into_rows();
        Self { nodes: rows.into_iter().map(Click::from).collect(), next }
    }
}

impl From<Page<entities::Advertiser>> for AdvertiserPage {
    fn from(page: Page<entities::Advertiser>) -> Self {
        let (rows, next) = page.into_rows();
        let node = |entities::Advertiser { advertiser_id, name }| Advertiser { advertiser_id, name };
        Self { nodes: rows.into_iter().map(node).collect(), next }
    }
}

impl From<Page<entities::Campaign>> for CampaignPage {
    fn from(page: Page<entities::Campaign>) -> Self {
        let (rows, next) = page.into_rows();
        let node = |entities::Campaign { campaign_id, name }| Campaign { campaign_id, name };
        Self { nodes: rows.into_iter().map(node).collect(), next }
    }
}
