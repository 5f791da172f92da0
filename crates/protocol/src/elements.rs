//! The elements of a body that arrives in pieces: of a JSON array, or of JSON a line (NDJSON).
//!
//! What is kept between two pieces is one element at most, and none longer than the limit. Only what
//! stands between elements is read here; the reader of an element says whether it is JSON. Both
//! together take exactly what a JSON reader takes of the whole, its texts [mended](crate::click::mended),
//! however the body is cut into pieces. An element beyond the limit is passed over: its neighbours are
//! whole.

use thiserror::Error;

/// The format of the elements in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON array.
    Array,
    /// One element a line, ended by LF or CR LF; the last line may do without, empty ones are skipped.
    Lines,
}

/// The reason why a body can't be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The text begins with something else.
    #[error("The body must be a JSON array.")]
    NotAnArray,
    /// Another text than expected stands between two elements or behind the last.
    #[error("Expected {expected} at byte {at}.")]
    Expected {
        /// The part that should stand there.
        expected: &'static str,
        /// The place, in bytes from the beginning.
        at: usize,
    },
    /// The text ends before the array does.
    #[error("The body ends before the array does.")]
    CutShort,
}

/// An element of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// The element is longer than the limit.
    TooLarge,
}

/// The byte order mark that some programs write before UTF-8; readers may pass over it (RFC 8259, section 8.1).
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes that a line may have beside its element: a byte order mark, and a carriage return.
const AROUND_BYTES: usize = 4;

/// Takes a body apart.
#[derive(Debug)]
pub struct Splitter {
    place: Place,
    max_element_bytes: usize,
    /// The beginning of an element whose end has not come yet.
    begun: Vec<u8>,
    /// The begun element is longer than the limit already.
    is_too_large: bool,
    /// Bytes read before the present piece.
    read_bytes: usize,
}

/// The place of the next byte in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Line,
    BeforeArray {
        /// Bytes of a byte order mark that have come.
        mark: usize,
    },
    BeforeElement {
        may_end: bool,
    },
    /// The inside of a number, `true`, `false` or `null`.
    Scalar,
    /// The inside of an object or array, with the number of open brackets.
    Nested(usize),
    /// The inside of a text, with the number of open brackets.
    Text(usize),
    /// The byte behind a backslash.
    Escape(usize),
    AfterElement,
    AfterArray,
}

/// The part that a byte has in the element.
enum Part {
    /// A byte outside of elements.
    None,
    /// The first byte of the element.
    First,
    /// A byte of the element.
    Inner,
    /// The last byte of the element.
    Last,
    /// The first byte behind the element.
    Behind,
}

impl Splitter {
    /// Builds a splitter for a body whose elements may have `max_element_bytes` each.
    pub fn new(format: Format, max_element_bytes: usize) -> Self {
        let place = match format {
            Format::Array => Place::BeforeArray { mark: 0 },
            Format::Lines => Place::Line,
        };
        Self { place, max_element_bytes, begun: Vec::new(), is_too_large: false, read_bytes: 0 }
    }

    /// Reads the next piece and gives every element that ends in it to `each`, in order. After an error
    /// nothing more can be read.
    pub fn push<E: From<Malformed>>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(Element<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // An element that has begun goes on, or a line begins.
        let mut first = 0;
        for (index, &byte) in piece.iter().enumerate() {
            match self.step(byte, index)? {
                Part::None | Part::Inner => {}
                Part::First => first = index,
                Part::Last => self.end(&piece[first..=index], &mut each)?,
                Part::Behind => {
                    self.end(&piece[first..index], &mut each)?;
                    first = index + 1;
                }
            }
        }
        self.read_bytes += piece.len();
        match self.place {
            Place::Line | Place::Scalar | Place::Nested(_) | Place::Text(_) | Place::Escape(_) => {
                self.keep(&piece[first..]);
            }
            Place::BeforeArray { .. }
            | Place::BeforeElement { .. }
            | Place::AfterElement
            | Place::AfterArray => {}
        }
        Ok(())
    }

