//! Bodies that come compressed (`Content-Encoding`, RFC 9110, section 8.4): gzip, brotli, Zstandard.
//!
//! What a body may cost is bounded twice. It is decoded only after all of it has come, within the limit for
//! bodies that are not compressed; and piece by piece, so that whoever reads stops at its own limit, however
//! much is folded up in it. A Zstandard frame may want no larger window than RFC 9659 allows.

use std::{
    io::{self, Cursor, Read},
    mem,
};

use axum::http::{HeaderMap, header::CONTENT_ENCODING};
use brotli_decompressor::Decompressor;
use bytes::Bytes;
use clickwire_protocol::click::Rejection;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::http::error::Error;

/// Decoded at once, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// Largest window of a Zstandard frame, in bytes.
const MAX_WINDOW_BYTES: u64 = 8 * 1024 * 1024;

/// Encodings that are understood, for `Accept-Encoding`.
pub(crate) const UNDERSTOOD: &str = "gzip, br, zstd";

/// Encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Brotli,
    Zstd,
}

impl Encoding {
    /// Returns the encoding that the sender states. Several, one after the other, are refused.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(Self::Identity),
            (Some(value), None) => value.to_str().unwrap_or("?").trim().to_ascii_lowercase(),
            (Some(_), Some(_)) => return Err(Error::UnsupportedEncoding),
        };
        match value.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "br" => Ok(Self::Brotli),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Error::UnsupportedEncoding),
        }
    }

    /// A body's pieces, decoded one by one. The last is an error if the body is not what it says.
    pub(crate) fn decode(self, body: Bytes) -> impl Iterator<Item = Result<Bytes, Error>> + Send {
        let body = Cursor::new(body);
        let mut reader: Option<Box<dyn Read + Send>> = Some(match self {
            Self::Identity => Box::new(body),
            Self::Gzip => Box::new(MultiGzDecoder::new(body)),
            Self::Brotli => Box::new(Decompressor::new(body, PIECE_BYTES)),
            Self::Zstd => Box::new(Frames { body, frame: None, has_begun: false }),
        });
        std::iter::from_fn(move || {
            let mut piece = vec![0; PIECE_BYTES];
            match reader.as_mut()?.read(&mut piece) {
                Ok(0) => None,
                Ok(length) => {
                    piece.truncate(length);
                    Some(Ok(piece.into()))
                }
                Err(error) => {
                    reader = None;
                    tracing::debug!(%error, encoding = ?self, "a body can't be decoded");
                    let message = "The body is not encoded as its Content-Encoding says.";
                    Some(Err(Error::Invalid(Rejection::form(message))))
                }
            }
        })
    }

    /// A whole body, decoded, of so many bytes at most.
    pub(crate) fn decode_all(self, body: Bytes, max_bytes: usize) -> Result<Bytes, Error> {
        if self == Self::Identity {
            return Ok(body);
        }
        let mut decoded = Vec::new();
        for piece in self.decode(body) {
            decoded.extend(piece?);
            if decoded.len() > max_bytes {
                return Err(Error::TooLarge);
            }
        }
        Ok(decoded.into())
    }
}

