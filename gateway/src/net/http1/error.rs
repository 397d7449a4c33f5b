//! Why there is no answer, or not all of it.

use std::io;

use crate::message::body::UploadError;

/// What went wrong on a connection. Nothing of what was sent is repeated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing has been written: the request may go out elsewhere.
    #[error("the upstream had closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the connection ended before the answer did")]
    Incomplete,
    #[error("the answer's head is none of HTTP/1: {0}")]
    Head(#[from] httparse::Error),
    #[error(
        "the answer's head has more than {} bytes or {} fields",
        super::READ_AT_ONCE,
        super::MOST_FIELDS
    )]
    HeadTooLarge,
    #[error("the answer's framing is ambiguous")]
    Ambiguous,
    #[error("the answer's chunks are malformed: {0}")]
    Chunks(&'static str),
    /// Boxed, since it is rare and large.
    #[error("the request was not sent to its end: {0}")]
    Upload(#[source] Box<UploadError>),
    #[error("the request's body is not as long as was said")]
    Length,
}

impl Error {
    /// Whether it was the request's body that failed.
    pub(crate) const fn is_of_the_request(&self) -> bool {
        matches!(self, Self::Upload(_) | Self::Length)
    }
}

impl From<UploadError> for Error {
    fn from(error: UploadError) -> Self {
        Self::Upload(Box::new(error))
    }
}
