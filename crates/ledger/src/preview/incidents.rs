//! Previews of the rules that open incidents: how many incidents of campaigns a rule would have opened in the last
//! hours. The minutes of the campaigns are read, and the rule is asked at the end of each.
//!
//! The aggregator asks every second, of minutes that are not over, and with clicks that came late: an incident that
//! a preview counts may have been opened within the minute, and one that was over before a minute's end is not seen.

use std::{cmp::Reverse, collections::HashMap};

use clickwire_protocol::{
    MINUTE_MS,
    alerts::{FraudRate, Severity, Spike},
    ids::{AdvertiserId, CampaignId},
    rules::preview::{IncidentPreview, OpenedIncidents, PreviewedCampaign},
    times::UnixMs,
};
use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use crate::incidents::{
    share,
    spike::{MIN_HISTORY_MINUTES, limit},
};

/// Campaigns that are looked at, at most: those with the most clicks.
pub const MAX_CAMPAIGNS: i64 = 500;

/// Campaigns that are listed at most.
const CAMPAIGNS: usize = 10;

/// Minutes without an observation after which an incident is over: the default of the aggregator's setting.
const QUIET_MINUTES: usize = 2;

/// A rule that opens incidents of campaigns.
#[derive(Clone, Copy, Debug)]
pub enum CampaignRule {
    /// None: the rule is off.
    Off,
    /// `campaign_spike`
    Spike(Spike),
    /// `fraud_rate`
    FraudRate(FraudRate),
}

impl CampaignRule {
    /// Number of minutes before a minute that it looks at.
    fn minutes_before(self) -> usize {
        match self {
            Self::Off => 0,
            // The minute before is asked about, too, and is compared with those before it.
            Self::Spike(rule) => rule.window_minutes as usize + 1,
            Self::FraudRate(rule) => rule.window_minutes as usize,
        }
    }

    /// Returns what it says at the end of the last of the minutes. There are at least as many as it looks at.
    fn observe(self, minutes: &[Option<Minute>]) -> Option<Severity> {
        let clicks = |minute: &Option<Minute>| minute.map_or(0, |minute| minute.clicks);
        match self {
            Self::Off => None,
            Self::Spike(rule) => {
                let (before, recent) = minutes[minutes.len() - 2 - rule.window_minutes as usize..]
                    .split_at(rule.window_minutes as usize);
                let most =
                    recent.iter().map(clicks).max().filter(|most| *most >= rule.minimum_clicks.into())?;
                // A minute without clicks counts from the campaign's first on.
                let first = before.iter().position(Option::is_some)?;
                let before: Vec<i64> = before[first..].iter().map(clicks).collect();
                let is_old = before.len() >= MIN_HISTORY_MINUTES;
                (is_old && most as f64 > limit(&before, rule.deviations)).then_some(Severity::Warning)
            }
            Self::FraudRate(rule) => {
                let window = minutes[minutes.len() - rule.window_minutes as usize..].iter().flatten();
                let (clicks, invalid) = window.fold((0, 0), |(clicks, invalid), minute| {
                    (clicks + minute.clicks, invalid + minute.invalid)
                });
                let is_enough = clicks >= i64::from(rule.minimum_clicks.max(1));
                is_enough.then(|| share::severity(clicks, invalid, rule)).flatten()
            }
        }
    }

    /// Counts the incidents of a campaign, of whose minutes `from` is the first that it is asked about.
    fn incidents(self, minutes: &[Option<Minute>], from: usize) -> OpenedIncidents {
        let mut opened = OpenedIncidents::default();
        let mut open: Option<(usize, Severity)> = None;
        for last in from..minutes.len() {
            let Some(severity) = self.observe(&minutes[..=last]) else { continue };
            let still_open = open.filter(|(seen, _)| last - seen <= QUIET_MINUTES);
            opened.opened += i64::from(still_open.is_none());
            let was = still_open.map(|(_, severity)| severity);
            opened.critical += i64::from(severity == Severity::Critical && was != Some(Severity::Critical));
            open = Some((last, was.map_or(severity, |was| was.max(severity))));
        }
        opened
    }
}

/// The clicks of a campaign in a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    clicks: i64,
    invalid: i64,
}

