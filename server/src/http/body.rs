//! Bodies that are JSON objects: read as objects and as nothing else, refused under the name of the field
//! that is wrong.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, OptionalFromRequest, Request,
        rejection::{BytesRejection, JsonRejection},
    },
    http::{HeaderMap, header::CONTENT_TYPE},
};
use clickwire_protocol::{
    click::Rejection,
    object::{self, Fault},
};
use serde::de::DeserializeOwned;

use crate::http::{content_type::essence, error::Error};

/// A body.
pub(crate) struct Object<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Object<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            return Err(Error::UnsupportedMediaType);
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error: BytesRejection| Error::from(JsonRejection::from(error)))?;
        Ok(Self(object::read(&bytes)?))
    }
}

/// The optional form: without a content type there is no body.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Object<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Error> {
        if request.headers().get(CONTENT_TYPE).is_none() {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = essence(headers);
    let subtype = essence.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

impl From<Fault> for Error {
    fn from(Fault { field, message }: Fault) -> Self {
        match field {
            Some(field) => Self::field(&field, &message),
            None => Self::Invalid(Rejection::form(message)),
        }
    }
}
