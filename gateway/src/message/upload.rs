//! Where a request's body comes from: the client, or what was kept of it.

use std::{
    cell::RefCell,
    fmt, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::room::{Place, Room};

/// The largest body that is kept while it is sent, in case its request has to go out again. Most
/// calls of an API stay far below it.
const MOST_KEPT: u64 = 64 * 1024;

/// A request's body.
pub(crate) enum Upload {
    /// As it comes from the client.
    Streamed(Incoming),
    /// The same over HTTP/2.
    Multiplexed(Incoming),
    /// Either, and kept. Boxed, since it is rare.
    Kept(Box<(Upload, Rc<KeptBody>)>),
    /// What was kept, or nothing.
    Whole(Bytes),
}

impl Upload {
    /// Keeps from now on what comes, so that it can be sent again. `None` where the length is not
    /// known or too large, or too much is kept already.
    pub(crate) fn keep(&mut self, room: &Room) -> Option<Rc<KeptBody>> {
        let length = self.size_hint().exact();
        let length = usize::try_from(length.filter(|length| *length <= MOST_KEPT)?).ok()?;
        match mem::take(self) {
            streamed @ (Self::Streamed(_) | Self::Multiplexed(_)) => {
                let Some(place) = room.take(length) else {
                    *self = streamed;
                    return None;
                };
                let kept = Rc::new(KeptBody(RefCell::new(Some(BodyCopy {
                    bytes: Vec::new(),
                    place,
                }))));
                *self = Self::Kept(Box::new((streamed, Rc::clone(&kept))));
                Some(kept)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// Whether it comes from the client, for the first time.
    pub(crate) const fn is_new(&self) -> bool {
        !matches!(self, Self::Whole(_))
    }

    /// Whether a body that has come to its end broke off there. A stream that is reset for no error
    /// (RFC 9113 §8.1) is an end to hyper, though it is one in the middle.
    pub(crate) fn is_cut(&self) -> bool {
        match self {
            Self::Multiplexed(incoming) => !incoming.is_end_stream(),
            Self::Kept(both) => both.0.is_cut(),
            Self::Streamed(_) | Self::Whole(_) => false,
        }
    }
}

impl Default for Upload {
    /// No body.
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Streamed(incoming) | Self::Multiplexed(incoming) => {
                Pin::new(incoming).poll_frame(cx)
            }
            Self::Kept(both) => {
                let (streamed, kept) = &mut **both;
                let frame = ready!(Pin::new(streamed).poll_frame(cx));
                if let Some(Ok(frame)) = &frame
                    && let Some(data) = frame.data_ref()
                {
                    kept.add(data);
                }
                Poll::Ready(frame)
            }
            Self::Whole(bytes) => {
                let bytes = mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streamed(incoming) | Self::Multiplexed(incoming) => incoming.is_end_stream(),
            Self::Kept(both) => both.0.is_end_stream(),
            Self::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streamed(incoming) | Self::Multiplexed(incoming) => incoming.size_hint(),
            Self::Kept(both) => both.0.size_hint(),
            Self::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(0)),
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Streamed(_) => "Streamed",
            Self::Multiplexed(_) => "Multiplexed",
            Self::Kept(_) => "Kept",
            Self::Whole(_) => "Whole",
        })
    }
}

/// What has come of a body; `None` once that has been taken.
pub(crate) struct KeptBody(RefCell<Option<BodyCopy>>);

/// A copy, and the room for all of it, until the last of its bytes has been sent.
struct BodyCopy {
    bytes: Vec<u8>,
    place: Place,
}

impl KeptBody {
    fn add(&self, data: &[u8]) {
        if let Some(copy) = &mut *self.0.borrow_mut() {
            // All at once: a vector that grows by itself may take twice its room.
            let missing = copy.place.bytes().saturating_sub(copy.bytes.len());
            copy.bytes.reserve_exact(missing);
            copy.bytes.extend_from_slice(data);
        }
    }

    /// Whether all of it has come.
    pub(crate) fn is_whole(&self) -> bool {
        let copy = self.0.borrow();
        copy.as_ref()
            .is_some_and(|copy| copy.bytes.len() == copy.place.bytes())
    }

    /// Takes what has come.
    pub(crate) fn take(&self) -> Bytes {
        self.0.take().map_or_else(Bytes::new, Bytes::from_owner)
    }
}

impl AsRef<[u8]> for BodyCopy {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
