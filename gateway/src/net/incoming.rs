//! The body of an upstream's answer, over either protocol.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::{
    http1::{self, AnswerBody},
    pool::Place,
};

/// What is still to come of it.
#[derive(Debug)]
pub(crate) enum Incoming {
    Http1(AnswerBody),
    Http2(hyper::body::Incoming),
}

/// Why it did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IncomingError {
    #[error(transparent)]
    Http1(#[from] http1::Error),
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

/// A piece of it.
pub(crate) type Piece = Result<Frame<Bytes>, IncomingError>;

impl Incoming {
    /// The next piece, from the connection that the answer comes from; `None` at the end.
    pub(crate) fn poll_frame(
        &mut self,
        place: Option<&mut Place>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Piece>> {
        match (self, place) {
            (Self::Http1(body), Some(Place::Http1(lease))) => {
                let polled = lease.poll_frame(body, cx);
                polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            // It has been given back.
            (Self::Http1(_), _) => Poll::Ready(None),
            (Self::Http2(body), _) => {
                let polled = Pin::new(body).poll_frame(cx);
                polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
