//! Countries from addresses, by a file in MaxMind's format that the operator keeps up to date.
//!
//! Two layouts of its records are read: `{"country": {"iso_code": "US"}}` (GeoLite2 Country and City, DB-IP)
//! and `{"country_code": "US"}` (ip-location-db). Which one a file has is found out when it is read; one
//! that has neither is refused, for it would leave every country unknown.

use std::{net::IpAddr, path::Path};

use anyhow::Context as _;
use clickwire_protocol::country;
use maxminddb::{PathElement, Reader, WithinOptions};

/// Records that are looked at for a country before a file is refused: in some files the first ones have
/// none.
const PROBED: usize = 10_000;

/// Path of the country in a record.
type Layout = &'static [PathElement<'static>];

const LAYOUTS: [Layout; 2] =
    [&[PathElement::Key("country"), PathElement::Key("iso_code")], &[PathElement::Key("country_code")]];

/// Countries of addresses; without a file they are never known.
#[derive(Default)]
pub(crate) struct Countries(Option<(Reader<Vec<u8>>, Layout)>);

impl Countries {
    /// Reads a file into memory.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let reader = Reader::open_readfile(path).with_context(|| {
            format!("reading {}, which must be a file in MaxMind's format (.mmdb)", path.display())
        })?;
        let layout = layout(&reader).with_context(|| {
            format!(
                "{} ({}) tells no countries: its records have neither country.iso_code, as GeoLite2 Country has, nor \
                 country_code, as ip-location-db has. Take a file of countries, or none",
                path.display(),
                reader.metadata().database_type
            )
        })?;
        Ok(Self(Some((reader, layout))))
    }

    /// Returns the file's kind, in its own words.
    pub(crate) fn kind(&self) -> &str {
        self.0.as_ref().map_or("none", |(reader, _)| reader.metadata().database_type.as_str())
    }

    /// The country, as ISO 3166-1 alpha-2 in upper case.
    pub(crate) fn of(&self, address: IpAddr) -> Option<String> {
        let (reader, layout) = self.0.as_ref()?;
        let found = reader.lookup(address.to_canonical()).ok()?;
        let code: Option<&str> = found.decode_path(layout).ok()?;
        country::find(code?).map(str::to_owned)
    }
}

fn layout(reader: &Reader<Vec<u8>>) -> Option<Layout> {
    let mut records = reader.networks(WithinOptions::default()).ok()?.take(PROBED).flatten();
    records.find_map(|record| {
        let has = |layout: &Layout| matches!(record.decode_path::<&str>(layout), Ok(Some(_)));
        LAYOUTS.into_iter().find(has)
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use maxminddb_writer::{Database, metadata::IpVersion, paths::IpAddrWithMask};

    use super::*;

    #[test]
    fn an_address_is_looked_up_in_files_of_both_layouts_and_others_are_refused() {
        let nested = |code| BTreeMap::from([("country", BTreeMap::from([("iso_code", code)]))]);
        let flat = |code| BTreeMap::from([("country_code", code)]);
        for file in [file(nested), file(flat)] {
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
        }
        assert_eq!(Countries::default().of("192.0.2.1".parse().unwrap()), None);

        let asn = file(|name| BTreeMap::from([("autonomous_system_organization", name)]));
        let refused = Countries::read(asn.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("tells no countries") && refused.contains("country_code"), "{refused}");
        fs::write(asn.path(), "no such file").unwrap();
        assert!(Countries::read(asn.path()).is_err());
    }

    /// A file with records as `record` makes them of a country.
    fn file<R: serde::Serialize>(record: impl Fn(&'static str) -> R) -> tempfile::NamedTempFile {
        let mut database = Database::default();
        database.metadata.ip_version = IpVersion::V6;
        database.metadata.binary_format_major_version = 2;
        for (network, code) in
            [("2001:db8::/32", "DE"), ("::192.0.2.0/120", "NO"), ("2001:db9::/32", "nonsense")]
        {
            let value = database.insert_value(record(code)).unwrap();
            database.insert_node(network.parse::<IpAddrWithMask>().unwrap(), value);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), database.write_to(Vec::new()).unwrap()).unwrap();
        file
    }
}
