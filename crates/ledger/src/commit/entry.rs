//! Clicks of the batch in hand, and their names and keys in the ledger.

use clickwire_protocol::{click::Click, ids::AdvertiserId, rules::Rule, times::UnixMs};
use uuid::Uuid;

use crate::{
    Received,
    judge::{Examined, Verdict},
    minutes::CellKey,
};

/// A click of the batch and its verdict by itself.
pub(crate) struct Entry<'a> {
    pub(super) received: &'a Received,
    pub(crate) examined: Examined,
    pub(super) verdict: Verdict,
}

impl Entry<'_> {
    pub(crate) fn click(&self) -> &Click {
        &self.received.click
    }

    /// Returns whether the click is counted under another time than it claims.
    pub(super) fn is_moved(&self) -> bool {
        self.examined.counted_at_ms != self.click().clicked_at_ms
    }

    pub(super) fn name(&self) -> Name<'_> {
        (self.click().click_id, &self.click().advertiser_id)
    }

    pub(super) fn row_key(&self) -> RowKey {
        (self.click().click_id, self.examined.counted_at_ms, self.click().advertiser_id.clone())
    }

    pub(super) fn cell(&self) -> CellKey {
        let minute = self.examined.counted_at_ms.minute();
        (self.click().advertiser_id.clone(), minute, self.click().dimensions.clone())
    }
}

/// The name of a click: its id, which is unique within its advertiser. The id comes first, for the ledger has
/// clicks in the order of ids.
pub(super) type Name<'a> = (Uuid, &'a AdvertiserId);

/// The key of one row of the ledger: id, time and advertiser. An id may have come back under another
/// time after days.
pub(super) type RowKey = (Uuid, UnixMs, AdvertiserId);

/// A rule applies to a click, because of others.
pub(super) struct Conviction {
    pub(super) click: RowKey,
    pub(super) rule: Rule,
}
