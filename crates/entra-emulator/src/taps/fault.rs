//! What happens instead of the real answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;

/// A streamed body goes out in pieces of this size.
const PIECE: usize = 16 * 1024;

/// What happens instead of the real answer, or before it.
///
/// ```
/// # use std::time::Duration;
/// # use entra_emulator::Fault;
/// let busy = Fault::status(429).header("retry-after", "7");
/// let no_json = Fault::status(200).body("<html>");
/// let huge = Fault::status(200).streamed(64 * 1024 * 1024);
/// let slow = Fault::slow(Duration::from_secs(2));
/// let slow_and_broken = Fault::status(500).after(Duration::from_secs(2));
/// let no_http = Fault::garbage("SSH-2.0-OpenSSH_9.2\r\n");
/// let (silent, reset) = (Fault::hang(), Fault::reset());
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    pub(super) after: Duration,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Answer(Canned),
    Slow,
    Hang,
    Reset,
    Garbage(Vec<u8>),
}

/// An answer that is ready before the question.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Canned {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    streamed: u64,
}

impl Fault {
    fn new(kind: Kind) -> Self {
        let after = Duration::ZERO;
        Self { after, kind }
    }

    /// An empty answer with this status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::new(Kind::Answer(Canned {
            status,
            ..Canned::default()
        }))
    }

    /// The real answer, so much later.
    #[must_use]
    pub fn slow(by: Duration) -> Self {
        Self::new(Kind::Slow).after(by)
    }

    /// No answer, ever: the connection stays open until the client or the emulator goes.
    #[must_use]
    pub fn hang() -> Self {
        Self::new(Kind::Hang)
    }

    /// The connection is reset (TCP's RST) once the request has been read.
    #[must_use]
    pub fn reset() -> Self {
        Self::new(Kind::Reset)
    }

    /// These bytes in place of an HTTP answer, and the end of the connection.
    #[must_use]
    pub fn garbage(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::Garbage(bytes.into()))
    }

    /// Adds a header field to an answer.
    #[must_use]
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.answer(|answer| answer.headers.push((name.into(), value.into())))
    }

    /// Sets the body of an answer.
    #[must_use]
    pub fn body(self, body: impl Into<String>) -> Self {
        self.answer(|answer| answer.body = body.into())
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// Goes on after the body with so many spaces, made as the client takes them:
    /// [`Emulator::streamed`](crate::Emulator::streamed) counts. Nothing announces the length unless
    /// a header field does.
    #[must_use]
    pub fn streamed(self, bytes: u64) -> Self {
        self.answer(|answer| answer.streamed = bytes)
    }

    /// Happens only after this time.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    fn answer(mut self, change: impl FnOnce(&mut Canned)) -> Self {
        if let Kind::Answer(answer) = &mut self.kind {
            change(answer);
        }
        self
    }
}

impl Kind {
    /// In words, for people who look at what became of a request; `None` where there is an answer after all.
    pub(super) fn in_words(&self) -> Option<String> {
        Some(match self {
            Self::Slow => return None,
            Self::Answer(answer) => format!("status {}", answer.status),
            Self::Hang => "no answer at all".to_owned(),
            Self::Reset => "a reset connection".to_owned(),
            Self::Garbage(_) => "bytes that are no HTTP".to_owned(),
        })
    }
}

impl Canned {
    pub(super) fn response(self, streamed: Arc<AtomicU64>) -> Response {
        let mut response = if self.streamed > 0 {
            flood(self.body, self.streamed, streamed).into_response()
        } else {
            self.body.into_response()
        };
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if !self.headers.is_empty() {
            headers.clear();
        }
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                headers.append(name, value);
            }
        }
        response
    }
}

/// `start` and so many spaces; `count` grows by what the connection has taken of them.
fn flood(start: String, spaces: u64, count: Arc<AtomicU64>) -> Body {
    const SPACES: &[u8] = &[b' '; PIECE];
    let pieces = stream::unfold((Some(start), spaces), move |(start, left)| {
        let piece = match start {
            Some(start) => Some((Bytes::from(start), left)),
            None if left == 0 => None,
            None => {
                let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                count.fetch_add(length as u64, Ordering::Relaxed);
                Some((Bytes::from_static(&SPACES[..length]), left - length as u64))
            }
        };
        let piece =
            piece.map(|(piece, left)| (Ok::<_, std::convert::Infallible>(piece), (None, left)));
        std::future::ready(piece)
    });
    Body::from_stream(pieces)
}
