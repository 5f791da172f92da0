//! A server with a certificate of its own: everything goes over TLS, and the certificate is renewed under way.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually, raw, way::Certificate};
use clickwire_load::traffic;
use clickwire_protocol::live::{Applied, ClientMessage, SUBPROTOCOL, ServerMessage, Topic, ViewState};
use futures_util::{SinkExt as _, StreamExt as _};
use rand::{SeedableRng as _, rngs::StdRng};
use rcgen::KeyPair;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    client::TlsStream,
    rustls::{ProtocolVersion, SupportedProtocolVersion, version},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};

/// The time within which a new certificate is shown.
const RENEWED_WITHIN: Duration = Duration::from_secs(10);

/// A connection by who trusts one certificate alone.
async fn connect(
    stack: &Stack,
    trusted: &Certificate,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<TlsStream<TcpStream>> {
    trusted.connect(TcpStream::connect(authority(stack)).await?, b"http/1.1", versions).await
}

fn authority(stack: &Stack) -> &str {
    stack.server_url().trim_start_matches("http://")
}

/// A whole answer, over a connection of its own.
async fn send(stack: &Stack, trusted: &Certificate, request: &str, body: &str) -> Result<String> {
    let mut stream = connect(stack, trusted, &[&version::TLS13]).await?;
    let head = format!(
        "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nx-api-key: {}\r\n\r\n",
        body.len(),
        Stack::ingest_key()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_over_tls_and_the_certificate_is_renewed_under_way() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = Certificate::write(folder.path())?;
    let mut stack = Stack::new().await?;
    for (name, file) in [("CLICKWIRE_TLS_CERTIFICATE", "certificate.pem"), ("CLICKWIRE_TLS_KEY", "key.pem")] {
        stack.set(name, &folder.path().join(file).display().to_string());
    }
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.begin_server().await?;
    eventually("the server is ready", Duration::from_secs(30), async || {
        send(&stack, &first, "GET /readyz", "").await.ok()?.starts_with("HTTP/1.1 200").then_some(())
    })
    .await?;

    // The page, and what it tells browsers.
    let page = send(&stack, &first, "GET /", "").await?;
    assert!(page.contains("strict-transport-security: max-age=31536000"), "{page}");
    for (offered, expected) in
        [(&version::TLS13, ProtocolVersion::TLSv1_3), (&version::TLS12, ProtocolVersion::TLSv1_2)]
    {
        let (_, session) = connect(&stack, &first, &[offered]).await?.into_inner();
        assert_eq!(
            (session.protocol_version(), session.alpn_protocol()),
            (Some(expected), Some(&b"http/1.1"[..]))
        );
    }
    let password = stack.account("anna", "advertiser", &["adv_001"]).await?;
    let login = json!({"login": "anna", "password": password}).to_string();
    let signed_in = send(&stack, &first, "POST /api/v1/session", &login).await?;
    assert!(
        signed_in.contains("set-cookie: __Host-clickwire=") && signed_in.contains("; Secure"),
        "{signed_in}"
    );

    // Nothing but TLS, and one who never speaks holds up nobody.
    let silent = TcpStream::connect(authority(&stack)).await?;
    let plain = raw::send(stack.server_url(), "GET /livez", "", b"").await;
    assert!(plain.as_ref().map_or(true, |answer| answer.status == 0), "{plain:?}");

    // Live data, by a connection that stays while the certificate changes.
    let mut request = format!("ws://{}/api/v1/live", authority(&stack)).into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    let (mut live, _) = client_async(request, connect(&stack, &first, &[&version::TLS13]).await?).await?;
    for message in [
        ClientMessage::Auth { token: Some(Stack::viewer_token("adv_001")) },
        ClientMessage::Subscribe {
            id: 1,
            view: Topic::Clicks(Stack::view("adv_001")),
            since: None,
            min_interval_ms: None,
        },
    ] {
        live.send(Message::text(serde_json::to_string(&message)?)).await?;
    }
    let mut state = ViewState::default();
    let mut shows = async |expected: i64| -> Result<()> {
        while state.total().received() != expected {
            let message =
                timeout(Duration::from_secs(10), live.next()).await?.context("the socket ended")??;
            let Message::Text(text) = message else { continue };
            match serde_json::from_str(&text)? {
                ServerMessage::Snapshot { epoch, seq, cells, .. } => state.replace(epoch, seq, cells),
                ServerMessage::Delta { epoch, from, seq, cells, .. } => {
                    ensure!(state.apply(&epoch, from, seq, cells) == Applied::Yes, "a gap");
                }
                _ => {}
            }
        }
        Ok(())
    };
    let mut random = StdRng::seed_from_u64(5);
    let mut click = || {
        let mut click = traffic::click(&mut random, 0.0);
        click["advertiser_id"] = json!("adv_001");
        click.to_string()
    };
    let taken = send(&stack, &first, "POST /api/v1/clicks", &click()).await?;
    assert!(taken.starts_with("HTTP/1.1 202"), "{taken}");
    shows(1).await?;

    // What can't be used changes nothing; a new pair is shown to whoever comes then.
    fs::write(folder.path().join("certificate.pem"), "not a certificate")?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    send(&stack, &first, "GET /livez", "").await?;
    let second = Certificate::write(folder.path())?;
    eventually("the new certificate is shown", RENEWED_WITHIN, async || {
        send(&stack, &second, "GET /livez", "").await.ok().map(drop)
    })
    .await?;
    assert!(send(&stack, &first, "GET /livez", "").await.is_err(), "the old one still is");
    let taken = send(&stack, &second, "POST /api/v1/clicks", &click()).await?;
    assert!(taken.starts_with("HTTP/1.1 202"), "{taken}");
    shows(2).await?;
    drop(silent);
    Ok(())
}

#[tokio::test]
async fn half_a_pair_and_a_key_of_another_certificate_are_refused_at_the_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    Certificate::write(folder.path())?;
    fs::write(folder.path().join("key.pem"), KeyPair::generate()?.serialize_pem())?;
    let path = |file: &str| folder.path().join(file).display().to_string();
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_TLS_CERTIFICATE", &path("certificate.pem"));
    assert!(stack.start_server().await.is_err(), "without a key");
    stack.set("CLICKWIRE_TLS_KEY", &path("key.pem"));
    assert!(stack.start_server().await.is_err(), "with another's key");
    Ok(())
}
