//! Bodies: streamed in both directions, never collected.

use std::{
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::{
    headers::Injected,
    message::{trailers, upload::Upload},
    net::{
        pool::Place,
        watch::{Phase, Watch},
    },
    steps::limit::Permit,
};

/// A request's body on its way to the upstream. Of its trailers those pass that were announced and may.
#[derive(Debug)]
pub(crate) struct RequestBody {
    content: Content,
    watch: Rc<Watch>,
}

#[derive(Debug)]
enum Content {
    Plain(Upload),
    /// With trailers that may pass, as `Trailer` tells the upstream. Boxed, since it is rare.
    Trailing(Box<(Upload, HeaderValue)>),
}

impl RequestBody {
    pub(crate) const fn new(upload: Upload, watch: Rc<Watch>) -> Self {
        Self {
            content: Content::Plain(upload),
            watch,
        }
    }

    /// Lets pass the trailers that `announced` names.
    pub(crate) fn with_trailers(self, announced: HeaderValue) -> Self {
        let content = match self.content {
            Content::Plain(upload) => Content::Trailing(Box::new((upload, announced))),
            other @ Content::Trailing(_) => other,
        };
        Self { content, ..self }
    }

    pub(crate) const fn watch(&self) -> &Rc<Watch> {
        &self.watch
    }

    /// Whether the request asks for another protocol.
    pub(crate) fn wants_upgrade(&self) -> bool {
        self.watch.wants_upgrade()
    }

    /// The body of a copy of a request that has none.
    pub(crate) fn without_content(&self) -> Self {
        Self::new(Upload::default(), Rc::clone(&self.watch))
    }

    const fn upload(&self) -> &Upload {
        match &self.content {
            Content::Plain(upload) => upload,
            Content::Trailing(trailing) => &trailing.0,
        }
    }
}

/// Why a request's body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
    #[error("the body is larger than the route allows")]
    TooLarge,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = &mut *self;
        let (upload, announced) = match &mut this.content {
            Content::Plain(upload) => (upload, None),
            Content::Trailing(trailing) => (&mut trailing.0, Some(&trailing.1)),
        };
        // What goes out again has been counted.
        let is_new = upload.is_new();
        let polled = Pin::new(&mut *upload).poll_frame(cx);
        this.watch.set_uploading(polled.is_pending());
        match ready!(polled) {
            Some(Ok(frame)) if frame.is_data() => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if is_new && !this.watch.takes(bytes) {
                    return Poll::Ready(Some(Err(UploadError::TooLarge)));
                }
                if upload.is_end_stream() {
                    this.watch.set_uploaded();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(UploadError::Broken(error)))),
            Some(Ok(mut frame)) => {
                this.watch.set_trailers();
                this.watch.set_uploaded();
                let kept =
                    frame
                        .trailers_mut()
                        .zip(announced)
                        .is_some_and(|(trailers, announced)| {
                            trailers::keep(trailers, announced);
                            !trailers.is_empty()
                        });
                Poll::Ready(kept.then_some(Ok(frame)))
            }
            None => {
                this.watch.set_uploaded();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.upload().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.upload().size_hint()
    }
}

/// A response's body on its way to the client.
///
/// As long as it lives, the request counts as running: for the limit of requests at once, and for
/// its connection's [`Watch`].
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
        /// The answer broke off, and what came before that is still being written.
        broken: Option<hyper::Error>,
        /// The tokens that its trailers must not repeat.
        injected: Option<Box<Injected>>,
        token_ends: TokenEnds,
    },
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
        injected: Injected,
        token_ends: TokenEnds,
    ) -> Self {
        let ended = incoming.is_end_stream();
        // In HTTP/1 a body of known length has no trailers.
        let may_have_trailers =
            matches!(place, Place::Http2(_)) || incoming.size_hint().exact().is_none();
        let injected = (may_have_trailers && !injected.is_empty()).then(|| Box::new(injected));
        let mut body = Self {
            kind: Kind::Upstream {
                incoming,
                place: Some(place),
                broken: None,
                injected,
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
    pub(crate) fn end_with_token(&self, left: impl FnOnce() -> Option<Duration>) {
        let Kind::Upstream {
            incoming,
            token_ends,
            ..
        } = &self.kind
        else {
            return;
        };
        if let Some(watch) = &self.watch {
            let ends =
                *token_ends == TokenEnds::TheStream && incoming.size_hint().exact().is_none();
            watch.end_after(if ends { left() } else { None });
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
        self.watch = Some(watch);
    }

    fn end(&mut self) {
        let Kind::Upstream { place, .. } = &mut self.kind else {
            return;
        };
        let sent = self.watch.as_ref().is_some_and(|watch| watch.is_uploaded());
        match place.take() {
            Some(Place::Http1(lease)) if sent => lease.give_back(),
            // Dropped, the connection or the stream closes: the rest of the request is not wanted.
            _ => {}
        }
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::whole(bytes)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let (incoming, place, broken, injected) = match &mut this.kind {
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
            }
            Kind::Upstream {
                incoming,
                place,
                broken,
                injected,
                ..
            } => (incoming, place, broken, injected),
        };
        if let Some(error) = broken.take() {
            if let Some(watch) = &this.watch {
                watch.set_cut();
            }
            return Poll::Ready(Some(Err(error)));
        }
        let polled = match place {
            Some(Place::Http1(lease)) => lease.poll_frame(incoming, cx),
            _ => Pin::new(&mut *incoming).poll_frame(cx),
        };
        match ready!(polled) {
            Some(Ok(frame)) if frame.is_data() => {
                let ended = incoming.is_end_stream();
                if let Some(watch) = &this.watch {
                    watch.touch();
                }
                if ended {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                // hyper closes the connection at once, so what came with the end of this one is
                // written first.
                *broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    trailers::clean(trailers, injected.as_deref());
                }
                this.end();
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                this.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Upstream {
                incoming,
                place,
                broken,
                ..
            } => broken.is_none() && (place.is_none() || incoming.is_end_stream()),
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
        if let Some(watch) = &self.watch
            && watch.phase() == Phase::Streaming
        {
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