/// Zstandard frames, one after the other (RFC 8878, section 3).
struct Frames {
    body: Cursor<Bytes>,
    frame: Option<StreamingDecoder<Cursor<Bytes>, FrameDecoder>>,
    has_begun: bool,
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = match &mut self.frame {
                Some(frame) => frame.read(buffer)?,
                None => 0,
            };
            if length > 0 {
                return Ok(length);
            }
            if let Some(frame) = self.frame.take() {
                self.body = frame.into_inner();
            }
            if self.has_begun && self.body.position() == self.body.get_ref().len() as u64 {
                return Ok(0);
            }
            self.has_begun = true;
            let frame =
                StreamingDecoder::new_with_max_window_size(mem::take(&mut self.body), MAX_WINDOW_BYTES);
            self.frame =
                Some(frame.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use axum::http::HeaderValue;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    const MAX_BYTES: usize = 64 * 1024;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(body: &[u8]) -> Vec<u8> {
        compress_to_vec(body, CompressionLevel::Fastest)
    }

    /// `[{"ad_id":"ad_001"}]` as the reference implementation writes it.
    const BROTLI: &[u8] = &[
        0x8b, 0x09, 0x80, 0x5b, 0x7b, 0x22, 0x61, 0x64, 0x5f, 0x69, 0x64, 0x22, 0x3a, 0x22, 0x61, 0x64, 0x5f,
        0x30, 0x30, 0x31, 0x22, 0x7d, 0x5d, 0x03,
    ];

    #[test]
    fn what_is_encoded_is_read_and_what_only_says_so_is_refused() {
        let body = b"[{\"ad_id\":\"ad_001\"}]".repeat(300);
        for (encoding, encoded, expected) in [
            (Encoding::Gzip, gzip(&body), &body[..]),
            (Encoding::Gzip, [gzip(&body[..10]), gzip(&body[10..])].concat(), &body),
            (Encoding::Zstd, zstd(&body), &body),
            (Encoding::Zstd, [zstd(&body[..10]), zstd(&body[10..])].concat(), &body),
            (Encoding::Brotli, BROTLI.to_vec(), b"[{\"ad_id\":\"ad_001\"}]"),
            (Encoding::Identity, body.clone(), &body),
        ] {
            let decoded = encoding.decode_all(encoded.clone().into(), MAX_BYTES).unwrap();
            assert_eq!(decoded, expected, "{encoding:?}");
            if encoding == Encoding::Identity {
                continue;
            }
            for wrong in [
                encoded[..encoded.len() - 1].to_vec(),
                encoded[..encoded.len() / 2].to_vec(),
                body.clone(),
                b"{}".to_vec(),
                Vec::new(),
            ] {
                let refused = encoding.decode_all(wrong.clone().into(), MAX_BYTES);
                assert!(matches!(refused, Err(Error::Invalid(_))), "{encoding:?} {wrong:?}");
            }
        }
    }

    #[test]
    fn a_bomb_is_defused() {
        let bomb = vec![b' '; 256 * MAX_BYTES];
        for (encoding, encoded) in [(Encoding::Gzip, gzip(&bomb)), (Encoding::Zstd, zstd(&bomb))] {
            let decoded = encoding.decode_all(encoded.clone().into(), MAX_BYTES);
            assert!(matches!(decoded, Err(Error::TooLarge)), "{encoding:?}");
            // Nothing is decoded that nobody asks for.
            let mut pieces = encoding.decode(encoded.into());
            assert!(pieces.next().unwrap().unwrap().len() <= PIECE_BYTES);
        }
        // A frame of nothing that wants a window of 128 MiB.
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00];
        let refused = Encoding::Zstd.decode_all(window.to_vec().into(), MAX_BYTES);
        assert!(matches!(refused, Err(Error::Invalid(_))));
    }

    #[test]
    fn encodings_are_known_by_name() {
        let of = |values: &[&'static str]| {
            let values = values.iter().map(|&value| (CONTENT_ENCODING, HeaderValue::from_static(value)));
            Encoding::of(&values.collect())
        };
        for (values, expected) in [
            (&[][..], Encoding::Identity),
            (&["identity"], Encoding::Identity),
            (&["GZip"], Encoding::Gzip),
            (&["x-gzip"], Encoding::Gzip),
            (&["br"], Encoding::Brotli),
            (&["zstd"], Encoding::Zstd),
        ] {
            assert_eq!(of(values).unwrap(), expected, "{values:?}");
        }
        for values in [&["deflate"][..], &["gzip, br"], &["gzip", "gzip"], &["compress"]] {
            assert!(matches!(of(values), Err(Error::UnsupportedEncoding)), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_ends(body in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..300_usize) {
            for encoding in [Encoding::Gzip, Encoding::Brotli, Encoding::Zstd] {
                let _answer = encoding.decode_all(body.clone().into(), MAX_BYTES);
            }
            let mut broken = zstd(&body);
            broken.truncate(cut);
            let _answer = Encoding::Zstd.decode_all(broken.into(), MAX_BYTES);
        }
    }
}
