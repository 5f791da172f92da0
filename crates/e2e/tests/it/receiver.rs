//! Another system that is told of something by a webhook, and checks what it is told.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse as _, Response},
    routing::post,
};
use clickwire_process::now_ms;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::{net::TcpListener, task::JoinSet};

/// Instead of a status: there is never an answer.
pub(crate) const SILENCE: u16 = 0;

/// A server for `/hook` that gives prepared answers.
pub(crate) struct Receiver {
    pub(crate) url: String,
    secret: &'static str,
    posts: Arc<Mutex<Vec<Post>>>,
    _server: JoinSet<()>,
}

/// A request that the receiver got.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Post {
    pub(crate) fn header(&self, name: &str) -> Result<&str> {
        Ok(self.headers.get(name).with_context(|| format!("no {name}"))?.to_str()?)
    }

    /// A name that stays the same when the same is told again.
    pub(crate) fn delivery(&self) -> Result<&str> {
        self.header("clickwire-delivery")
    }

    fn check(&self, secret: &str) -> Result<()> {
        let signature = self.header("clickwire-signature")?;
        let (time, code) =
            signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).context("no signature")?;
        let age_seconds = now_ms() / 1_000 - time.parse::<i64>()?;
        ensure!((0..120).contains(&age_seconds), "signed {age_seconds} s ago");
        let mut keyed = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
        keyed.update(format!("{time}.").as_bytes());
        keyed.update(&self.body);
        let expected: String =
            keyed.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(code == expected, "the signature is wrong");
        Ok(())
    }
}

impl Receiver {
    /// One that answers with these statuses in turn, and with the last one from then on.
    pub(crate) async fn start(secret: &'static str, statuses: &'static [u16]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let posts = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&posts);
        let take = move |headers: HeaderMap, body: Bytes| async move {
            let number = match received.lock() {
                Ok(mut received) => {
                    received.push(Post { headers, body });
                    received.len() - 1
                }
                Err(_) => return StatusCode::IM_A_TEAPOT.into_response(),
            };
            match statuses.get(number).or(statuses.last()).copied() {
                Some(SILENCE) => std::future::pending::<Response>().await,
                // Where a redirect leads is this place again.
                status => {
                    let status = StatusCode::from_u16(status.unwrap_or(200)).unwrap_or(StatusCode::OK);
                    (status, [(LOCATION, "/hook")]).into_response()
                }
            }
        };
        let mut server = JoinSet::new();
        server.spawn(async move {
            let routes = Router::new().route("/hook", post(take));
            // Ends with the test.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { url, secret, posts, _server: server })
    }

    /// Returns all requests until now, each signed as it should be.
    pub(crate) fn posts(&self) -> Result<Vec<Post>> {
        let posts = self.posts.lock().map_err(|_| anyhow::anyhow!("the receiver panicked"))?.clone();
        posts.iter().try_for_each(|post| post.check(self.secret))?;
        Ok(posts)
    }
}