/// The minutes of campaigns, and the rules that are asked about them.
pub struct IncidentHistory {
    current: CampaignRule,
    previewed: CampaignRule,
    start: i64,
    end: i64,
    /// The first minute that is read.
    first: i64,
    is_cut: bool,
    campaigns: HashMap<(AdvertiserId, CampaignId), Vec<Option<Minute>>>,
}

impl IncidentHistory {
    /// Reads the minutes that begin in a range, and those that the rules look at before them.
    pub async fn read(
        connection: &mut PgConnection,
        [current, previewed]: [CampaignRule; 2],
        start: UnixMs,
        end: UnixMs,
    ) -> Result<Self, sqlx::Error> {
        let [start, end] = [start, end].map(|at| at.0.div_euclid(MINUTE_MS));
        let before = current.minutes_before().max(previewed.minutes_before());
        let first = start - before as i64;
        let range = "bucket >= to_timestamp($1 * 60) AND bucket < to_timestamp($2 * 60)";
        let clicks = "sum(valid + givt + sivt)::bigint";
        let sql = format!(
            "WITH busiest AS ( \
               SELECT advertiser_id, campaign_id FROM click_minutes WHERE {range} \
                GROUP BY 1, 2 ORDER BY {clicks} DESC, 1, 2 LIMIT $3) \
             SELECT advertiser_id, campaign_id, (extract(epoch FROM bucket) / 60)::bigint, {clicks}, \
                    sum(givt + sivt)::bigint \
               FROM click_minutes JOIN busiest USING (advertiser_id, campaign_id) WHERE {range} GROUP BY 1, 2, 3"
        );
        let mut rows =
            sqlx::query_as::<_, (AdvertiserId, CampaignId, i64, i64, i64)>(sqlx::AssertSqlSafe(sql))
                .bind(first)
                .bind(end)
                .bind(MAX_CAMPAIGNS + 1)
                .fetch(connection);
        let mut campaigns: HashMap<_, Vec<Option<Minute>>> = HashMap::new();
        while let Some((advertiser, campaign, minute, clicks, invalid)) = rows.try_next().await? {
            let none = || vec![None; (end - first) as usize];
            let minutes = campaigns.entry((advertiser, campaign)).or_insert_with(none);
            if let Some(of_minute) = usize::try_from(minute - first).ok().and_then(|at| minutes.get_mut(at)) {
                *of_minute = Some(Minute { clicks, invalid });
            }
        }
        let is_cut = campaigns.len() as i64 > MAX_CAMPAIGNS;
        if is_cut {
            // One more was read than is looked at.
            let clicks =
                |minutes: &[Option<Minute>]| -> i64 { minutes.iter().flatten().map(|one| one.clicks).sum() };
            // The order of the statement, so that of campaigns with as many clicks always the same one goes.
            let last = campaigns.iter().max_by_key(|&(name, minutes)| (Reverse(clicks(minutes)), name));
            let last = last.map(|(name, _)| name.clone());
            last.map(|name| campaigns.remove(&name));
        }
        Ok(Self { current, previewed, start, end, first, is_cut, campaigns })
    }

