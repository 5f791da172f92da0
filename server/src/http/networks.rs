//! Networks: which addresses belong to data centres, where nobody clicks advertisements, and which to
//! proxies that are believed.
//!
//! A list of data centres, the program's own or the operator's, is a text file with one network in CIDR
//! notation a line (RFC 4632, RFC 4291), such as the providers themselves publish; what follows a `#` is a
//! remark. It is asked here, for the address goes no further.

use std::{fs, net::IpAddr, path::Path};

use anyhow::Context as _;
use ipnet::IpNet;

/// Networks in which computers are let, without those that people's browsers come through: relays, content
/// networks, search engines' own.
const DATA_CENTERS: &str = include_str!("../../lists/data-centers.txt");

/// Networks that don't overlap, by their first address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// The data centres that are known without a file.
    pub(crate) fn data_centers() -> anyhow::Result<Self> {
        Self::parse(DATA_CENTERS)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut networks = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let network: IpNet = line.parse().with_context(|| {
                    format!("line {}: {line:?} is no network such as 192.0.2.0/24", number + 1)
                })?;
                networks.push(network);
            }
        }
        Ok(networks.into_iter().collect())
    }

    /// Returns whether one of the networks has this address.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let after = self.0.partition_point(|network| network.network() <= address);
        after.checked_sub(1).is_some_and(|last| self.0[last].contains(&address))
    }

    /// Returns the number of networks, without those inside others.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mut networks = IpNet::aggregate(&networks.into_iter().collect());
        networks.sort_by_key(IpNet::network);
        Self(networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_networks_of_both_kinds() {
        let networks = Networks::parse(
            "# a provider\n192.0.2.0/25\n192.0.2.128/25 # the other half\n\n198.51.100.7/32\n2001:db8::/32\n192.0.2.64/26\n",
        )
        .unwrap();
        assert_eq!(networks.len(), 3, "{networks:?}");
        for (address, expected) in [
            ("192.0.2.0", true),
            ("192.0.2.255", true),
            ("::ffff:192.0.2.9", true),
            ("192.0.1.255", false),
            ("192.0.3.0", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(networks.contain(address.parse().unwrap()), expected, "{address}");
        }
        assert!(!Networks::default().contain("192.0.2.1".parse().unwrap()));
        let error = Networks::parse("192.0.2.0/24\nhosting.example").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn computers_that_are_let_are_data_centres_and_what_people_come_through_is_none() {
        let networks = Networks::data_centers().unwrap();
        assert!(networks.len() > 5_000, "{}", networks.len());
        for (address, expected, what) in [
            ("3.80.0.1", true, "EC2"),
            ("20.42.0.1", true, "Azure"),
            ("129.146.0.1", true, "Oracle's cloud"),
            ("104.28.1.1", false, "Cloudflare, WARP and iCloud Private Relay"),
            ("172.225.1.1", false, "Akamai, iCloud Private Relay"),
            ("146.75.128.1", false, "Fastly, iCloud Private Relay"),
            ("2606:54c0::1", false, "Cloudflare, iCloud Private Relay"),
            ("2a02:26f7::1", false, "Akamai, iCloud Private Relay"),
            ("66.249.64.1", false, "Google's own"),
            ("74.125.1.1", false, "Google's own"),
            ("13.107.246.1", false, "Azure Front Door"),
            ("198.18.0.1", false, "benchmarks"),
        ] {
            assert_eq!(networks.contain(address.parse().unwrap()), expected, "{address}: {what}");
        }
    }
}
