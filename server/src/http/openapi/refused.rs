//! Refusals of an operation, by group: the status, body and headers of each error come from [`Error`] itself, so the
//! document says what is answered.

use std::{collections::BTreeMap, marker::PhantomData, num::NonZeroU32};

use axum::http::{HeaderName, StatusCode};
use clickwire_protocol::click::Rejection;
use utoipa::{
    IntoResponses,
    openapi::{Content, Header, Ref, RefOr, Response, Type, header::HeaderBuilder, schema::Object},
};

use crate::http::{error::Error, rate_limit::Rate};

/// Errors that come together.
pub(crate) trait Group {
    /// One of each.
    fn errors() -> Vec<Error>;
}

/// Responses of an operation that is refused for what groups say, and, as any other, when it takes too
/// long, names no host that it is for, comes from a client that does not read, or meets a mistake of ours.
pub(crate) struct Refused<G>(PhantomData<G>);

impl<G: Group> IntoResponses for Refused<G> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut by_status: BTreeMap<StatusCode, Vec<Error>> = BTreeMap::new();
        for error in G::errors().into_iter().chain(always()) {
            let errors = by_status.entry(error.status()).or_default();
            if !errors.iter().any(|known| (known.code(), known.message()) == (error.code(), error.message()))
            {
                errors.push(error);
            }
        }
        let responses = by_status.into_iter();
        responses
            .map(|(status, errors)| (status.as_str().to_owned(), response(status, &errors).into()))
            .collect()
    }
}

fn always() -> [Error; 4] {
    [Error::TooLong, Error::Invalid(Rejection::default()), Error::Unread, Error::Panicked]
}

fn response(status: StatusCode, errors: &[Error]) -> Response {
    let body = if status == StatusCode::BAD_REQUEST { "Invalid" } else { "Problem" };
    let mut description: Vec<String> =
        errors.iter().map(|error| format!("`{}`: {}", error.code(), error.message())).collect();
    description.dedup();
    let told: Vec<_> = errors.iter().filter_map(Error::header).map(|(name, _)| name).collect();
    let response = Response::builder()
        .description(description.join("\n\n"))
        .content("application/json", Content::new(Some(Ref::from_schema_name(body))));
    let limits = errors.iter().any(|error| matches!(error, Error::TooMany { .. }));
    let limits = limits.then_some(["RateLimit", "RateLimit-Policy"]).into_iter().flatten();
    let names = told.iter().map(HeaderName::as_str).chain(limits);
    names.fold(response, |response, name| response.header(name, text())).build()
}

fn text() -> Header {
    HeaderBuilder::new().schema(Some(Object::with_type(Type::String))).build()
}

impl Group for () {
    fn errors() -> Vec<Error> {
        Vec::new()
    }
}

macro_rules! together {
    ($($group:ident)+) => {
        impl<$($group: Group),+> Group for ($($group,)+) {
            fn errors() -> Vec<Error> {
                let mut errors = Vec::new();
                $(errors.extend($group::errors());)+
                errors
            }
        }
    };
}

together!(A);
together!(A B);
together!(A B C);
together!(A B C D);
together!(A B C D E);
together!(A B C D E F);
together!(A B C D E F G);

macro_rules! groups {
    ($($(#[$doc:meta])+ $group:ident: $($error:expr),+;)+) => {
        $($(#[$doc])+
        pub(crate) enum $group {}

        impl $crate::http::openapi::Group for $group {
            fn errors() -> Vec<$crate::http::error::Error> {
                vec![$($error.into()),+]
            }
        })+
    };
}

pub(crate) use groups;

/// A limit for the document: the answer looks alike for every limit.
pub(crate) const ONE: Rate = Rate::per_second(NonZeroU32::MIN, NonZeroU32::MIN);

groups! {
    /// Parameters are wrong.
    Input: Error::Invalid(Rejection::default());
    /// A body is wrong.
    Body: Error::Invalid(Rejection::default()), Error::TooLarge, Error::UnsupportedMediaType;
    /// The thing is not there, or its name can't be one.
    Missing: Error::NotFound, Error::Invalid(Rejection::default());
    /// The order does not fit what is there.
    Conflict: Error::Conflict("This does not fit what is there.");
}
