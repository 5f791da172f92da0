//! The parameters of a query string, the same way for every question: taken out one by one, each by its
//! reader, and whatever is wrong is said under the parameter's name, all of it at once.

use std::{collections::BTreeMap, convert::Infallible, fmt::Display, ops::RangeInclusive, str::FromStr};

use axum::{
    extract::{FromRequestParts, Query, Request},
    http::request::Parts,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use clickwire_protocol::{click::Rejection, ids::MAX_ID_BYTES, object::NUL};
use time::{Duration, OffsetDateTime};

use crate::http::error::Error;

/// Parameters of a query string that have not been taken out of it yet.
pub(crate) struct Parameters {
    values: BTreeMap<String, String>,
    rejection: Rejection,
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    /// None: caller and path are looked at first; [`Parameters::finish`] tells what is wrong.
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(match Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) {
            Ok(Query(given)) => Self::new(given),
            Err(_) => Self {
                values: BTreeMap::new(),
                rejection: Rejection::form("The query string can't be read."),
            },
        })
    }
}

impl Parameters {
    pub(crate) fn new(given: Vec<(String, String)>) -> Self {
        let mut parameters = Self { values: BTreeMap::new(), rejection: Rejection::default() };
        for (name, value) in given {
            if name.contains('\0') || value.contains('\0') {
                parameters.reject(&name, NUL);
            } else if parameters.values.insert(name.clone(), value).is_some() {
                parameters.reject(&name, "Given more than once.");
            }
        }
        parameters
    }

    /// A parameter as its reader has it; `None` if it is not given, or wrong.
    pub(crate) fn take<T, E: Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.values.remove(name)?;
        read(&value).map_err(|message| self.reject(name, &message.to_string())).ok()
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name, |text| Ok::<_, Infallible>(text.to_owned()))
    }

    /// A number within bounds.
    pub(crate) fn number<T: FromStr + Display + PartialOrd>(
        &mut self,
        name: &str,
        bounds: RangeInclusive<T>,
    ) -> Option<T> {
        self.take(name, |text| match text.parse() {
            Ok(number) if bounds.contains(&number) => Ok(number),
            Ok(_) | Err(_) => Err(format!("Expected a number from {} to {}.", bounds.start(), bounds.end())),
        })
    }

    /// A range from `start_time` to `end_time`: up to now where it has no end, a day where it has no start.
    pub(crate) fn day_or_range(&mut self, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
        let end = self.take("end_time", instant).unwrap_or(now);
        let start = self.take("start_time", instant).unwrap_or_else(|| end.saturating_sub(Duration::DAY));
        if start >= end {
            self.reject("start_time", "Must be before end_time.");
        }
        (start, end)
    }

    /// Says what is wrong with a parameter.
    pub(crate) fn reject(&mut self, name: &str, message: &str) {
        let shown = name.chars().filter(|c| !c.is_control()).take(MAX_ID_BYTES).collect();
        self.rejection.field_errors.entry(shown).or_default().push(message.to_owned());
    }

    /// Returns `value`, or all errors in the parameters; one that was not taken is unknown.
    pub(crate) fn finish<T>(mut self, value: T) -> Result<T, Error> {
        for name in std::mem::take(&mut self.values).into_keys() {
            self.reject(&name, "Unknown parameter.");
        }
        let Rejection { form_errors, field_errors } = &self.rejection;
        if form_errors.is_empty() && field_errors.is_empty() {
            Ok(value)
        } else {
            Err(Error::Invalid(self.rejection))
        }
    }
}

/// A time in a query string, where a `+` reads as a space.
pub(crate) fn instant(text: &str) -> Result<OffsetDateTime, String> {
    clickwire_protocol::instant::instant(&text.replace(' ', "+"))
}

/// A yes or no in a query string.
pub(crate) fn boolean(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "Expected true or false.")
}

/// Beginnings of the API's paths.
const API: [&str; 2] = ["/api/", "/iceberg/"];

/// Refuses a path of the API with NUL in it, which names nothing that PostgreSQL could hold.
pub(crate) async fn refuse_nul_in_path(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if API.iter().any(|api| path.starts_with(api)) && path.contains("%00") {
        return Error::Invalid(Rejection::form(NUL)).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(query: &[(&str, &str)]) -> Parameters {
        Parameters::new(query.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn everything_that_is_wrong_is_told_under_its_name() {
        let mut parameters = given(&[
            ("limit", "0"),
            ("a", "1"),
            ("a", "2"),
            ("b\0", "1"),
            ("c", "\0"),
            ("d", "1"),
            ("after", "7"),
        ]);
        assert_eq!(parameters.number("limit", 1..=10_u32), None);
        assert_eq!(parameters.number("after", 0..=u64::MAX), Some(7));
        assert_eq!(parameters.text("a"), Some("2".to_owned()));
        let Err(Error::Invalid(rejection)) = parameters.finish(()) else { panic!("taken") };
        assert_eq!(rejection.field_errors.into_keys().collect::<Vec<_>>(), ["a", "b", "c", "d", "limit"]);
    }

    #[test]
    fn numbers_beyond_their_type_are_refused() {
        for text in ["18446744073709551616", "-1", "1e3", "", "0x1"] {
            let mut parameters = given(&[("after", text)]);
            assert_eq!(parameters.number("after", 0..=u64::MAX), None);
            assert!(parameters.finish(()).is_err(), "{text}");
        }
        assert!(given(&[]).finish(()).is_ok());
    }
}
