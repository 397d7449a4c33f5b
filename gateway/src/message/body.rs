//! Bodies: streamed in both directions, never collected.

use std::{
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tower_obo::Principal;

mod ahead;
mod request;

use self::ahead::Ahead;
pub(crate) use self::request::{RequestBody, UploadError};
use crate::{
    message::trailers,
    net::{
        incoming::{Incoming, IncomingError, Piece},
        pool::Place,
        watch::{Phase, Watch},
    },
    record::Record,
    steps::limit::Permit,
};

/// A response's body on its way to the client.
///
/// As long as it lives, its connection's [`Watch`] counts the request as running, and so do those of its
/// client's address. For the limits of requests at once of all it runs until the upstream has nothing more
/// to say and all but a little of that is on its way: a client that does not read has no part of what the
/// others are served with.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    kind: Kind,
    watch: Option<Rc<Watch>>,
    permit: Option<Permit>,
}

/// Whether a stream goes on after the caller's token has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenEnds {
    TheStream,
    Nothing,
}

enum Kind {
    /// Our own.
    Whole(Bytes),
    /// The upstream's, with the connection it comes from until it has ended.
    Upstream {
        incoming: Incoming,
        place: Option<Place>,
        ahead: Ahead,
        /// The answer broke off, and what came before that is still being written.
        broken: Option<AnswerError>,
        /// That of its request, as the watch numbers them.
        upload: u32,
        /// What may stand in its trailers, and what they must not repeat.
        rules: Option<Box<trailers::Rules>>,
        token_ends: TokenEnds,
    },
}

/// What an upstream says next; `None` is the end.
type Next = Option<Piece>;

/// The longest end of an answer, in bytes, that may wait for its client while the request counts as
/// over. No more than what else is kept of a stream.
const MOST_UNREAD: usize = 4 * 1024;

/// Why an answer did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error(transparent)]
    Broken(#[from] IncomingError),
    /// For no error (RFC 9113 §8.1), which is an end to hyper. It must not be passed on as the reason:
    /// to a client it would be the end of a whole answer.
    #[error("the upstream reset the stream in the middle of its answer")]
    Reset,
}