    /// Counts the incidents by each of the rules. It takes up to seconds.
    pub fn incidents(&self) -> IncidentPreview {
        let from = (self.start - self.first) as usize;
        let mut preview = IncidentPreview {
            start_ms: self.start * MINUTE_MS,
            end_ms: self.end * MINUTE_MS,
            is_cut: self.is_cut,
            campaign_count: self.campaigns.len() as i64,
            current: OpenedIncidents::default(),
            previewed: OpenedIncidents::default(),
            campaigns: Vec::new(),
        };
        for ((advertiser_id, campaign_id), minutes) in &self.campaigns {
            let [current, previewed] =
                [self.current, self.previewed].map(|rule| rule.incidents(minutes, from));
            preview.current.add(current);
            preview.previewed.add(previewed);
            if current != previewed {
                let (advertiser_id, campaign_id) = (advertiser_id.clone(), campaign_id.clone());
                preview.campaigns.push(PreviewedCampaign { advertiser_id, campaign_id, current, previewed });
            }
        }
        preview.campaigns.sort_by_cached_key(|one| {
            let opened = (one.previewed.opened - one.current.opened).abs();
            let critical = (one.previewed.critical - one.current.critical).abs();
            (Reverse((opened, critical)), one.advertiser_id.to_string(), one.campaign_id.to_string())
        });
        preview.campaigns.truncate(CAMPAIGNS);
        preview
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIKE: Spike = Spike { deviations: 6, minimum_clicks: 30, window_minutes: 10 };
    const RATE: FraudRate =
        FraudRate { warning_percent: 3, critical_percent: 5, minimum_clicks: 30, window_minutes: 10 };

    fn minutes(of: impl IntoIterator<Item = (i64, i64)>) -> Vec<Option<Minute>> {
        of.into_iter().map(|(clicks, invalid)| (clicks > 0).then_some(Minute { clicks, invalid })).collect()
    }

    fn incidents(rule: CampaignRule, of: &[(i64, i64)]) -> (i64, i64) {
        let before = rule.minutes_before();
        let all = std::iter::repeat_n((0, 0), before).chain(of.iter().copied());
        let OpenedIncidents { opened, critical } = rule.incidents(&minutes(all), before);
        (opened, critical)
    }

    #[test]
    fn a_spike_is_an_incident_of_a_campaign_that_is_old_enough() {
        let calm = [(10, 0); 20];
        let rule = CampaignRule::Spike(SPIKE);
        assert_eq!(incidents(rule, &calm), (0, 0));
        assert_eq!(incidents(CampaignRule::Off, &calm), (0, 0));
        let spike = [&calm[..], &[(60, 0)], &calm].concat();
        assert_eq!(incidents(rule, &spike), (1, 0));
        assert_eq!(incidents(rule, &spike[12..]), (0, 0), "eight minutes old");
        assert_eq!(incidents(CampaignRule::Spike(Spike { minimum_clicks: 61, ..SPIKE }), &spike), (0, 0));
        assert_eq!(incidents(CampaignRule::Spike(Spike { deviations: 50, ..SPIKE }), &spike), (0, 0));
        assert_eq!(incidents(CampaignRule::Off, &spike), (0, 0));
        // It is seen in its own minute and in the next one, and is over after two minutes without.
        for (gap, expected) in [(1, 1), (2, 1), (3, 2), (9, 2)] {
            let twice = [&calm[..], &[(60, 0)], &calm[..gap], &[(60, 0)], &calm].concat();
            assert_eq!(incidents(rule, &twice), (expected, 0), "{gap} minutes between");
        }
    }

    #[test]
    fn a_rate_is_an_incident_that_gets_worse_once() {
        let rule = CampaignRule::FraudRate(RATE);
        let calm = [(100, 0); 20];
        assert_eq!(incidents(rule, &calm), (0, 0));
        let warning = [&calm[..], &[(100, 45)], &calm].concat();
        assert_eq!(incidents(rule, &warning), (1, 0));
        let critical = [&calm[..], &[(100, 45), (100, 40)], &calm].concat();
        assert_eq!(incidents(rule, &critical), (1, 1));
        let twice = [&critical[..], &critical].concat();
        assert_eq!(incidents(rule, &twice), (2, 2));
        let few = FraudRate { minimum_clicks: 5_000, ..RATE };
        assert_eq!(incidents(CampaignRule::FraudRate(few), &twice), (0, 0));
    }

    #[test]
    fn every_window_and_an_empty_history_are_counted() {
        for window_minutes in [1, 2, 59, 60] {
            let rule = CampaignRule::FraudRate(FraudRate { window_minutes, minimum_clicks: 0, ..RATE });
            assert_eq!(incidents(rule, &[]), (0, 0));
            assert_eq!(incidents(rule, &[(0, 0), (0, 0)]), (0, 0), "nothing of nothing is no rate");
            assert_eq!(incidents(rule, &[(100, 100)]), (1, 1), "{window_minutes}");
        }
        for window_minutes in [Spike::MIN_WINDOW_MINUTES, Spike::MAX_WINDOW_MINUTES] {
            let rule = CampaignRule::Spike(Spike { window_minutes, minimum_clicks: 1, ..SPIKE });
            assert_eq!(incidents(rule, &[(1, 0)]), (0, 0), "{window_minutes}");
        }
    }
}
