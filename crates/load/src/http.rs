//! One kept-alive HTTP connection, with as little between test and socket as possible.

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, IF_NONE_MATCH},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The server to send clicks to, as every command takes it.
#[derive(clap::Args)]
pub struct Intake {
    /// Address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    server: String,
    /// Key to post with.
    #[arg(long, env = "CLICKWIRE_INGEST_KEY", hide_env_values = true)]
    ingest_key: String,
}

impl Intake {
    /// The server, to post clicks to.
    pub fn poster(&self) -> anyhow::Result<Server> {
        Server::new(&self.server, &self.ingest_key)
    }

    /// The server, with what another token opens.
    pub fn opened_by(&self, token: &str) -> anyhow::Result<Server> {
        Server::new(&self.server, token)
    }
}

/// Where a server is, and what opens it.
#[derive(Clone, Debug)]
pub struct Server {
    authority: String,
    token: String,
}

/// A connection that is opened when it is first needed and again when it broke.
pub struct Connection {
    server: Server,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// Status and body of an answer.
pub type Answer = (StatusCode, Bytes);

impl Server {
    /// From `http://host:port` and a key or token.
    pub fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let authority = url.strip_prefix("http://").context("the server's URL must begin with http://")?;
        let authority = authority.trim_end_matches('/');
        ensure!(authority.contains(':'), "the server's URL must name a port");
        Ok(Self { authority: authority.to_owned(), token: token.to_owned() })
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The key or token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A new connection.
    pub fn connection(&self) -> Connection {
        Connection { server: self.clone(), sender: None }
    }
}

impl Connection {
    /// Posts a JSON body.
    pub async fn post(&mut self, path: &str, json: Vec<u8>) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, json).await
    }

    /// Puts a JSON body.
    pub async fn put(&mut self, path: &str, json: Vec<u8>) -> anyhow::Result<Answer> {
        self.send(Method::PUT, path, json).await
    }

    /// Gets a path.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, Vec::new()).await
    }

    /// Gets a path unless it is what is known already: 304 then.
    pub async fn get_unless(&mut self, path: &str, tag: &str) -> anyhow::Result<Answer> {
        let request = self.request(Method::GET, path).header(IF_NONE_MATCH, tag);
        self.exchange(request.body(Full::default())?).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Answer> {
        let request = self.request(method, path).body(Full::new(Bytes::from(body)))?;
        self.exchange(request).await
    }

    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.server.authority)
            .header(AUTHORIZATION, format!("Bearer {}", self.server.token))
            .header(CONTENT_TYPE, "application/json")
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            Some(_) | None => connect(&self.server.authority).await?,
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok((status, body))
    }
}

async fn connect(authority: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(authority).await.with_context(|| format!("connecting to {authority}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends with the sender; its error shows at the sender's next request.
    tokio::spawn(connection);
    Ok(sender)
}
