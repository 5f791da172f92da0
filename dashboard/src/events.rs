//! Server-sent events (HTML Standard, 9.2), read from a response as it comes. Not by the browser's `EventSource`,
//! which sends no token.

use clickwire_protocol::live::ServerMessage;
use gloo_net::http::RequestBuilder;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::ReadableStreamDefaultReader;

use crate::{http::Asking, session::Streamed};

/// An event that is longer, in bytes, is none of this server's.
const MAX_BYTES: usize = 16 << 20;

/// Sends a request and tells `tell` each message of its answer, and at last that it ended, unless what is returned is
/// dropped before. `heard` is called for each piece, perhaps without a message: the server is there.
pub fn stream(
    request: RequestBuilder,
    heard: impl Fn() + 'static,
    tell: impl Fn(Streamed) + 'static,
) -> Asking {
    let (asking, request, is_wanted) = Asking::begin(request);
    spawn_local(async move {
        let tell = |streamed| {
            if is_wanted.get() {
                tell(streamed);
            }
        };
        let heard = || {
            if is_wanted.get() {
                heard();
            }
        };
        read(request, &heard, &tell).await;
        tell(Streamed::Ended);
    });
    asking
}

/// Reads an answer to its end. Who is refused hears it by a question: a proxy may refuse a stream for its own reasons.
async fn read(request: RequestBuilder, heard: &impl Fn(), tell: &impl Fn(Streamed)) {
    let Some(response) = request.send().await.ok().filter(gloo_net::http::Response::ok) else { return };
    let reader = response.body().map(|body| body.get_reader().dyn_into::<ReadableStreamDefaultReader>());
    let Some(Ok(reader)) = reader else { return };
    let mut events = Events::default();
    while let Ok(read) = JsFuture::from(reader.read()).await {
        let Ok(piece) = Reflect::get(&read, &"value".into()).and_then(JsCast::dyn_into::<Uint8Array>) else {
            break; // the last one has none
        };
        let Some(told) = events.take(&piece.to_vec()) else { break };
        heard();
        // A message of a later version of the protocol is none of ours.
        told.iter()
            .filter_map(|data| serde_json::from_slice::<ServerMessage>(data).ok())
            .map(Streamed::Told)
            .for_each(tell);
    }
}

/// The data of events, put together from pieces that end anywhere.
#[derive(Default)]
struct Events {
    /// The line that has not ended yet.
    line: Vec<u8>,
    data: Vec<u8>,
}

impl Events {
    /// The data of the events that a piece ends; `None` if one is too long.
    fn take(&mut self, piece: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut events = Vec::new();
        for line in piece.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(line);
            if self.line.len() + self.data.len() > MAX_BYTES {
                return None;
            }
            if self.line.ends_with(b"\n") {
                let line = self.line.trim_ascii_end();
                if let Some(data) = line.strip_prefix(b"data:") {
                    self.data.extend_from_slice(data.trim_ascii_start());
                } else if line.is_empty() && !self.data.is_empty() {
                    events.push(std::mem::take(&mut self.data));
                }
                self.line.clear();
            }
        }
        Some(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_pieces_that_end_anywhere() {
        let sent = "retry: 700\n\nid: e:1\ndata: {\"a\":\"ü\"}\n\n:\n\ndata:two\r\n\r\nid: e:2\n\ndata: cut";
        for length in 1..=sent.len() {
            let mut events = Events::default();
            let told: Vec<_> =
                sent.as_bytes().chunks(length).flat_map(|piece| events.take(piece).unwrap()).collect();
            assert_eq!(told, ["{\"a\":\"ü\"}".as_bytes(), b"two"], "{length}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_given_up() {
        let mut events = Events::default();
        let piece = vec![b'x'; MAX_BYTES / 2];
        assert!(events.take(&piece).is_some() && events.take(&piece).is_some());
        assert_eq!(events.take(b"y"), None);
    }
}
