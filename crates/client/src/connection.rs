//! One kept-alive HTTP/1.1 connection, with as little as possible between a request and the socket.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, IF_NONE_MATCH},
    http::response::Parts,
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{Error, Server};

/// Longest answer that is held in memory, in bytes.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// A header that a request has beside the usual ones.
pub(crate) type Header<'a> = (HeaderName, &'a str);

/// Status and body of an answer.
pub type Answer = (StatusCode, Bytes);

/// A connection that is made when it is first needed and again when it broke. One request goes over it at a time.
pub struct Connection {
    server: Server,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, sender: None }
    }

    /// Posts a JSON body, whatever the answer's status.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&mut self, path: &str, json: Vec<u8>) -> Result<Answer, Error> {
        self.any(Method::POST, path, &[JSON], json).await
    }

    /// Puts a JSON body, whatever the answer's status.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn put(&mut self, path: &str, json: Vec<u8>) -> Result<Answer, Error> {
        self.any(Method::PUT, path, &[JSON], json).await
    }

    /// Gets a path, whatever the answer's status.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get(&mut self, path: &str) -> Result<Answer, Error> {
        self.any(Method::GET, path, &[JSON], Vec::new()).await
    }

    /// Gets a path unless it is what is known already: 304 then.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get_unless(&mut self, path: &str, tag: &str) -> Result<Answer, Error> {
        self.any(Method::GET, path, &[(IF_NONE_MATCH, tag)], Vec::new()).await
    }

    async fn any(
        &mut self,
        method: Method,
        path: &str,
        headers: &[Header<'_>],
        body: Vec<u8>,
    ) -> Result<Answer, Error> {
        let (head, body) = self.exchange(method, path, headers, body).await?;
        Ok((head.status, body))
    }

    /// The answer to a request, read as what the API says; an answer that tells of an error is that error.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        headers: &[Header<'_>],
        body: Vec<u8>,
    ) -> Result<T, Error> {
        let (head, body) = self.exchange(method, path, headers, body).await?;
        if !head.status.is_success() {
            return Err(Error::told(&head, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| Error::Unreadable { status: head.status, what: error.to_string() })
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        headers: &[Header<'_>],
        body: Vec<u8>,
    ) -> Result<(Parts, Bytes), Error> {
        let (head, body, sender) = self.begin(method, path, headers, body).await?;
        let body = whole(head.status, body, self.server.patience()).await?;
        self.sender = Some(sender);
        Ok((head, body))
    }

    /// Sends a request; the answer's body has not come yet. The connection is good for another request after it.
    pub(crate) async fn begin(
        &mut self,
        method: Method,
        path: &str,
        headers: &[Header<'_>],
        body: Vec<u8>,
    ) -> Result<(Parts, Incoming, SendRequest<Full<Bytes>>), Error> {
        let request = self.request(method, path, headers, body)?;
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            Some(_) | None => self.connect().await?,
        };
        let patience = self.server.patience();
        let answered = timeout(patience, async {
            sender.ready().await?;
            sender.send_request(request).await
        });
        let response = answered.await.map_err(|_| Error::TooLate)?.map_err(broken)?;
        let (head, body) = response.into_parts();
        Ok((head, body, sender))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[Header<'_>],
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.server.authority())
            .header(AUTHORIZATION, format!("Bearer {}", self.server.token()));
        for (name, value) in headers {
            let value = HeaderValue::try_from(*value);
            request =
                request.header(name, value.map_err(|_| Error::Unsendable(format!("the header {name}")))?);
        }
        request.body(Full::new(Bytes::from(body))).map_err(|error| Error::Unsendable(error.to_string()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Error> {
        let stream = self.server.connect().await?;
        let (sender, connection) = handshake(stream).await.map_err(|error| Error::Away(error.into()))?;
        // Ends with the sender; its error shows at the sender's next request.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// The header of a JSON body.
pub(crate) const JSON: Header<'static> = (CONTENT_TYPE, "application/json");

pub(crate) fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Broken(error.into())
}

/// A body to its end.
pub(crate) async fn whole(status: StatusCode, body: Incoming, patience: Duration) -> Result<Bytes, Error> {
    let body = timeout(patience, Limited::new(body, MAX_ANSWER_BYTES).collect())
        .await
        .map_err(|_| Error::TooLate)?;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            Error::Unreadable { status, what: format!("longer than {MAX_ANSWER_BYTES} bytes") }
        } else {
            Error::Broken(error)
        }
    })
}
