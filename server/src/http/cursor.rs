//! Lists in pages. A page goes on behind the last row of the one before, by the list's own order: rows that
//! are inserted or deleted meanwhile neither repeat nor hide another. Where it goes on says an opaque text,
//! the `next` of one page and the `after` of the following.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::http::parameters::Parameters;

/// Rows of one page, at most, and unless fewer are asked for.
const MAX_ROWS: i64 = 1_000;

/// Longest cursor, in bytes.
const MAX_BYTES: usize = 512;

/// The parameters of every list, for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, and read as `Parameters`")]
pub(crate) struct InPages {
    /// The `next` of the page before.
    after: Option<String>,
    /// 1000 unless fewer are asked for.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// The rows of a list that are asked for; `K` is the type of the key that orders them.
#[derive(Debug)]
pub(crate) struct Asked<K> {
    after: Option<K>,
    rows: i64,
}

/// One page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    data: Vec<T>,
    /// Cursor of the next page, for `after`; `null` after the last.
    next: Option<String>,
}

impl<K: Serialize + DeserializeOwned> Asked<K> {
    /// Reads the cursor and the number of rows from a query string.
    pub(crate) fn read(parameters: &mut Parameters) -> Self {
        let after = parameters.take("after", |text| decode(text).ok_or("Expected the `next` of a page."));
        Self { after, rows: parameters.number("limit", 1..=MAX_ROWS).unwrap_or(MAX_ROWS) }
    }

    /// The first rows.
    pub(crate) fn first() -> Self {
        Self { after: None, rows: MAX_ROWS }
    }

    /// Returns the key of the row that the page begins behind.
    pub(crate) fn after(&self) -> Option<&K> {
        self.after.as_ref()
    }

    /// Returns the number of rows to read: one more than the page has, to know whether there is another.
    pub(crate) fn limit(&self) -> i64 {
        self.rows + 1
    }

    /// The page of the rows that were read; `key` is what they are ordered by.
    pub(crate) fn page<T>(&self, mut data: Vec<T>, key: impl Fn(&T) -> K) -> Page<T> {
        let is_last = data.len() as i64 <= self.rows;
        data.truncate(self.rows as usize);
        let next = data.last().filter(|_| !is_last).map(|row| encode(&key(row)));
        Page { data, next }
    }
}

impl<T> Page<T> {
    /// Its rows, and what the next page is `after`.
    pub(crate) fn into_rows(self) -> (Vec<T>, Option<String>) {
        (self.data, self.next)
    }

    /// Its rows, and what asks for the next page.
    pub(crate) fn into_parts<K: DeserializeOwned>(self) -> (Vec<T>, Option<Asked<K>>) {
        let next = self.next.as_deref().and_then(decode);
        (self.data, next.map(|after| Asked { after: Some(after), rows: MAX_ROWS }))
    }
}

/// A time as a cursor holds it: microseconds, as PostgreSQL has them.
pub(crate) fn micros(at: OffsetDateTime) -> i64 {
    (at.unix_timestamp_nanos() / 1_000) as i64
}

/// The time again; one that is none, which somebody has made up, is before all others.
pub(crate) fn at(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn encode(key: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

fn decode<K: DeserializeOwned>(text: &str) -> Option<K> {
    let json = URL_SAFE_NO_PAD.decode(text).ok().filter(|_| text.len() <= MAX_BYTES)?;
    // PostgreSQL compares no NUL with anything.
    serde_json::from_slice(&json).ok().filter(|_| !json.windows(5).any(|escape| escape == b"u0000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &[(&str, &str)]) -> Result<Asked<(i64, String)>, crate::http::error::Error> {
        let given = query.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut parameters = Parameters::new(given);
        let asked = Asked::read(&mut parameters);
        parameters.finish(asked)
    }

    #[test]
    fn a_page_names_the_row_that_the_next_is_behind() {
        let rows: Vec<(i64, String)> = (0..5).map(|n| (n, format!("row {n}"))).collect();
        let first = asked(&[("limit", "2")]).unwrap();
        assert_eq!((first.limit(), first.after()), (3, None));
        let page = first.page(rows[..3].to_vec(), Clone::clone);
        assert_eq!(page.data, rows[..2]);
        let next = asked(&[("limit", "2"), ("after", page.next.as_deref().unwrap())]).unwrap();
        assert_eq!(next.after(), Some(&rows[1]));
        assert_eq!(next.page(rows[3..].to_vec(), Clone::clone).next, None, "they were all");
        let (_, next) = first.page(rows[..3].to_vec(), Clone::clone).into_parts::<(i64, String)>();
        assert_eq!(next.unwrap().after(), Some(&rows[1]));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let nul = encode(&(1, "\0"));
        let long = encode(&(1, "a".repeat(MAX_BYTES)));
        for query in [
            ("after", ""),
            ("after", "1"),
            ("after", "W10"),
            ("after", &nul),
            ("after", &long),
            ("limit", "0"),
            ("limit", "1001"),
        ] {
            assert!(asked(&[query]).is_err(), "{query:?}");
        }
        assert_eq!(at(micros(OffsetDateTime::UNIX_EPOCH)), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(at(i64::MAX), OffsetDateTime::UNIX_EPOCH);
    }
}
