//! Ids of advertisers, campaigns and ads, a type each.
//!
//! An advertiser is a tenant: what a caller may see, post and use up is decided by an [`AdvertiserId`], and no
//! other id takes its place, however alike their texts are:
//!
//! ```compile_fail,E0308
//! use clickwire_protocol::ids::{AdvertiserId, CampaignId};
//!
//! fn may_see(own: &[AdvertiserId], advertiser_id: &AdvertiserId) -> bool {
//!     own.contains(advertiser_id)
//! }
//!
//! let own = [AdvertiserId::new("adv_001").unwrap()];
//! may_see(&own, &CampaignId::new("adv_001").unwrap());
//! ```
//!
//! ```compile_fail,E0308
//! # use clickwire_protocol::ids::AdvertiserId;
//! # fn may_see(own: &[AdvertiserId], advertiser_id: &AdvertiserId) -> bool { own.contains(advertiser_id) }
//! may_see(&[], "adv_001");
//! ```
//!
//! ```
//! # use clickwire_protocol::ids::AdvertiserId;
//! # fn may_see(own: &[AdvertiserId], advertiser_id: &AdvertiserId) -> bool { own.contains(advertiser_id) }
//! let own = [AdvertiserId::new("adv_001").unwrap()];
//! assert!(may_see(&own, &AdvertiserId::new("adv_001").unwrap()));
//! ```
//!
//! A text of a client becomes an id by `new`, which checks it. What was checked before, or is checked with
//! everything around it, becomes one by `unchecked`. Reading JSON or a row does not check either: of a message
//! everything that is wrong is reported at once, by [`Click::check`](crate::click::Click::check) and
//! [`View::checked`](crate::live::View::checked).

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest `advertiser_id`, `campaign_id`, `ad_id`, in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// Checks that a text can be an id: 1 to [`MAX_ID_BYTES`] of `A–Z a–z 0–9 _ - . :`.
///
/// # Errors
/// What is wrong, for people.
pub fn check(text: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    if text.is_empty() {
        Err("Must not be empty.".to_owned())
    } else if !text.bytes().all(allowed) {
        Err("Only letters, digits and _ - . : are allowed.".to_owned())
    } else if text.len() > MAX_ID_BYTES {
        // Of what is allowed each has one byte.
        Err(format!("At most {MAX_ID_BYTES} characters."))
    } else {
        Ok(())
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $Id:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// The default is the empty id, which nothing has: of a value that is completed later.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        pub struct $Id(String);

        impl $Id {
            /// The id that a client has written.
            ///
            /// # Errors
            /// What is wrong with it, for people: see [`check`].
            pub fn new(text: &str) -> Result<Self, String> {
                check(text).map(|()| Self(text.to_owned()))
            }

            /// An id that is checked elsewhere.
            pub fn unchecked(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        // For command lines.
        impl FromStr for $Id {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::new(text)
            }
        }

        impl fmt::Display for $Id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // With the width that the format asks for.
                fmt::Display::fmt(&self.0, f)
            }
        }

        // For lists that are joined. An id is not compared with a text, and does not turn into one by itself.
        impl Borrow<str> for $Id {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

ids! {
    /// An advertiser's id: a tenant.
    AdvertiserId;
    /// A campaign's id.
    CampaignId;
    /// An ad's id.
    AdId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_plain_text_on_every_wire() {
        let id = AdvertiserId::new("adv_001").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), r#""adv_001""#);
        assert_eq!(serde_json::from_str::<AdvertiserId>(r#""adv_001""#).unwrap(), id);
        assert_eq!(id.to_string(), "adv_001");
        assert_eq!([id.clone(), id].join(","), "adv_001,adv_001");
    }

    #[test]
    fn what_can_be_no_id_is_refused() {
        for text in ["a", "adv_001", "A-1.b:2", &"a".repeat(MAX_ID_BYTES)] {
            assert_eq!(CampaignId::new(text).unwrap().as_str(), text);
        }
        for text in ["", "a b", "a,b", "ä", "a\0", &"a".repeat(MAX_ID_BYTES + 1)] {
            assert!(AdId::new(text).is_err(), "{text}");
        }
        assert!(
            AdId::new(&"ä".repeat(MAX_ID_BYTES - 1)).unwrap_err().starts_with("Only letters"),
            "not too long"
        );
    }
}
