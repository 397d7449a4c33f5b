//! The body of an answer in chunks (RFC 9112 §7.1).
//!
//! Byte by byte where its framing is, so that it makes no difference how it comes. Lines end with CR LF and
//! with nothing else: a bare line feed is where two readers differ about what is a line.

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Error, MOST_FIELDS};

/// The most bytes of extensions, of all chunks together. Nobody reads them.
const MOST_EXTENSIONS: usize = 16 * 1024;

/// The most bytes of all trailers together.
const MOST_TRAILERS: usize = 16 * 1024;

/// What is told in one go where a body ends as most do.
const PLAIN_END: &[u8] = b"\r\n0\r\n\r\n";

/// How far a body has come.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
    /// Of the chunk.
    left: u64,
    extensions: usize,
    /// Their lines, once one has begun.
    trailers: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    #[default]
    Size,
    MoreSize,
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a line behind the last chunk.
    Line,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

/// What has come.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Data(Bytes),
    /// And with them the end.
    Trailers(HeaderMap),
    End,
}

impl Chunks {
    /// Takes the next piece from `bytes`; `None` where more has to come first.
    ///
    /// # Errors
    ///
    /// They are no chunks.
    pub(super) fn take(&mut self, bytes: &mut Bytes) -> Result<Option<Piece>, Error> {
        loop {
            match self.state {
                State::End => return Ok(Some(Piece::End)),
                State::Data if bytes.is_empty() => return Ok(None),
                State::Data => return Ok(Some(Piece::Data(self.data(bytes)))),
                _ => {}
            }
            if !bytes.has_remaining() {
                return Ok(None);
            }
            self.state = self.step(bytes.get_u8()).map_err(Error::Chunks)?;
            if self.state == State::End
                && let Some(lines) = self.trailers.take()
            {
                return fields(&lines).map(|fields| Some(Piece::Trailers(fields)));
            }
        }
    }

    /// Whether all of it has been taken.
    pub(super) fn have_ended(&self) -> bool {
        self.state == State::End
    }

    fn data(&mut self, bytes: &mut Bytes) -> Bytes {
        let length = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let data = bytes.split_to(length);
        self.left -= length as u64;
        if self.left == 0 {
            self.state = State::DataCr;
            // Then whoever gets this piece knows that it is the last.
            if bytes.starts_with(PLAIN_END) {
                bytes.advance(PLAIN_END.len());
                self.state = State::End;
            }
        }
        data
    }

    fn step(&mut self, byte: u8) -> Result<State, &'static str> {
        Ok(match (self.state, byte) {
            (State::Size | State::MoreSize, digit) if digit.is_ascii_hexdigit() => {
                if self.state == State::Size {
                    self.left = 0;
                }
                self.add(digit)?;
                State::MoreSize
            }
            (State::MoreSize | State::SizeSpace, b' ' | b'\t') => State::SizeSpace,
            (State::MoreSize | State::SizeSpace, b';') => State::Extension,
            (State::MoreSize | State::SizeSpace | State::Extension, b'\r') => State::SizeLf,
            (State::Size | State::MoreSize | State::SizeSpace, _) => {
                return Err("a chunk's size is no number");
            }
            (State::Extension, b'\n') => return Err("a line feed in a chunk's extension"),
            (State::Extension, _) => {
                self.extensions += 1;
                if self.extensions >= MOST_EXTENSIONS {
                    return Err("too many bytes of extensions");
                }
                State::Extension
            }
            (State::SizeLf, b'\n') if self.left == 0 => State::Line,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::DataCr | State::DataLf, _) => return Err("a chunk is longer than its size"),
            (State::Line, b'\r') => {
                if self.trailers.is_some() {
                    self.keep(b'\r')?;
                }
                State::EndLf
            }
            (State::EndLf, b'\n') => {
                if self.trailers.is_some() {
                    self.keep(b'\n')?;
                }
                State::End
            }
            (State::Line | State::Trailer, b'\n') => return Err("a bare line feed in trailers"),
            (State::Line | State::Trailer, byte) => {
                self.keep(byte)?;
                if byte == b'\r' {
                    State::TrailerLf
                } else {
                    State::Trailer
                }
            }
            (State::TrailerLf, b'\n') => {
                self.keep(b'\n')?;
                State::Line
            }
            (State::SizeLf | State::TrailerLf | State::EndLf, _) => {
                return Err("a carriage return without a line feed");
            }
            // Taken care of before.
            (State::Data | State::End, _) => return Err("a byte where none is expected"),
        })
    }

    fn add(&mut self, digit: u8) -> Result<(), &'static str> {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => digit.wrapping_sub(b'A').wrapping_add(10),
        };
        let left = self.left.checked_mul(16);
        let left = left.and_then(|left| left.checked_add(value.into()));
        self.left = left.ok_or("a chunk is larger than anybody can count to")?;
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> Result<(), &'static str> {
        let lines = self.trailers.get_or_insert_default();
        if lines.len() >= MOST_TRAILERS {
            return Err("too many bytes of trailers");
        }
        lines.push(byte);
        Ok(())
    }
}

