//! The head of an answer (RFC 9112 §4 to §6), and where what follows it ends.

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::{Error, MOST_FIELDS, READ_AT_ONCE};

/// A head, apart from what is of the connection alone.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// Whether another request may follow.
    pub(super) keep_alive: bool,
}

/// Where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    Chunked,
    /// With the connection.
    Close,
    /// There is none, and no more HTTP either.
    Upgrade,
}

/// Reads a head from the beginning of `bytes`, of which it takes it. `None` where it has not come to its end
/// yet; `bytes` may be less then all the same, by answers in front of the answer (100 to 199 but 101), which
/// end here.
///
/// `headers` is empty, and lends its room.
///
/// # Errors
///
/// What comes is no answer, or another reader could see its end in another place.
pub(super) fn take(
    bytes: &mut Bytes,
    is_head: bool,
    headers: &mut HeaderMap,
) -> Result<Option<AnswerHead>, Error> {
    loop {
        if bytes.is_empty() {
            return Ok(None);
        }
        let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut answer = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut answer, bytes, &mut fields)
            .map_err(|error| match error {
                httparse::Error::TooManyHeaders => Error::HeadTooLarge,
                other => other.into(),
            })?;
        let httparse::Status::Complete(length) = parsed else {
            return Ok(None);
        };
        if length > READ_AT_ONCE {
            return Err(Error::HeadTooLarge);
        }
        let status = answer.code.map(StatusCode::from_u16);
        let Some(Ok(status)) = status else {
            return Err(Error::Head(httparse::Error::Status));
        };
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            bytes.advance(length);
            continue;
        }
        let is_old = answer.version == Some(0);
        let mut seen = Seen::default();
        let mut headers = std::mem::take(headers);
        headers.reserve(answer.headers.len());
        for field in &*answer.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes())
                .map_err(|_| httparse::Error::HeaderName)?;
            let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value))
                .map_err(|_| httparse::Error::HeaderValue)?;
            seen.see(&name, &value)?;
            headers
                .try_append(name, value)
                .map_err(|_| Error::HeadTooLarge)?;
        }
        let framing = seen.framing(status, is_head, is_old)?;
        bytes.advance(length);
        return Ok(Some(AnswerHead {
            status,
            headers,
            framing,
            keep_alive: !is_old
                && !seen.closes
                && !matches!(framing, Framing::Close | Framing::Upgrade),
        }));
    }
}

/// What the fields say of the connection and of the body.
#[derive(Default)]
struct Seen {
    length: Option<u64>,
    chunked: bool,
    closes: bool,
}

impl Seen {
    fn see(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Error> {
        if *name == CONTENT_LENGTH {
            // Two are two, also where they are the same: another reader may count on one of them.
            if self.length.is_some() {
                return Err(Error::Ambiguous);
            }
            self.length = Some(length(value.as_bytes()).ok_or(Error::Ambiguous)?);
        } else if *name == TRANSFER_ENCODING {
            let plain = value.as_bytes().eq_ignore_ascii_case(b"chunked");
            if self.chunked || !plain {
                return Err(Error::Ambiguous);
            }
            self.chunked = true;
        } else if *name == CONNECTION {
            let mut options = value.as_bytes().split(|byte| *byte == b',');
            self.closes |= options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
        Ok(())
    }

    /// RFC 9112 §6.3.
    fn framing(&self, status: StatusCode, is_head: bool, is_old: bool) -> Result<Framing, Error> {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Framing::Upgrade);
        }
        // There are no chunks in HTTP/1.0.
        if self.chunked && (self.length.is_some() || is_old) {
            return Err(Error::Ambiguous);
        }
        let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if is_head || has_none {
            return Ok(Framing::Length(0));
        }
        if self.chunked {
            return Ok(Framing::Chunked);
        }
        Ok(self.length.map_or(Framing::Close, Framing::Length))
    }
}

