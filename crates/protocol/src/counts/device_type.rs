//! Types of users' devices, and the names that others have for them.

use std::{error::Error, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

/// The type of a user's device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// A desktop or laptop computer.
    Desktop,
    /// A phone.
    Mobile,
    /// A tablet.
    Tablet,
    /// A television or set-top box.
    Tv,
    /// Another device, or an unknown one.
    #[default]
    Other,
}

/// Other names, as [`folded`]. The numbers are those of OpenRTB ([AdCOM 1.0, "Device Types"][1]), whose 1
/// does not tell phones from tablets.
///
/// [1]: https://github.com/InteractiveAdvertisingBureau/AdCOM/blob/main/AdCOM%20v1.0%20FINAL.md#list--device-types-
const SYNONYMS: [(DeviceType, &[&str]); 5] = [
    (DeviceType::Desktop, &["desktop", "pc", "computer", "personalcomputer", "laptop", "notebook", "2"]),
    (
        DeviceType::Mobile,
        &[
            "mobile",
            "phone",
            "smartphone",
            "mobilephone",
            "cellphone",
            "featurephone",
            "phablet",
            "handset",
            "1",
            "4",
        ],
    ),
    (DeviceType::Tablet, &["tablet", "ipad", "5"]),
    (
        DeviceType::Tv,
        &["tv", "ctv", "smarttv", "connectedtv", "television", "settopbox", "stb", "ott", "3", "7"],
    ),
    (
        DeviceType::Other,
        &["other", "console", "gameconsole", "wearable", "smartwatch", "connecteddevice", "6"],
    ),
];

/// Longest text that can be a name, in bytes.
const MAX_BYTES: usize = 32;

impl DeviceType {
    /// Every device type, in the order that menus show.
    pub const ALL: [Self; 5] = [Self::Desktop, Self::Mobile, Self::Tablet, Self::Tv, Self::Other];

    /// The name stored in the ledger and used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Tv => "tv",
            Self::Other => "other",
        }
    }

    /// The device type that a text names, in either case; `None` if it names none.
    pub fn find(text: &str) -> Option<Self> {
        if let Some(device) = Self::ALL.into_iter().find(|device| device.as_str() == text) {
            return Some(device);
        }
        if text.len() > MAX_BYTES {
            return None;
        }
        let name = folded(text);
        SYNONYMS.iter().find(|(_, names)| names.contains(&name.as_str())).map(|&(device, _)| device)
    }
}

/// A name as names are compared: in lower case, without what stands between words.
fn folded(name: &str) -> String {
    name.chars().filter(|&c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

impl FromStr for DeviceType {
    type Err = UnknownDeviceType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::find(text).ok_or(UnknownDeviceType)
    }
}

impl<'de> Deserialize<'de> for DeviceType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = DeviceType;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("desktop, mobile, tablet, tv or other")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DeviceType, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Name)
    }
}

/// The text names no device type.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownDeviceType;

impl fmt::Display for UnknownDeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected desktop, mobile, tablet, tv or other")
    }
}

impl Error for UnknownDeviceType {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_are_the_wire_names() {
        for device in DeviceType::ALL {
            assert_eq!(serde_json::to_value(device).unwrap(), device.as_str());
            assert_eq!(serde_json::from_value::<DeviceType>(device.as_str().into()).unwrap(), device);
        }
        assert!(serde_json::from_value::<DeviceType>("fridge".into()).is_err());
        assert!(serde_json::from_value::<DeviceType>(4.into()).is_err());
    }

    #[test]
    fn other_names_are_understood_in_either_case() {
        for (text, device) in [
            ("Desktop", DeviceType::Desktop),
            ("PC", DeviceType::Desktop),
            ("personal computer", DeviceType::Desktop),
            ("Phone", DeviceType::Mobile),
            ("SmartPhone", DeviceType::Mobile),
            ("mobile_phone", DeviceType::Mobile),
            ("4", DeviceType::Mobile),
            ("TABLET", DeviceType::Tablet),
            ("Smart TV", DeviceType::Tv),
            ("set-top box", DeviceType::Tv),
            ("Other", DeviceType::Other),
        ] {
            assert_eq!(text.parse(), Ok(device), "{text}");
        }
        for text in ["", "fridge", "(not set)", "8", "desk top!", "ｔｖ", &"a".repeat(MAX_BYTES + 1)] {
            assert_eq!(text.parse::<DeviceType>(), Err(UnknownDeviceType), "{text}");
        }
    }
}
