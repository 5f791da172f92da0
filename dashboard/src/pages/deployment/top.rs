//! A table of the groups with the most clicks: share of all, change against the period before, and a link to Explore.

use std::rc::Rc;

use clickwire_protocol::{
    ids::AdvertiserId,
    report::{BreakdownRow, Dimension, Numbers},
};
use yew::prelude::*;

use super::super::{
    campaign_names::CampaignNames,
    explore::{answers::Listed, rows::Names},
    name,
};
use crate::{
    format,
    frame::View,
    kit::{Column, Empty, Loaded, Table},
    locale,
    query::{Filter, Query},
    route::Route,
    router::{Link, Place},
    words,
};

/// The kind of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Advertisers.
    Advertisers,
    /// Campaigns, each with its advertiser.
    Campaigns,
    /// Countries.
    Countries,
}

impl Kind {
    /// Returns the table's title.
    fn title(self) -> &'static str {
        match self {
            Self::Advertisers => words::TOP_ADVERTISERS.get(),
            Self::Campaigns => words::TOP_CAMPAIGNS.get(),
            Self::Countries => words::TOP_COUNTRIES.get(),
        }
    }

    fn testid(self) -> &'static str {
        match self {
            Self::Advertisers => "top-advertisers",
            Self::Campaigns => "top-campaigns",
            Self::Countries => "top-countries",
        }
    }
}

/// Properties of the table.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The kind of the rows.
    pub(super) kind: Kind,
    /// The report.
    pub(super) table: Option<Rc<Listed>>,
    /// The loading state of the report.
    pub(super) loaded: Loaded,
    /// Names of advertisers.
    pub(super) names: Rc<Names>,
    /// Names of campaigns.
    pub(super) campaigns: CampaignNames,
    /// The address.
    pub(super) view: View,
}

/// Returns the target of a row: Explore about its group, in the same range and zone; `None` for the row of others.
fn target(kind: Kind, row: &BreakdownRow, query: &Query) -> Option<Place> {
    let carried = Query { scope: None, ..query.carried() };
    let owner = || AdvertiserId::new(row.group.advertiser_id.as_deref()?).ok();
    let only = |dimension: Dimension| {
        Some(vec![Filter { dimension, values: vec![row.group.value(dimension)?], is_exclusion: false }])
    };
    let query = match kind {
        Kind::Advertisers => Query { scope: Some(owner()?), ..carried },
        Kind::Campaigns => {
            let filters = only(Dimension::CampaignId)?;
            Query { scope: Some(owner()?), filters, group: vec![Dimension::AdId], ..carried }
        }
        Kind::Countries => {
            let filters = only(Dimension::Country)?;
            Query { filters, group: vec![Dimension::AdvertiserId], ..carried }
        }
    };
    Some(Place::new(Route::Explore, query))
}

/// Returns the label of a row, for people.
fn label(kind: Kind, row: &BreakdownRow, campaigns: &CampaignNames, advertiser: &str) -> String {
    match (kind, &row.group.campaign_id, &row.group.country, &row.group.advertiser_id) {
        _ if row.group.other => words::OTHERS.to_string(),
        (Kind::Campaigns, Some(campaign_id), _, Some(owner)) => campaigns.of(owner, campaign_id).to_owned(),
        (Kind::Countries, _, Some(country), _) if country == "ZZ" => words::UNKNOWN.to_string(),
        (Kind::Countries, _, Some(country), _) => locale::country(country),
        _ => advertiser.to_owned(),
    }
}

/// The table.
#[component]
pub(super) fn Top(props: &Props) -> Html {
    let Props { kind, table, names, campaigns, view, .. } = props;
    let kind = *kind;
    let rows = table.as_ref().map_or(0, |table| table.rows.len());
    let mut columns = vec![Column::text(match kind {
        Kind::Advertisers => words::ADVERTISER.get(),
        Kind::Campaigns => words::CAMPAIGN.get(),
        Kind::Countries => words::dimension(Dimension::Country),
    })];
    if kind == Kind::Campaigns {
        columns.push(Column::text(words::ADVERTISER));
    }
    columns.extend(
        [words::CLICKS, words::SHARE, words::BILLABLE, words::INVALID_RATE, words::CHANGE]
            .map(Column::number),
    );
    let row = {
        let (table, names, campaigns, view) = (table.clone(), names.clone(), campaigns.clone(), view.clone());
        Callback::from(move |index: usize| {
            let Some(table) = &table else { return Vec::new() };
            let row = &table.rows[index];
            let owner = row.group.advertiser_id.as_deref().unwrap_or_default();
            let advertiser = names.advertisers.get(owner).map_or(owner, String::as_str);
            let text = label(kind, row, &campaigns, advertiser);
            let head = match target(kind, row, &view.place.query) {
                Some(to) => html! { <Link {to}>{ name(&text) }</Link> },
                None => html! { <span class="soft">{ text }</span> },
            };
            let mut cells = vec![head];
            if kind == Kind::Campaigns {
                cells.push(name(advertiser));
            }
            cells.extend(numbers(row, &table.totals));
            cells
        })
    };
    html! {
        <div class="part" data-testid={kind.testid()}>
            <h2>{ kind.title() }</h2>
            <Table caption={kind.title()} {columns} {rows} {row} loaded={props.loaded}
                empty={html! { <Empty title={words::NO_CLICKS} text={words::NO_CLICKS_WHY} /> }} />
        </div>
    }
}