/// One number, not a list of equal ones (RFC 9110 §8.6), and not more than anybody can count to.
fn length(text: &[u8]) -> Option<u64> {
    if !(1..=19).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether the end of a head may be in `bytes`, of which everything before `from` has been looked at.
pub(super) fn may_end(bytes: &[u8], from: usize) -> bool {
    let bytes = bytes.get(from.saturating_sub(3)..).unwrap_or(bytes);
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<AnswerHead>, Error> {
        take(
            &mut Bytes::copy_from_slice(text.as_bytes()),
            false,
            &mut HeaderMap::new(),
        )
    }

    fn framing(text: &str) -> Option<Framing> {
        Some(read(text).ok()??.framing)
    }

    #[test]
    fn h1_14_where_a_body_ends_is_told_in_one_way_or_not_at_all() {
        let good = |lines: &str| framing(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
        assert_eq!(good("content-length: 3\r\n"), Some(Framing::Length(3)));
        assert_eq!(good("Content-Length: 03\r\n"), Some(Framing::Length(3)));
        assert_eq!(
            good("transfer-encoding: Chunked\r\n"),
            Some(Framing::Chunked)
        );
        assert_eq!(good(""), Some(Framing::Close));
        for bad in [
            "content-length: 3\r\ncontent-length: 3\r\n",
            "content-length: 3\r\ncontent-length: 4\r\n",
            "content-length: 3, 3\r\n",
            "content-length: 3,\r\n",
            "content-length:\r\n",
            "content-length: +3\r\n",
            "content-length: -1\r\n",
            "content-length: 0x3\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked, gzip\r\n",
            "transfer-encoding: identity\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ] {
            for status in [200, 204, 304] {
                let text = format!("HTTP/1.1 {status} X\r\n{bad}\r\n");
                assert!(matches!(read(&text), Err(Error::Ambiguous)), "{text}");
            }
        }
        let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(matches!(read(old), Err(Error::Ambiguous)));
    }

    #[test]
    fn h1_14_what_is_no_head_is_no_answer() {
        for bad in [
            "garbage\r\n\r\n",
            "HTTP/1.1 99 X\r\n\r\n",
            "HTTP/1.1 099 X\r\n\r\n",
            "HTTP/1.1 2000 X\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx y: z\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx : z\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: z\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx\r\n\r\n",
        ] {
            assert!(matches!(read(bad), Err(Error::Head(_))), "{bad:?}");
        }
        let many = "x: y\r\n".repeat(MOST_FIELDS + 1);
        let most = "x: y\r\n".repeat(MOST_FIELDS);
        let many = read(&format!("HTTP/1.1 200 OK\r\n{many}\r\n"));
        assert!(matches!(many, Err(Error::HeadTooLarge)), "{many:?}");
        assert!(read(&format!("HTTP/1.1 200 OK\r\n{most}\r\n")).is_ok());
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(READ_AT_ONCE));
        assert!(matches!(read(&long), Err(Error::HeadTooLarge)));
    }

    #[test]
    fn answers_before_the_answer_end_here() {
        let mut bytes = Bytes::from_static(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
              HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        );
        let head = take(&mut bytes, false, &mut HeaderMap::new());
        let head = head.unwrap().unwrap();
        assert_eq!((head.status, head.headers.len()), (StatusCode::OK, 1));
        assert_eq!(bytes, "ok");
        let mut first = Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2");
        assert!(
            take(&mut first, false, &mut HeaderMap::new())
                .unwrap()
                .is_none()
        );
        assert_eq!(first, "HTTP/1.1 2");
    }

    #[test]
    fn some_answers_have_no_body_whatever_they_say() {
        for status in [204, 304] {
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 7\r\n\r\n");
            assert_eq!(framing(&text), Some(Framing::Length(0)));
        }
        let mut bytes = Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
        let head = take(&mut bytes, true, &mut HeaderMap::new());
        assert_eq!(head.unwrap().unwrap().framing, Framing::Length(0));
        let changed = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(framing(changed), Some(Framing::Upgrade));
    }

    #[test]
    fn a_connection_stays_only_where_both_sides_know_that_it_does() {
        let stays = |text: &str| read(text).unwrap().unwrap().keep_alive;
        let with = |lines: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{lines}\r\n");
        assert!(stays(&with("")));
        assert!(stays(&with("connection: x-close, keep-alive\r\n")));
        assert!(!stays(&with("connection: Close\r\n")));
        assert!(!stays(&with(
            "connection: x\r\nconnection: keep-alive , close\r\n"
        )));
        assert!(!stays(&with(
            "connection: close\r\nconnection: keep-alive\r\n"
        )));
        assert!(!stays("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!stays("HTTP/1.1 101 X\r\n\r\n"));
        let old = "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n";
        assert!(!stays(old));
    }

    #[test]
    fn the_end_of_a_head_is_looked_for_where_it_may_be() {
        for (text, from, wanted) in [
            ("a\r\n\r\nb", 0, true),
            ("a\r\n\r\nb", 4, true),
            ("a\r\n\r\n", 5, true),
            ("a\n\n", 2, true),
            ("a\r\nb", 0, false),
            ("", 0, false),
            ("a", 9, false),
        ] {
            assert_eq!(may_end(text.as_bytes(), from), wanted, "{text:?} {from}");
        }
    }
}