    /// Says whether the body may end here; a last line may be an element.
    pub fn finish<E: From<Malformed>>(
        mut self,
        each: impl FnMut(Element<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.place {
            Place::Line => self.end(&[], each),
            Place::AfterArray => Ok(()),
            Place::BeforeArray { .. } => Err(Malformed::NotAnArray.into()),
            Place::BeforeElement { .. }
            | Place::Scalar
            | Place::Nested(_)
            | Place::Text(_)
            | Place::Escape(_)
            | Place::AfterElement => Err(Malformed::CutShort.into()),
        }
    }

    /// Goes one byte on.
    fn step(&mut self, byte: u8, index: usize) -> Result<Part, Malformed> {
        let at = self.read_bytes + index;
        let (place, part) = match (self.place, byte) {
            (Place::Line, b'\n') => (Place::Line, Part::Behind),
            (Place::Line, _) => (Place::Line, Part::Inner),

            (Place::Escape(depth), _) => (Place::Text(depth), Part::Inner),
            (Place::Text(depth), b'\\') => (Place::Escape(depth), Part::Inner),
            (Place::Text(0), b'"') => (Place::AfterElement, Part::Last),
            (Place::Text(depth), b'"') => (Place::Nested(depth), Part::Inner),
            (Place::Text(_), _) => (self.place, Part::Inner),

            (Place::Nested(depth), b'"') => (Place::Text(depth), Part::Inner),
            (Place::Nested(depth), b'{' | b'[') => (Place::Nested(depth + 1), Part::Inner),
            (Place::Nested(1), b'}' | b']') => (Place::AfterElement, Part::Last),
            (Place::Nested(depth), b'}' | b']') => (Place::Nested(depth - 1), Part::Inner),
            (Place::Nested(_), _) => (self.place, Part::Inner),

            (Place::Scalar, b',') => (Place::BeforeElement { may_end: false }, Part::Behind),
            (Place::Scalar, b']') => (Place::AfterArray, Part::Behind),
            (Place::Scalar, byte) if is_space(byte) => (Place::AfterElement, Part::Behind),
            (Place::Scalar, _) => (Place::Scalar, Part::Inner),

            (Place::BeforeArray { mark }, byte) if BYTE_ORDER_MARK.get(mark) == Some(&byte) => {
                (Place::BeforeArray { mark: mark + 1 }, Part::None)
            }
            (Place::BeforeArray { mark: 1 | 2 }, _) => return Err(Malformed::NotAnArray),
            // No mark behind a space.
            (Place::BeforeArray { .. }, byte) if is_space(byte) => {
                (Place::BeforeArray { mark: BYTE_ORDER_MARK.len() }, Part::None)
            }
            (place, byte) if is_space(byte) => (place, Part::None),
            (Place::BeforeArray { .. }, b'[') => (Place::BeforeElement { may_end: true }, Part::None),
            (Place::BeforeArray { .. }, _) => return Err(Malformed::NotAnArray),
            (Place::BeforeElement { may_end: true }, b']') => (Place::AfterArray, Part::None),
            (Place::BeforeElement { .. }, b']' | b'}' | b',') => {
                return Err(Malformed::Expected { expected: "an element", at });
            }
            (Place::BeforeElement { .. }, b'{' | b'[') => (Place::Nested(1), Part::First),
            (Place::BeforeElement { .. }, b'"') => (Place::Text(0), Part::First),
            (Place::BeforeElement { .. }, _) => (Place::Scalar, Part::First),
            (Place::AfterElement, b',') => (Place::BeforeElement { may_end: false }, Part::None),
            (Place::AfterElement, b']') => (Place::AfterArray, Part::None),
            (Place::AfterElement, _) => return Err(Malformed::Expected { expected: "a comma or `]`", at }),
            (Place::AfterArray, _) => return Err(Malformed::Expected { expected: "the end", at }),
        };
        self.place = place;
        Ok(part)
    }

    /// Gives away the element that ends with `rest`.
    fn end<E: From<Malformed>>(
        &mut self,
        rest: &[u8],
        mut each: impl FnMut(Element<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.begun.is_empty() {
            self.keep(rest);
        }
        let mut element = if self.begun.is_empty() { rest } else { &self.begun };
        if self.place == Place::Line {
            element = element.strip_prefix(BYTE_ORDER_MARK).unwrap_or(element);
            element = element.strip_suffix(b"\r").unwrap_or(element);
        }
        let given = if self.is_too_large || element.len() > self.max_element_bytes {
            each(Element::TooLarge)
        } else if element.iter().all(|&byte| is_space(byte)) {
            // Only lines have something around their element.
            Ok(())
        } else {
            each(Element::Whole(element))
        };
        self.begun.clear();
        self.is_too_large = false;
        given
    }

    /// Keeps a part of an element until the next piece comes.
    fn keep(&mut self, part: &[u8]) {
        self.is_too_large |= self.begun.len() + part.len() > self.max_element_bytes + AROUND_BYTES;
        if self.is_too_large {
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(part);
        }
    }
}

/// Returns whether JSON allows the byte between its parts (RFC 8259, section 2).
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};
    use serde_json::{Value, json};

