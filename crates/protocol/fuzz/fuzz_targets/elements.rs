//! A batch in pieces: the same as the whole, and as serde_json reads it.

#![no_main]

use clickwire_protocol::{
    click::mended,
    elements::{BYTE_ORDER_MARK, Element, Format, Malformed, Splitter},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const MAX_ELEMENT_BYTES: usize = 48;

/// JSON readers stop at a depth, of the whole or of the element.
const DEPTH: usize = 100;

/// Cuts a body into pieces of `size_bytes`, or not at all.
fn split(
    format: Format,
    body: &[u8],
    size_bytes: usize,
    max_bytes: usize,
) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut splitter = Splitter::new(format, max_bytes);
    let mut elements = Vec::new();
    let mut each = |element: Element<'_>| {
        elements.push(match element {
            Element::Whole(element) => {
                assert!(element.len() <= max_bytes);
                element.to_vec()
            }
            // No JSON.
            Element::TooLarge => b"too large".to_vec(),
        });
        Ok::<(), Malformed>(())
    };
    for piece in body.chunks(size_bytes.max(1)) {
        splitter.push(piece, &mut each)?;
    }
    splitter.finish(each)?;
    Ok(elements)
}

fn values(elements: &[Vec<u8>]) -> Option<Vec<Value>> {
    elements.iter().map(|element| read(element)).collect()
}

fn read(json: &[u8]) -> Option<Value> {
    serde_json::from_slice(&mended(json).unwrap_or_else(|| json.to_vec())).ok()
}

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (size_bytes, is_array, body) = input;
    let format = if is_array { Format::Array } else { Format::Lines };
    // However it is cut.
    let whole = split(format, body, body.len(), MAX_ELEMENT_BYTES);
    let pieces = split(format, body, usize::from(size_bytes), MAX_ELEMENT_BYTES);
    assert_eq!(whole.is_ok(), pieces.is_ok());
    if whole.is_ok() {
        assert_eq!(whole, pieces);
    }
    // What a JSON reader takes.
    if body.iter().filter(|byte| b"[{".contains(byte)).count() > DEPTH {
        return;
    }
    let elements = split(format, body, usize::from(size_bytes), body.len());
    let taken = elements.ok().and_then(|elements| values(&elements));
    let expected = match format {
        Format::Array => match read(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)) {
            Some(Value::Array(elements)) => Some(elements),
            Some(_) | None => None,
        },
        Format::Lines => {
            let is_empty = |line: &&[u8]| line.iter().all(|byte| b" \t\r".contains(byte));
            let lines = body.split(|&byte| byte == b'\n');
            let lines = lines.map(|line| line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line));
            lines.filter(|line| !is_empty(line)).map(read).collect()
        }
    };
    assert_eq!(taken, expected);
});
