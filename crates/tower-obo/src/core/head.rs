//! What a decision is made on.

use std::fmt;

use http::{HeaderMap, Method, Uri, header::CONTENT_TYPE};

/// What a decision is made on: the head of a request.
///
/// Its `Debug` shows neither the query nor any header's value: tokens and codes stand there.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target.
    pub uri: &'a Uri,
    /// The headers.
    pub headers: &'a HeaderMap,
}

impl Head<'_> {
    /// Whether it is a gRPC call: `application/grpc`, with a format behind a `+` or a parameter
    /// behind a `;`. gRPC-Web is something else.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        is_grpc(self.headers)
    }
}

impl<'a, B> From<&'a http::Request<B>> for Head<'a> {
    fn from(request: &'a http::Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
        }
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", self.method)
            .field("path", &self.uri.path())
            .finish_non_exhaustive()
    }
}

/// Whether what has these headers is a gRPC call.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind.get(..GRPC.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
            && matches!(kind.get(GRPC.len()), None | Some(b'+' | b';' | b' '))
    })
}