fn fields(lines: &[u8]) -> Result<HeaderMap, Error> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let parsed = httparse::parse_headers(lines, &mut fields);
    let Ok(httparse::Status::Complete((_, fields))) = parsed else {
        return Err(Error::Chunks("the trailers are no fields"));
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Error::Chunks("the trailers are no fields"));
        };
        trailers.append(name, value);
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data, the trailers, and what lies behind; `None` where the end has not come.
    type Read = Option<(Vec<u8>, HeaderMap, Vec<u8>)>;

    /// Reads chunks that come in parts of these lengths, again and again.
    fn read(bytes: &[u8], lengths: &[usize]) -> Result<Read, String> {
        let mut chunks = Chunks::default();
        let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
        let mut rest = bytes;
        for length in lengths.iter().cycle() {
            let (part, behind) = rest.split_at((*length).min(rest.len()));
            let mut part = Bytes::copy_from_slice(part);
            loop {
                match chunks.take(&mut part).map_err(|error| error.to_string())? {
                    None => break,
                    Some(Piece::Data(piece)) => data.extend_from_slice(&piece),
                    Some(Piece::Trailers(fields)) => trailers = fields,
                    Some(Piece::End) => {
                        assert!(chunks.have_ended());
                        return Ok(Some((data, trailers, [&part, behind].concat())));
                    }
                }
            }
            assert!(part.is_empty());
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        Ok(None)
    }

    fn whole(text: &str) -> Result<Read, String> {
        read(text.as_bytes(), &[text.len().max(1)])
    }

    #[test]
    fn h1_14_broken_chunks_are_no_body() {
        for bad in [
            "0x3\r\nabc\r\n",
            "-1\r\nabc\r\n",
            " 3\r\nabc\r\n",
            "\r\nabc",
            "3 3\r\nabc\r\n",
            "g\r\n",
            "10000000000000000\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "3\nabc\r\n",
            "3\r\nabc\r\r",
            "3;x\ny\r\nabc\r\n",
            "3\rabc",
            "0\r\n\n",
            "0\r\nx: y\n\r\n",
            "0\r\nx: y\n\n",
            "0\r\nx: y\r\r\n",
            "0\r\n\rx",
            "0\r\nx y: z\r\n\r\n",
            "0\r\nx: a\r\n b\r\n\r\n",
            "0\r\nx: \0\r\n\r\n",
        ] {
            assert!(whole(bad).is_err(), "{bad:?}");
        }
        let long = format!("3;{}\r\n", "e".repeat(MOST_EXTENSIONS));
        assert!(whole(&long).is_err());
        let long = format!("0\r\nx: {}\r\n", "y".repeat(MOST_TRAILERS));
        assert!(whole(&long).is_err());
        let many = format!("0\r\n{}\r\n", "x: y\r\n".repeat(MOST_FIELDS + 1));
        assert!(whole(&many).is_err());
    }

    #[test]
    fn what_may_be_said_beside_the_data_is_passed_over() {
        let text = "3;a=\"b;c\"\r\nabc\r\n04 \t ;x\r\ndefg\r\nA\r\n0123456789\r\n000\r\n\r\nmore";
        let (data, trailers, rest) = whole(text).unwrap().unwrap();
        assert_eq!(data, b"abcdefg0123456789");
        assert!(trailers.is_empty());
        assert_eq!(rest, b"more");
    }

    #[test]
    fn trailers_come_with_the_end() {
        let (data, trailers, rest) = whole("1\r\na\r\n0\r\nX-A: b\r\nx-a: c\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!((data, rest), (b"a".to_vec(), Vec::new()));
        let values: Vec<_> = trailers.get_all("x-a").iter().collect();
        assert_eq!(values, ["b", "c"]);
    }

    #[test]
    fn whoever_gets_the_last_piece_knows_that_it_is_the_last() {
        let mut chunks = Chunks::default();
        let mut bytes = Bytes::from_static(b"2\r\nok\r\n0\r\n\r\n");
        let piece = chunks.take(&mut bytes).unwrap();
        assert_eq!(piece, Some(Piece::Data(Bytes::from_static(b"ok"))));
        assert!(chunks.have_ended() && bytes.is_empty());
    }

    /// Chunks as somebody may write them.
    fn chunks() -> impl Strategy<Value = Vec<u8>> {
        let chunk = (
            prop::collection::vec(any::<u8>(), 1..40),
            "(;[a-z=\" ]{0,9})?",
        );
        let trailers = prop::collection::vec(("[a-zA-Z-]{1,9}", "[ -~]{0,9}"), 0..4);
        (prop::collection::vec(chunk, 0..6), trailers).prop_map(|(chunks, trailers)| {
            let mut bytes = Vec::new();
            for (data, extension) in chunks {
                bytes.extend(format!("{:X}{extension}\r\n", data.len()).into_bytes());
                bytes.extend(data);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n");
            for (name, value) in trailers {
                bytes.extend(format!("{name}: {value}\r\n").into_bytes());
            }
            bytes.extend(b"\r\n");
            bytes
        })
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_how_they_come(
            mut bytes in chunks(),
            lengths in prop::collection::vec(1_usize..9, 1..9),
            changed in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let good = changed.is_none();
            if let Some((place, byte)) = changed {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let at_once = read(&bytes, &[bytes.len()]);
            prop_assert_eq!(&read(&bytes, &lengths), &at_once);
            prop_assert_eq!(&read(&bytes, &[1]), &at_once);
            prop_assert!(!good || matches!(at_once, Ok(Some(_))));
        }
    }
}