impl ResponseBody {
    pub(crate) const fn whole(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Whole(bytes),
            watch: None,
            permit: None,
        }
    }

    /// The upstream's body. `watch` knows whether the request was sent to its end, without which
    /// the connection is not used again.
    pub(crate) fn upstream(
        incoming: Incoming,
        place: Place,
        watch: Rc<Watch>,
        rules: trailers::Rules,
        token_ends: TokenEnds,
    ) -> Self {
        let ended = incoming.is_end_stream();
        // In HTTP/1 a body of known length has no trailers.
        let may_have_trailers =
            matches!(place, Place::Http2(_)) || incoming.size_hint().exact().is_none();
        let rules = (may_have_trailers && !rules.are_common()).then(|| Box::new(rules));
        let mut body = Self {
            kind: Kind::Upstream {
                incoming,
                place: Some(place),
                ahead: Ahead::default(),
                broken: None,
                upload: watch.upload(),
                rules,
                token_ends,
            },
            watch: Some(watch),
            permit: None,
        };
        if ended {
            body.end();
        }
        body
    }

    /// The caller's token is good for that long; `None`: none was asked for.
    ///
    /// A stream ends then: whoever has been locked out should not go on listening. A body of known
    /// length is a document that was asked for in time.
    /// Whoever is cut off meanwhile does not go on either, whatever the route says of the token.
    pub(crate) fn end_with_token(
        &self,
        caller: Option<&Principal>,
        left: impl FnOnce() -> Option<Duration>,
    ) {
        let Kind::Upstream {
            incoming,
            token_ends,
            ..
        } = &self.kind
        else {
            return;
        };
        if let Some(watch) = &self.watch {
            let streams = incoming.size_hint().exact().is_none();
            if streams && *token_ends == TokenEnds::TheStream {
                watch.end_after(left());
            } else if watch.is_uploaded() {
                // What is still sent has an end of its own.
                watch.end_after(None);
            }
            if streams {
                watch.streams_for(caller);
            }
        }
    }

    /// Writes something down about the request of the upstream's answer, where anything is.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Record)) {
        if let Some(watch) = &self.watch {
            watch.note(note);
        }
    }

    /// Ties the request's end to this body's.
    pub(crate) fn hold(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// Gives back what [`hold`](Self::hold) was given.
    pub(crate) const fn take_permit(&mut self) -> Option<Permit> {
        self.permit.take()
    }

    /// Lets this body tell `watch` when it begins and ends.
    pub(crate) fn watch(&mut self, watch: Rc<Watch>) {
        watch.enter(Phase::Streaming);
        let has_ended = match &self.kind {
            Kind::Whole(_) => {
                watch.set_brief();
                true
            }
            Kind::Upstream { place, .. } => place.is_none(),
        };
        self.watch = Some(watch);
        if has_ended {
            self.release();
        }
    }

    /// Whether nothing, or no more than a little, is between the head and the end.
    pub(crate) fn ends_at_once(&self) -> bool {
        match &self.kind {
            Kind::Whole(_) => true,
            Kind::Upstream { incoming, .. } => {
                let length = incoming.size_hint().exact();
                length.is_some_and(|length| length <= MOST_UNREAD as u64)
            }
        }
    }

    /// The request is over for the limits of requests at once.
    fn release(&mut self) {
        if let Some(permit) = &mut self.permit {
            permit.end();
        }
        if let Some(watch) = &self.watch {
            watch.release();
        }
    }

    /// Whether the upstream has more to say, behind a piece of `length` bytes. An end that comes by itself (a
    /// last chunk, an empty frame, trailers), or behind other short pieces, would be seen only when the client
    /// has read what came before it.
    fn look_ahead(&mut self, length: usize, cx: &mut Context<'_>) {
        let Kind::Upstream {
            incoming,
            place,
            ahead,
            ..
        } = &mut self.kind
        else {
            return;
        };
        let ends = ahead.look(MOST_UNREAD.saturating_sub(length), || {
            match incoming.poll_frame(place.as_mut(), cx) {
                Poll::Ready(None) => Some((None, !is_cut(incoming, place.as_ref()))),
                Poll::Ready(next) => Some((next, incoming.is_end_stream())),
                Poll::Pending => None,
            }
        });
        if ends {
            self.end();
            self.release();
        }
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let this = self;
        let (incoming, place, ahead, broken, rules) = match &mut this.kind {
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                if let Some(watch) = &this.watch {
                    watch.note(|record| record.sent += bytes.len() as u64);
                }
                return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
            }
            Kind::Upstream {
                incoming,
                place,
                ahead,
                broken,
                rules,
                ..
            } => (incoming, place, ahead, broken, rules),
        };
        if let Some(error) = broken.take() {
            if let Some(watch) = &this.watch {
                watch.set_cut();
            }
            return Poll::Ready(Some(Err(error)));
        }
        let next = match ahead.take() {
            Some(next) => next,
            None => ready!(incoming.poll_frame(place.as_mut(), cx)),
        };
        match next {
            Some(Ok(frame)) if frame.is_data() => {
                let ended = incoming.is_end_stream();
                let length = frame.data_ref().map_or(0, Bytes::len);
                if let Some(watch) = &this.watch {
                    watch.touch();
                    watch.note(|record| record.sent += length as u64);
                }
                let is_short = length <= MOST_UNREAD;
                if ended && ahead.is_empty() {
                    this.end();
                    if is_short {
                        this.release();
                    }
                } else if is_short && ahead.is_empty() {
                    this.look_ahead(length, cx);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                // hyper closes the connection at once, so what came with the end of this one is
                // written first.
                *broken = Some(error.into());
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None if is_cut(incoming, place.as_ref()) => {
                *broken = Some(AnswerError::Reset);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    trailers::clean(trailers, rules.as_deref());
                }
                this.end();
                this.release();
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                this.end();
                this.release();
                Poll::Ready(None)
            }
        }
    }

    fn end(&mut self) {
        let Kind::Upstream { place, upload, .. } = &mut self.kind else {
            return;
        };
        let Some(watch) = &self.watch else {
            return;
        };
        if watch.is_uploaded() {
            if let Some(Place::Http1(lease)) = place.take() {
                lease.give_back();
            }
        } else {
            // The rest of the request is not wanted. It would go on by itself, and outlive all limits.
            *place = None;
            watch.end_upload(*upload);
        }
    }
}

/// Whether a body that has come to its end broke off there.
fn is_cut(incoming: &Incoming, place: Option<&Place>) -> bool {
    matches!(place, Some(Place::Http2(_))) && !incoming.is_end_stream()
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::whole(bytes)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let polled = self.poll_next(cx);
        if let Some(watch) = &self.watch {
            // Until it is asked for more, the client has not made room for this.
            watch.set_unread(matches!(polled, Poll::Ready(Some(Ok(_)))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Upstream {
                incoming,
                place,
                ahead,
                broken,
                ..
            } => {
                let is_over = place.is_none() || incoming.is_end_stream();
                is_over && broken.is_none() && ahead.is_over()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(0)),
            Kind::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let Some(watch) = &self.watch else {
            return;
        };
        // An answer that is not wanted, or not as it came.
        if let Kind::Upstream {
            place: Some(_),
            upload,
            ..
        } = &self.kind
            && !watch.is_uploaded()
        {
            watch.end_upload(*upload);
        }
        if watch.phase() == Phase::Streaming {
            let whole = match &self.kind {
                Kind::Whole(bytes) => bytes.is_empty(),
                Kind::Upstream {
                    place,
                    broken,
                    ahead,
                    ..
                } => place.is_none() && broken.is_none() && ahead.is_over(),
            };
            watch.note(|record| record.whole = whole);
            watch.end();
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Upstream { .. } => "Upstream",
        })
    }
}
