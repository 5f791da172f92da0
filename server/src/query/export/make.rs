//! An export: checked, and made as a body.

use std::sync::Arc;

use axum::body::Body;
use clickwire_protocol::ids::AdvertiserId;
use time::OffsetDateTime;

use super::{
    clicks, failed,
    format::Format,
    sheet::{self, Column, Row},
    workbook,
};
use crate::{
    http::{
        error::Error,
        parameters::{Parameters, boolean},
    },
    identity::access::Caller,
    query::{
        clicks::Wanted,
        reports::{
            ask::Asker,
            question::{Kind, Question},
        },
        state::QueryState,
    },
    store::{database::answer, error::of_question},
};

/// The subject of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Breakdown,
    Timeseries,
    Clicks,
}

/// An export that is asked for, checked.
pub(super) struct Export {
    pub(super) format: Format,
    bom: bool,
    content: Content,
}

enum Content {
    Breakdown(Question),
    Timeseries(Question),
    Clicks(Wanted),
}

impl Subject {
    const ALL: [Self; 3] = [Self::Breakdown, Self::Timeseries, Self::Clicks];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.as_str() == name)
    }

    /// The name in the API.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Breakdown => "breakdown",
            Self::Timeseries => "timeseries",
            Self::Clicks => "clicks",
        }
    }
}

impl Export {
    /// Reads an export from its parameters.
    pub(super) fn read(subject: Subject, mut given: Parameters) -> Result<Self, Error> {
        let format = given.take("format", Format::named).unwrap_or(Format::Csv);
        let bom = given.take("bom", boolean);
        let now = OffsetDateTime::now_utc();
        let content = match subject {
            Subject::Breakdown => Content::Breakdown(Question::read(Kind::Breakdown, given, now)?),
            Subject::Timeseries => Content::Timeseries(Question::read(Kind::Timeseries, given, now)?),
            Subject::Clicks => Content::Clicks(Wanted::read(given, now, None)?),
        };
        Ok(Self { format, bom: bom.unwrap_or(false), content })
    }

    /// The advertiser that the export names.
    fn advertiser_id(&self) -> Option<&AdvertiserId> {
        match &self.content {
            Content::Breakdown(question) | Content::Timeseries(question) => question.advertiser_id.as_ref(),
            Content::Clicks(wanted) => wanted.advertiser_id.as_ref(),
        }
    }

    /// Refuses a caller that may not see what it is about.
    pub(super) fn check(&self, caller: &Caller) -> Result<(), Error> {
        caller.scope.advertiser_or_all(self.advertiser_id())?;
        match self.content {
            Content::Clicks(_) => caller.sees_clicks(),
            Content::Breakdown(_) | Content::Timeseries(_) => Ok(()),
        }
    }

    /// The bytes of the export; of clicks, of which there may be any number, as the client takes them.
    pub(super) async fn body(&self, state: &Arc<QueryState>, caller: &Caller) -> Result<Body, Error> {
        self.check(caller)?;
        match &self.content {
            Content::Breakdown(question) => {
                let report = Asker::begin(state, caller, question).await?.breakdown(question).await?;
                let (columns, rows) = sheet::of_breakdown(&report, question);
                self.whole(columns, &rows)
            }
            Content::Timeseries(question) => {
                let report = Asker::begin(state, caller, question).await?.timeseries(question).await?;
                let (columns, rows) = sheet::of_timeseries(&report, question);
                self.whole(columns, &rows)
            }
            Content::Clicks(wanted) => self.clicks(wanted, state, caller).await,
        }
    }

    async fn clicks(&self, wanted: &Wanted, state: &Arc<QueryState>, caller: &Caller) -> Result<Body, Error> {
        let advertiser_id = caller.scope.advertiser_or_all(wanted.advertiser_id.as_ref())?;
        let encoder = self.format.encoder(clicks::COLUMNS.to_vec(), self.bom);
        let encoder = encoder.map_err(|error| failed(&error))?;
        let mut tenants = state.exports.begin(&caller.scope, caller.holders(advertiser_id)).await?;
        if self.format == Format::Xlsx {
            let mut count = wanted.count(advertiser_id, workbook::MAX_ROWS + 1);
            let count = count.build_query_scalar().fetch_one(&mut *tenants);
            let count: i64 = answer(count).await.map_err(of_question)?;
            if count > workbook::MAX_ROWS {
                let message = format!(
                    "A workbook has at most {} clicks: ask for another format or for fewer.",
                    workbook::MAX_ROWS
                );
                return Err(Error::field("format", &message));
            }
        }
        answer(clicks::body(tenants, wanted, advertiser_id, encoder)).await.map_err(of_question)
    }

    /// Encodes rows that are in memory anyway.
    fn whole(&self, columns: Vec<Column>, rows: &[Row]) -> Result<Body, Error> {
        let encoded = self.format.encoder(columns, self.bom).and_then(|mut encoder| {
            let mut bytes = encoder.encode(rows)?;
            bytes.extend(encoder.finish()?);
            Ok(bytes)
        });
        encoded.map(Body::from).map_err(|error| failed(&error))
    }
}
