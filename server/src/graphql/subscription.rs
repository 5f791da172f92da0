//! Subscriptions: the fields of the schema's subscription type.

use std::sync::Arc;

use async_graphql::{Context, Enum, SimpleObject, Subscription as Subscribable};
use clickwire_protocol::{
    analytics::Dimension,
    counts::DeviceType,
    feed::Position,
    finality,
    ids::{AdId, AdvertiserId, CampaignId},
    live::{Filters, ServerMessage, View, ViewCell},
    times::UnixMs,
};
use futures_util::{Stream, StreamExt as _, stream};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    input::{PositionInput, ViewInput},
    question::{MAX_VALUES, selected},
    refused::Refused,
    scalar::{DateTime, Long},
};
use crate::{
    http::error::Error,
    identity::access::Caller,
    live::{self, state::LiveState, updates::Updates},
};

/// The subscription type of the schema.
pub(super) struct Subscription;

/// News about a view.
#[derive(SimpleObject)]
pub(super) struct Update {
    kind: UpdateKind,
    /// The feed's life.
    epoch: Option<String>,
    /// The `seq` that the client must have before a delta.
    from: Option<Long>,
    /// The last feed message contained.
    seq: Option<Long>,
    /// Counts as they are now, never differences.
    cells: Vec<Cell>,
    /// Progress of the count, if not told in the last second. An update without cells tells this alone.
    progress: Option<Progress>,
}

/// Progress of a view's count.
#[derive(SimpleObject)]
struct Progress {
    /// Time of this progress, by the server's clock.
    at: DateTime,
    /// The watermark: what was received before it is counted. Absent until all partitions have counted something.
    counted_until: Option<DateTime>,
    /// Minutes that end at or before this are final.
    final_before: Option<DateTime>,
}

/// The effect of an update on a client's state.
#[derive(Enum, Copy, Clone, Eq, PartialEq)]
pub(super) enum UpdateKind {
    /// Replaces everything.
    Snapshot,
    /// Replaces the cells that it holds.
    Delta,
    /// The feed began a new life: a snapshot follows.
    Reset,
}

/// One minute of one group of a view.
#[derive(SimpleObject)]
struct Cell {
    /// Begin of the minute.
    minute: DateTime,
    /// The values of the view's `groupBy`, in its order.
    group: Vec<String>,
    valid: Long,
    duplicate: Long,
    givt: Long,
    sivt: Long,
    test: Long,
    defective: Long,
}

#[Subscribable]
impl Subscription {
    /// Clicks by minute: a snapshot first, then what changes.
    async fn clicks(
        &self,
        context: &Context<'_>,
        view: ViewInput,
        #[graphql(
            desc = "Where the client's state of this same view ends, to be told only what changed since."
        )]
        since: Option<PositionInput>,
        #[graphql(desc = "Milliseconds between two updates, at least: 1 to 60000.")] min_interval_ms: Option<
            u32,
        >,
    ) -> Result<impl Stream<Item = async_graphql::Result<Update>> + use<>, Refused> {
        let state = context.data_opt::<Arc<LiveState>>().ok_or(Error::Panicked)?;
        let caller = context.data_opt::<Caller>().ok_or(Error::Unauthorized)?;
        let view = live::watched(checked(view, caller)?, &caller.scope)?;
        let since = since.map(position).transpose()?;
        let updates = Updates::watch(state, caller, view, since, min_interval_ms)?;
        let most = MAX_VALUES / selected(context.field()).max(1);
        // After an error there is nothing more.
        let updates = stream::unfold(Some(updates), move |updates| async move {
            let mut updates = updates?;
            let news: Vec<Update> = updates.next().await?.into_iter().filter_map(update).collect();
            if news.iter().all(|update| update.cells.len() <= most) {
                return Some((news.into_iter().map(Ok).collect::<Vec<_>>(), Some(updates)));
            }
            let message = format!("The view has more than {most} cells: group by less, or use /api/v1/live.");
            let refused = Refused::from(Error::field("group_by", &message));
            Some((vec![Err(refused.into())], None))
        });
        Ok(updates.flat_map(stream::iter))
    }
}

fn checked(view: ViewInput, caller: &Caller) -> Result<View, Error> {
    let device_type = view.device_type.map(|text| text.parse::<DeviceType>()).transpose();
    let advertiser_id = view.advertiser_id.map(AdvertiserId::unchecked);
    Ok(View {
        advertiser_id: caller.scope.advertiser(advertiser_id.as_ref())?.clone(),
        filters: Filters {
            campaign_id: view.campaign_id.map(CampaignId::unchecked),
            ad_id: view.ad_id.map(AdId::unchecked),
            country: view.country,
            device_type: device_type.map_err(|message| Error::field("device_type", &message.to_string()))?,
        },
        group_by: view.group_by.into_iter().map(Dimension::from).collect(),
        window_minutes: view.window_minutes,
    })
}

fn position(PositionInput { epoch, seq }: PositionInput) -> Result<Position, Error> {
    let seq = u64::try_from(seq.0).map_err(|_| Error::field("since", "Expected the place of an update."))?;
    Ok(Position { epoch, seq })
}

fn update(message: ServerMessage) -> Option<Update> {
    let long = |number: u64| Some(Long(i64::try_from(number).unwrap_or(i64::MAX)));
    match message {
        ServerMessage::Snapshot { epoch, seq, cells, progress, .. } => Some(Update {
            kind: UpdateKind::Snapshot,
            epoch: Some(epoch),
            from: None,
            seq: long(seq),
            cells: cells.into_iter().map(Cell::from).collect(),
            progress: progress.map(Progress::from),
        }),
        ServerMessage::Delta { epoch, from, seq, cells, progress, .. } => Some(Update {
            kind: UpdateKind::Delta,
            epoch: Some(epoch),
            from: long(from),
            seq: long(seq),
            cells: cells.into_iter().map(Cell::from).collect(),
            progress: progress.map(Progress::from),
        }),
        ServerMessage::Reset { .. } => Some(Update {
            kind: UpdateKind::Reset,
            epoch: None,
            from: None,
            seq: None,
            cells: Vec::new(),
            progress: None,
        }),
        _ => None,
    }
}

/// A time of a message, as RFC 3339.
fn rfc3339(at: UnixMs) -> DateTime {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000);
    DateTime(at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default())
}

impl From<finality::Progress> for Progress {
    fn from(told: finality::Progress) -> Self {
        Self {
            at: rfc3339(told.at_ms),
            counted_until: told.counted_until_ms.map(rfc3339),
            final_before: told.final_before_ms.map(rfc3339),
        }
    }
}

impl From<ViewCell> for Cell {
    fn from(ViewCell { minute, group, counts }: ViewCell) -> Self {
        Self {
            minute: rfc3339(minute.start()),
            group,
            valid: Long(counts.valid),
            duplicate: Long(counts.duplicate),
            givt: Long(counts.givt),
            sivt: Long(counts.sivt),
            test: Long(counts.test),
            defective: Long(counts.defective),
        }
    }
}
