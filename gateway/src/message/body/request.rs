//! A request's body on its way to the upstream.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderValue;
use hyper::body::{Body, Frame, SizeHint};

use crate::{
    message::{trailers, upload::Upload},
    net::watch::Watch,
};

/// A request's body on its way to the upstream. Of its trailers those pass that were announced and may.
#[derive(Debug)]
pub(crate) struct RequestBody {
    content: Content,
    watch: Rc<Watch>,
    /// As the watch numbers them: over HTTP/1 it is that of the next request too.
    upload: u32,
}

#[derive(Debug)]
enum Content {
    Plain(Upload),
    /// With trailers that may pass, as `Trailer` tells the upstream. Boxed, since it is rare.
    Trailing(Box<(Upload, HeaderValue)>),
}

impl RequestBody {
    pub(crate) fn new(upload: Upload, watch: Rc<Watch>) -> Self {
        Self {
            content: Content::Plain(upload),
            upload: watch.upload(),
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

    /// Nothing more is wanted of it: from here on it is the upstream that is waited for.
    pub(crate) fn is_not_waited_for(&self) {
        self.watch.set_uploading(false);
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
    // Both say the same to an upstream over HTTP/2.
    #[error("the client took the request back")]
    TakenBack(#[source] h2::Error),
    #[error("the answer has ended before the request")]
    Unwanted(#[source] h2::Error),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = &mut *self;
        // First of all: what follows is written into the record of the request that runs.
        if !this.watch.may_upload(this.upload) {
            let unwanted = UploadError::Unwanted(h2::Reason::CANCEL.into());
            return Poll::Ready(Some(Err(unwanted)));
        }
        let (upload, announced) = match &mut this.content {
            Content::Plain(upload) => (upload, None),
            Content::Trailing(trailing) => (&mut trailing.0, Some(&trailing.1)),
        };
        // What goes out again has been counted.
        let is_new = upload.is_new();
        let polled = Pin::new(&mut *upload).poll_frame(cx);
        this.watch.set_uploading(polled.is_pending());
        if polled.is_pending() {
            this.watch.uploader_waits(cx);
        }
        match ready!(polled) {
            Some(Ok(frame)) if frame.is_data() => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.watch.moved(bytes);
                if is_new {
                    this.watch.note(|record| record.received += bytes as u64);
                    if !this.watch.takes(bytes) {
                        return Poll::Ready(Some(Err(UploadError::TooLarge)));
                    }
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
            None if upload.is_cut() => {
                let taken_back = UploadError::TakenBack(h2::Reason::CANCEL.into());
                Poll::Ready(Some(Err(taken_back)))
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
