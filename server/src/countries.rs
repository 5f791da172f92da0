//! Countries from addresses, by a file in MaxMind's format (GeoLite2 Country, DB-IP, …) that the
//! operator keeps up to date.

use std::{net::IpAddr, path::Path};

use anyhow::Context as _;
use clickwire_protocol::country;
use maxminddb::{PathElement, Reader};

/// Which country an address belongs to; without a file it is never known.
#[derive(Default)]
pub(crate) struct Countries(Option<Reader<Vec<u8>>>);

impl Countries {
    /// Reads a file into memory.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let reader = Reader::open_readfile(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self(Some(reader)))
    }

    /// The country, as ISO 3166-1 alpha-2 in upper case.
    pub(crate) fn of(&self, address: IpAddr) -> Option<String> {
        let found = self.0.as_ref()?.lookup(address.to_canonical()).ok()?;
        let code: Option<&str> =
            found.decode_path(&[PathElement::Key("country"), PathElement::Key("iso_code")]).ok()?;
        country::find(code?).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use maxminddb_writer::{Database, metadata::IpVersion, paths::IpAddrWithMask};

    use super::*;

    #[test]
    fn an_address_is_looked_up_in_the_operators_file() {
        let mut database = Database::default();
        database.metadata.ip_version = IpVersion::V6;
        database.metadata.binary_format_major_version = 2;
        for (network, code) in
            [("2001:db8::/32", "DE"), ("::192.0.2.0/120", "NO"), ("2001:db9::/32", "nonsense")]
        {
            let country = BTreeMap::from([("country", BTreeMap::from([("iso_code", code)]))]);
            let value = database.insert_value(country).unwrap();
            database.insert_node(network.parse::<IpAddrWithMask>().unwrap(), value);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), database.write_to(Vec::new()).unwrap()).unwrap();

        let countries = Countries::read(file.path()).unwrap();
        for (address, expected) in [
            ("2001:db8::1", Some("DE")),
            ("192.0.2.1", Some("NO")),
            ("::ffff:192.0.2.1", Some("NO")),
            ("198.51.100.1", None),
            ("2001:db9::1", None),
        ] {
            assert_eq!(countries.of(address.parse().unwrap()).as_deref(), expected, "{address}");
        }
        assert_eq!(Countries::default().of("192.0.2.1".parse().unwrap()), None);
        fs::write(file.path(), "no such file").unwrap();
        assert!(Countries::read(file.path()).is_err());
    }
}
