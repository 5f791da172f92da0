//! Dispositions, counts per disposition, and the cells that hold them.
//!
//! Every received click ends in exactly one disposition; in every bucket [`Counts::received`] is
//! the sum of all of them. What the API calls clicks, fraud and billable follows from the same six
//! numbers, here and nowhere else.

mod device_type;

use serde::{Deserialize, Serialize};

pub use self::device_type::{DeviceType, UnknownDeviceType};
use crate::{
    ids::{AdId, CampaignId},
    times::Minute,
};

/// The verdict on a received click. Precedence when several apply: `Test`, `Defective`, `Givt`,
/// `Duplicate`, `Sivt`, `Valid`.
///
/// GIVT and SIVT are the Media Rating Council's general and sophisticated invalid traffic
/// (MRC Invalid Traffic Detection and Filtration Standards Addendum).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// A person's click: billed.
    Valid,
    /// The same user clicked the same ad less than 60 s before.
    Duplicate,
    /// General invalid traffic: declared bots, link previews, data-centre networks.
    Givt,
    /// Sophisticated invalid traffic: found by behaviour, such as velocity.
    Sivt,
    /// A test click: posted with a test key, or by somebody who tries a link out.
    Test,
    /// A readable click that can't be counted: for example later than the horizon.
    Defective,
}

impl Disposition {
    /// Every disposition, in the order of the buckets' columns.
    pub const ALL: [Self; 6] =
        [Self::Valid, Self::Duplicate, Self::Givt, Self::Sivt, Self::Test, Self::Defective];

    /// The disposition of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|disposition| disposition.as_str() == name)
    }

    /// The name stored in the ledger and used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Duplicate => "duplicate",
            Self::Givt => "givt",
            Self::Sivt => "sivt",
            Self::Test => "test",
            Self::Defective => "defective",
        }
    }
}

/// Clicks per disposition. Zeroes are left out on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// Billable clicks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub valid: i64,
    /// Repeats by the same user on the same ad.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duplicate: i64,
    /// General invalid traffic.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub givt: i64,
    /// Sophisticated invalid traffic.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sivt: i64,
    /// Clicks made as a test.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub test: i64,
    /// Clicks that can't be counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub defective: i64,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

impl Counts {
    /// Adds one click of this disposition.
    pub fn record(&mut self, disposition: Disposition) {
        *self.get_mut(disposition) += 1;
    }

    /// Takes one click of this disposition away.
    pub fn withdraw(&mut self, disposition: Disposition) {
        *self.get_mut(disposition) -= 1;
    }

    /// Clicks of this disposition.
    pub fn get(mut self, disposition: Disposition) -> i64 {
        *self.get_mut(disposition)
    }

    /// Clicks of this disposition, to be changed.
    pub fn get_mut(&mut self, disposition: Disposition) -> &mut i64 {
        match disposition {
            Disposition::Valid => &mut self.valid,
            Disposition::Duplicate => &mut self.duplicate,
            Disposition::Givt => &mut self.givt,
            Disposition::Sivt => &mut self.sivt,
            Disposition::Test => &mut self.test,
            Disposition::Defective => &mut self.defective,
        }
    }

    /// All clicks with distinct ids, whatever became of them.
    pub fn received(&self) -> i64 {
        self.valid + self.duplicate + self.givt + self.sivt + self.test + self.defective
    }

    /// Genuine clicks plus fraud: what the API calls `clicks`.
    pub fn clicks(&self) -> i64 {
        self.valid + self.fraud()
    }

    /// Invalid traffic: `givt` + `sivt`.
    pub fn fraud(&self) -> i64 {
        self.givt + self.sivt
    }

    /// Share of invalid traffic in clicks, 0 to 1; `None` without clicks.
    pub fn fraud_rate(&self) -> Option<f64> {
        (self.clicks() > 0).then(|| self.fraud() as f64 / self.clicks() as f64)
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.valid += other.valid;
        self.duplicate += other.duplicate;
        self.givt += other.givt;
        self.sivt += other.sivt;
        self.test += other.test;
        self.defective += other.defective;
    }
}

impl std::ops::Sub for Counts {
    type Output = Self;

    /// The change from `before` to `self`; may be negative.
    fn sub(self, before: Self) -> Self {
        Self {
            valid: self.valid - before.valid,
            duplicate: self.duplicate - before.duplicate,
            givt: self.givt - before.givt,
            sivt: self.sivt - before.sivt,
            test: self.test - before.test,
            defective: self.defective - before.defective,
        }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut total, next| {
            total += next;
            total
        })
    }
}

/// The dimensions that a click is counted under, beside its minute and advertiser.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dimensions {
    /// The campaign the ad belongs to.
    pub campaign_id: CampaignId,
    /// The ad that was clicked.
    pub ad_id: AdId,
    /// ISO 3166-1 alpha-2, `ZZ` where unknown (CLDR's code for an unknown region).
    pub country: String,
    /// The type of the user's device.
    pub device_type: DeviceType,
}

/// The smallest cell that is counted: one minute of one combination of dimensions, for the
/// advertiser in whose feed or table it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinuteCell {
    /// The minute.
    pub minute: Minute,
    /// The dimensions that are counted.
    #[serde(flatten)]
    pub dimensions: Dimensions,
    /// Grows with every change of this cell; of two values of one cell the higher version is true.
    pub version: i64,
    /// Absolute counts, never increments.
    #[serde(flatten)]
    pub counts: Counts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disposition_is_received_once_and_only_valid_and_fraud_are_clicks() {
        let mut counts = Counts::default();
        for (seen, disposition) in Disposition::ALL.into_iter().enumerate() {
            counts.record(disposition);
            assert_eq!(counts.received(), seen as i64 + 1, "{disposition:?}");
        }
        assert_eq!(counts.clicks(), 3);
        assert_eq!(counts.fraud_rate(), Some(2.0 / 3.0));
        assert_eq!(Counts::default().fraud_rate(), None);
    }

    #[test]
    fn stored_names_are_the_wire_names() {
        for disposition in Disposition::ALL {
            let wire = serde_json::to_value(disposition).unwrap();
            assert_eq!(wire, disposition.as_str());
        }
    }

    #[test]
    fn a_cell_leaves_zeroes_out_and_reads_back() {
        let cell = MinuteCell {
            minute: Minute(29_000_000),
            dimensions: Dimensions {
                campaign_id: CampaignId::unchecked("camp_001"),
                ad_id: AdId::unchecked("ad_001"),
                country: "DE".into(),
                device_type: DeviceType::Mobile,
            },
            version: 7,
            counts: Counts { valid: 3, ..Counts::default() },
        };
        let wire = serde_json::to_string(&cell).unwrap();
        assert!(!wire.contains("sivt"), "{wire}");
        assert_eq!(serde_json::from_str::<MinuteCell>(&wire).unwrap(), cell);
    }
}
