//! Questions: the fields of the schema's query type.

use std::sync::Arc;

use async_graphql::{Context, Object, SelectionField};
use uuid::Uuid;

use super::{
    click::{AdvertiserPage, CampaignPage, ClickPage},
    incident::{IncidentPage, IncidentState},
    input::{ClickSearch, Given, Grouping, ReportInput, granularity},
    refused::Refused,
    report::{Breakdown, Granularity, Summary, Timeseries},
    scalar::Long,
};
use crate::{
    http::error::Error,
    identity::access::Caller,
    query::{
        clicks, entities,
        incidents::{self, Listing},
        reports,
        state::QueryState,
    },
    store::database::answer,
};

/// Complexity that a question adds to a document beside its fields.
pub(super) const COST: usize = 30;

/// Incidents in one answer, at most.
const MAX_INCIDENTS: i64 = 200;

/// Values of one answer, at most: each field of each row is one in memory, however often it is named. REST sends more.
pub(super) const MAX_VALUES: usize = 250_000;

/// Questions.
pub(super) struct Query;

#[Object]
impl Query {
    /// Numbers of a range.
    #[graphql(complexity = "COST + child_complexity")]
    async fn summary(
        &self,
        context: &Context<'_>,
        #[graphql(default)] report: ReportInput,
    ) -> Result<Summary, Refused> {
        let (state, caller) = asked(context)?;
        let mut given = Given::default();
        report.add_to(&mut given)?;
        Ok(reports::ask_summary(state, caller, given.parameters()).await?.into())
    }

    /// Numbers of a range by group.
    #[graphql(complexity = "COST + child_complexity")]
    async fn breakdown(
        &self,
        context: &Context<'_>,
        #[graphql(default)] report: ReportInput,
        group: Grouping,
    ) -> Result<Breakdown, Refused> {
        let (state, caller) = asked(context)?;
        let mut given = Given::default();
        report.add_to(&mut given)?;
        group.add_to(&mut given)?;
        let breakdown = reports::ask_breakdown(state, caller, given.parameters()).await?;
        check(context, breakdown.rows.len())?;
        Ok(breakdown.into())
    }

    /// Numbers of a range by bucket of time, and by group.
    #[graphql(complexity = "COST + child_complexity")]
    async fn timeseries(
        &self,
        context: &Context<'_>,
        #[graphql(default)] report: ReportInput,
        #[graphql(
            desc = "By default minutes for up to 8 hours, hours for up to 10 days, days for up to 180, weeks for up to 1,095, else months."
        )]
        granularity: Option<Granularity>,
        #[graphql(default)] group: Grouping,
    ) -> Result<Timeseries, Refused> {
        let (state, caller) = asked(context)?;
        let mut given = Given::default();
        report.add_to(&mut given)?;
        group.add_to(&mut given)?;
        given.add("granularity", granularity.map(self::granularity));
        let timeseries = reports::ask_timeseries(state, caller, given.parameters()).await?;
        let compared = timeseries.comparison.as_ref().map_or(0, |comparison| comparison.rows.len());
        check(context, timeseries.rows.len() + compared)?;
        Ok(timeseries.into())
    }

    /// Clicks, the latest first.
    #[graphql(complexity = "COST + child_complexity")]
    async fn clicks(
        &self,
        context: &Context<'_>,
        #[graphql(default)] search: ClickSearch,
        #[graphql(desc = "The `next` of the page before.")] after: Option<String>,
        #[graphql(desc = "1 to 1000; by default 100.", default_with = "Long(100)")] limit: Long,
    ) -> Result<ClickPage, Refused> {
        let (state, caller) = asked(context)?;
        check(context, usize::try_from(limit.0).unwrap_or(0))?;
        let mut given = page(after, limit);
        search.add_to(&mut given)?;
        Ok(clicks::search(state, caller, given.parameters()).await?.into())
    }

    /// Advertisers that the caller may see.
    #[graphql(complexity = "COST + child_complexity")]
    async fn advertisers(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The `next` of the page before.")] after: Option<String>,
        #[graphql(desc = "1 to 1000; by default 100.", default_with = "Long(100)")] limit: Long,
    ) -> Result<AdvertiserPage, Refused> {
        let (state, caller) = asked(context)?;
        Ok(entities::list_advertisers(state, caller, page(after, limit).parameters()).await?.into())
    }

    /// An advertiser's campaigns.
    #[graphql(complexity = "COST + child_complexity")]
    async fn campaigns(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Required of a caller that sees more than one.")] advertiser_id: Option<String>,
        #[graphql(desc = "The `next` of the page before.")] after: Option<String>,
        #[graphql(desc = "1 to 1000; by default 100.", default_with = "Long(100)")] limit: Long,
    ) -> Result<CampaignPage, Refused> {
        let (state, caller) = asked(context)?;
        let mut given = page(after, limit);
        given.add("advertiser_id", advertiser_id);
        Ok(entities::list_campaigns(state, caller, given.parameters()).await?.into())
    }

    /// Incidents, the latest opened first; for operators.
    #[graphql(complexity = "COST + child_complexity")]
    async fn incidents(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "IncidentState::Open")] state: IncidentState,
        #[graphql(desc = "The `next` of the page before.")] before: Option<String>,
        #[graphql(desc = "1 to 200; by default 50.", default_with = "Long(50)")] limit: Long,
    ) -> Result<IncidentPage, Refused> {
        let (query, caller) = asked(context)?;
        if !caller.role.is_operators() {
            return Err(Error::Forbidden.into());
        }
        let mut given = Given::default();
        given.add("before", before);
        given.add("limit", Some(limit.0.to_string()));
        let mut given = given.parameters();
        let before =
            given.take("before", |text| Uuid::try_parse(text).map_err(|_| "Expected the `next` of a page."));
        let limit = given.number("limit", 1..=MAX_INCIDENTS);
        let (before, limit) = given.finish((before, limit.unwrap_or(MAX_INCIDENTS)))?;
        let listing = Listing { which: state.into(), before, ..Listing::default() };
        let found = incidents::latest(&query.database, &listing, limit + 1);
        let found = answer(found).await?;
        Ok(IncidentPage::of(found, usize::try_from(limit).unwrap_or_default()))
    }
}

/// Returns the state that answers are made from, and the caller.
fn asked<'a>(context: &Context<'a>) -> Result<(&'a Arc<QueryState>, &'a Caller), Error> {
    let caller = context.data_opt::<Caller>().ok_or(Error::Unauthorized)?;
    Ok((context.data_opt::<Arc<QueryState>>().ok_or(Error::Panicked)?, caller))
}

fn page(after: Option<String>, limit: Long) -> Given {
    let mut given = Given::default();
    given.add("after", after);
    given.add("limit", Some(limit.0.to_string()));
    given
}

/// Returns an error if an answer with `rows` rows of the selected fields has too many values.
fn check(context: &Context<'_>, rows: usize) -> Result<(), Error> {
    let each = selected(context.field());
    if rows.saturating_mul(each) > MAX_VALUES {
        let message = format!(
            "The answer has {rows} rows of {each} fields, and may have {MAX_VALUES} values: set a limit, or ask over REST."
        );
        return Err(Error::field("limit", &message));
    }
    Ok(())
}

/// The fields below one, each as often as it is named.
pub(super) fn selected(field: SelectionField<'_>) -> usize {
    field.selection_set().map(|field| 1 + selected(field)).sum()
}