/// Returns the numbers of a row; its share is that of all clicks.
fn numbers(row: &BreakdownRow, totals: &Numbers) -> [Html; 5] {
    let share = (totals.clicks > 0).then(|| row.numbers.clicks as f64 / totals.clicks as f64);
    let width = share.unwrap_or_default() * 100.0;
    let change = match row.previous {
        Some(before) => {
            html! { <span title={words::before(&format::count(before.clicks))}>{ words::change(row.numbers.clicks, before.clicks) }</span> }
        }
        None => html! { "–" },
    };
    [
        html! { format::count(row.numbers.clicks) },
        html! { <span class="measure"><span class="measure-bar" style={format!("width:{width:.1}%")} /><span>{ format::percent(share) }</span></span> },
        html! { format::count(row.numbers.billable) },
        html! { format::percent(row.numbers.invalid_share()) },
        change,
    ]
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::report::{Basis, Breakdown, Group};

    use super::*;
    use crate::{kit::render, zone::Zone};

    fn row(
        advertiser: Option<&str>,
        campaign: Option<&str>,
        country: Option<&str>,
        clicks: i64,
    ) -> BreakdownRow {
        let text = |value: Option<&str>| value.map(str::to_owned);
        BreakdownRow {
            group: Group {
                advertiser_id: text(advertiser),
                campaign_id: text(campaign),
                country: text(country),
                ..Group::default()
            },
            numbers: Numbers { clicks, billable: clicks, ..Numbers::default() },
            previous: Some(Numbers { clicks: 100, ..Numbers::default() }),
        }
    }

    #[test]
    fn a_row_leads_to_what_it_is_about_in_the_same_range() {
        let query = Query::read("?a=adv_009&r=7d&z=UTC");
        let of = |kind, row: &BreakdownRow| target(kind, row, &query).map(|to| to.href());
        assert_eq!(
            of(Kind::Advertisers, &row(Some("adv_001"), None, None, 1)).as_deref(),
            Some("/explore?a=adv_001&r=7d&z=UTC")
        );
        assert_eq!(
            of(Kind::Campaigns, &row(Some("adv_001"), Some("c 1"), None, 1)).as_deref(),
            Some("/explore?a=adv_001&r=7d&by=ad&f=campaign:c%201&z=UTC")
        );
        assert_eq!(
            of(Kind::Countries, &row(None, None, Some("DE"), 1)).as_deref(),
            Some("/explore?r=7d&by=advertiser&f=country:DE&z=UTC")
        );
        let others = BreakdownRow { group: Group::others(), ..BreakdownRow::default() };
        for kind in [Kind::Advertisers, Kind::Campaigns, Kind::Countries] {
            assert_eq!(of(kind, &others), None, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn rows_have_names_shares_and_changes() {
        let others = BreakdownRow { group: Group::others(), ..row(None, None, None, 50) };
        let table = Breakdown {
            rows: vec![row(Some("adv_001"), Some("c1"), None, 150), others],
            groups: 12,
            totals: Numbers { clicks: 200, ..Numbers::default() },
            comparison: None,
            basis: Basis::default(),
        };
        let props = |kind, table, loaded| Props {
            kind,
            table,
            loaded,
            names: Rc::new(Names {
                advertisers: [("adv_001".to_owned(), "North <wind>".to_owned())].into(),
                ..Names::default()
            }),
            campaigns: CampaignNames::default(),
            view: View { place: Place::read("/deployment", ""), scope: None, zone: Zone::utc() },
        };
        let listed = Some(Rc::new(Listed(table)));
        let shown = render::<Top>(props(Kind::Campaigns, listed, Loaded::Yes)).await;
        for expected in
            ["North &lt;wind&gt;", "f=campaign:c1", "75.0%", "+50.0%", "before: 100", words::OTHERS.get()]
        {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        let empty = render::<Top>(props(Kind::Countries, None, Loaded::Yes)).await;
        assert!(empty.contains(words::NO_CLICKS.get()), "{empty}");
        let failed = render::<Top>(props(Kind::Countries, None, Loaded::Failed)).await;
        assert!(
            failed.contains(words::NOT_LOADED.get()) && !failed.contains(words::NO_CLICKS.get()),
            "{failed}"
        );
    }
}