    use super::*;
    use crate::click::mended;

    const MAX: usize = 64;

    /// Stands for an element that is longer. No JSON.
    const TOO_LARGE: &[u8] = b"too large";

    /// Returns the elements of a body that comes in pieces of these sizes, over and over.
    fn split(format: Format, body: &[u8], sizes: &[usize]) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut splitter = Splitter::new(format, MAX);
        let mut elements = Vec::new();
        let mut each = |element: Element<'_>| {
            elements.push(match element {
                Element::Whole(element) => element.to_vec(),
                Element::TooLarge => TOO_LARGE.to_vec(),
            });
            Ok::<(), Malformed>(())
        };
        let (mut rest, mut sizes) = (body, sizes.iter().cycle());
        while !rest.is_empty() {
            let size = sizes.next().map_or(rest.len(), |&size| size.clamp(1, rest.len()));
            splitter.push(&rest[..size], &mut each)?;
            assert!(splitter.begun.len() <= MAX + AROUND_BYTES, "more is kept than one element");
            rest = &rest[size..];
        }
        splitter.finish(each)?;
        Ok(elements)
    }

    /// The same as values, if every element is JSON once its texts are mended.
    fn values(format: Format, body: &[u8], sizes: &[usize]) -> Option<Vec<Value>> {
        let elements = split(format, body, sizes).ok()?;
        elements.iter().map(|element| read(element)).collect()
    }

    fn read<T: serde::de::DeserializeOwned>(json: &[u8]) -> Option<T> {
        serde_json::from_slice(&mended(json).unwrap_or_else(|| json.to_vec())).ok()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let expected = |expected, at| Malformed::Expected { expected, at };
        for (body, error) in [
            ("", Malformed::NotAnArray),
            ("  {}", Malformed::NotAnArray),
            ("\u{feff}", Malformed::NotAnArray),
            (" \u{feff}[]", Malformed::NotAnArray),
            ("\u{feff}\u{feff}[]", Malformed::NotAnArray),
            ("[", Malformed::CutShort),
            ("[1,", Malformed::CutShort),
            ("[1", Malformed::CutShort),
            ("[{\"a\":\"]}", Malformed::CutShort),
            ("[1,]", expected("an element", 3)),
            ("[,1]", expected("an element", 1)),
            ("[1 2]", expected("a comma or `]`", 3)),
            ("[{} {}]", expected("a comma or `]`", 4)),
            ("[] x", expected("the end", 3)),
        ] {
            assert_eq!(split(Format::Array, body.as_bytes(), &[]), Err(error), "{body}");
            assert_eq!(split(Format::Array, body.as_bytes(), &[1]), Err(error), "{body}");
        }
    }

    #[test]
    fn what_is_too_large_is_passed_over() {
        let longest = format!("\"{}\"", "a".repeat(MAX - 2));
        for sizes in [&[][..], &[1], &[5, 60]] {
            for more in [1, 2, 3, 4, 5, 10 * MAX] {
                let longer = format!("[\"{}\"]", "a".repeat(MAX - 4 + more));
                let expected = [longest.as_bytes(), TOO_LARGE, b"1"].map(<[u8]>::to_vec).to_vec();
                let array = format!("[{longest}, {longer} ,1]");
                assert_eq!(split(Format::Array, array.as_bytes(), sizes), Ok(expected.clone()), "{more}");
                let lines = format!("\u{feff}{longest}\r\n{longer}\r\n1");
                assert_eq!(split(Format::Lines, lines.as_bytes(), sizes), Ok(expected), "{more}");
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        for sizes in [&[][..], &[1], &[2]] {
            let expected = Some(vec![json!(1), json!(2)]);
            assert_eq!(values(Format::Array, "\u{feff} [1,2]".as_bytes(), sizes), expected);
            // Files with one each, put together.
            assert_eq!(values(Format::Lines, "\u{feff}1\n\u{feff}2\n\u{feff}\n".as_bytes(), sizes), expected);
            for body in ["[\u{feff}1]", "[1\u{feff}]", "[1]\u{feff}"] {
                assert_eq!(values(Format::Array, body.as_bytes(), sizes), None, "{body}");
            }
        }
    }

    #[test]
    fn lines_may_be_empty_and_end_in_both_ways() {
        let body = b"{\"a\":1}\r\n\n  \r\n[2]\n\"\\n\"";
        for sizes in [&[][..], &[1], &[3, 2]] {
            let expected = vec![json!({"a": 1}), json!([2]), json!("\n")];
            assert_eq!(values(Format::Lines, body, sizes), Some(expected));
        }
        assert_eq!(values(Format::Lines, b"", &[]), Some(Vec::new()));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\[\\]{},:\"\\\\a\n]{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 6, 2, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..3).prop_map(Value::from),
                vec(("[a\"\\]\\\\]{0,2}", inner), 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn pieces_hold_the_elements_of_the_whole(
            elements in vec(json_value(), 0..6), pretty: bool, sizes in vec(1..9_usize, 1..6)
        ) {
            prop_assume!(elements.iter().all(|element| element.to_string().len() <= MAX / 2));
            let whole = Value::from(elements.clone());
            let body = if pretty { format!("{whole:#}\n") } else { whole.to_string() };
            let whole = split(Format::Array, body.as_bytes(), &[]);
            let fits = whole.is_ok_and(|elements| !elements.iter().any(|element| element == TOO_LARGE));
            // Indentation can make an element too long; it does so in pieces, too.
            prop_assert_eq!(values(Format::Array, body.as_bytes(), &sizes), fits.then(|| elements.clone()));
            prop_assert!(fits || pretty);
            let lines: String = elements.iter().map(|element| format!("{element}\n")).collect();
            prop_assert_eq!(values(Format::Lines, lines.as_bytes(), &sizes), Some(elements));
        }

        /// Near-JSON is refused exactly when a JSON reader refuses it, its texts mended.
        #[test]
        fn what_is_no_json_is_refused(
            body in "[\\[\\]{},:\"\\\\1e \nnul]{0,12}|\\[[\\[\\]{},:\"1 \t\u{0}]{0,10}\\]|\\[\"(\\\\?u?d?[8c]3d){0,6}\"\\]",
            sizes in vec(1..5_usize, 1..4)
        ) {
            let whole: Option<Vec<Value>> = read(body.as_bytes());
            prop_assert_eq!(values(Format::Array, body.as_bytes(), &sizes), whole);
        }

        #[test]
        fn a_broken_array_is_refused(elements in vec(json_value(), 1..4), place: Index, byte: u8) {
            let mut body = Value::from(elements).to_string().into_bytes();
            let place = place.index(body.len());
            body[place] = byte;
            let whole: Option<Vec<Value>> = read(&body);
            prop_assume!(body.len() <= MAX);
            prop_assert_eq!(values(Format::Array, &body, &[3, 1]), whole);
        }

        #[test]
        fn garbage_in_any_pieces_is_the_same_and_never_panics(
            body in vec(any::<u8>(), 0..200), sizes in vec(1..90_usize, 1..6), lines: bool
        ) {
            let format = if lines { Format::Lines } else { Format::Array };
            let (whole, pieces) = (split(format, &body, &[]), split(format, &body, &sizes));
            prop_assert_eq!(whole.is_ok(), pieces.is_ok());
            if whole.is_ok() {
                prop_assert_eq!(whole, pieces);
            }
        }
    }
}
