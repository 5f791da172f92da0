//! The same requests over HTTP/1.1 and HTTP/2, with TLS and without, are answered alike.

use anyhow::Result;
use clickwire_e2e::{Stack, people::set_cookie, way::Way};
use serde_json::json;

/// Servers without TLS and with it, and the ways to speak to them.
const ALL: [(bool, [Way; 2]); 2] = [(false, Way::PLAIN), (true, Way::TLS)];

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_and_out_from_our_own_pages_alone() -> Result<()> {
    for (is_tls, ways) in ALL {
        let mut stack = Stack::new().await?;
        if is_tls {
            stack.certify()?;
        }
        let _server = stack.start_server().await?;
        let password = stack.account("anna@shop.example", "advertiser", &["adv_001"]).await?;
        let body = json!({"login": "anna@shop.example", "password": password}).to_string();
        for way in ways {
            let mut client = stack.connect(way).await?;
            let own = client.origin();
            let other_port = format!("{own}0");
            let mut cookie = String::new();
            for (header, status) in [
                (("origin", own.as_str()), 200),
                (("sec-fetch-site", "same-origin"), 200),
                (("origin", "https://evil.example"), 403),
                (("origin", other_port.as_str()), 403),
                (("origin", "null"), 403),
                (("sec-fetch-site", "cross-site"), 403),
            ] {
                let answer = client.send("POST /api/v1/session", &[JSON, header], body.as_bytes()).await?;
                assert_eq!(answer.status, status, "{way:?} {header:?}: {answer:?}");
                if let Some(set) = set_cookie(&answer) {
                    cookie = set.to_owned();
                }
            }
            let cookie = ("cookie", cookie.as_str());
            assert_eq!(client.send("GET /api/v1/session", &[cookie], b"").await?.status, 200, "{way:?}");
            for (headers, status) in [
                (&[cookie][..], 403),
                (&[cookie, ("origin", "https://evil.example")], 403),
                (&[cookie, ("origin", own.as_str())], 204),
            ] {
                let answer = client.send("DELETE /api/v1/session", headers, b"").await?;
                assert_eq!(answer.status, status, "{way:?} {headers:?}: {answer:?}");
            }
            assert_eq!(client.send("GET /api/v1/session", &[cookie], b"").await?.status, 401, "{way:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_one_host() -> Result<()> {
    for (is_tls, ways) in ALL {
        let mut stack = Stack::new().await?;
        if is_tls {
            stack.certify()?;
        }
        let _server = stack.start_server().await?;
        for way in ways {
            let host = |name| ("host", name);
            // In HTTP/2, beside `:authority`.
            let authority = stack.authority();
            for (hosts, http1, http2) in [
                (&[][..], 400, 200),
                (&[host(authority)], 200, 200),
                (&[host("other.example")], 200, 400),
                (&[host(authority), host(authority)], 400, 400),
                (&[host(authority), host("other.example")], 400, 400),
                (&[host("anna@other.example")], 400, 400),
                (&[host("a.example, b.example")], 400, 400),
            ] {
                // What is refused may end its connection.
                let mut client = stack.connect(way).await?;
                let expected = if way.is_http2() { http2 } else { http1 };
                let answer = client.send_as_is("GET /livez", hosts, b"").await?;
                assert_eq!(answer.status, expected, "{way:?} {hosts:?}: {answer:?}");
                let closes = answer.header("connection") == Some("close");
                assert_eq!(closes, expected == 400 && !way.is_http2(), "{way:?} {hosts:?}: {answer:?}");
                assert!(answer.header("x-request-id").is_some(), "{answer:?}");
            }
        }
    }
    Ok(())
}
