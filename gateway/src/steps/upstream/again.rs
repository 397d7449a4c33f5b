//! Which requests may go out twice, and after what.
//!
//! Only one that is idempotent and has no body (RFC 9110 §9.2.2): anything else might be done twice,
//! or its body is gone. And only once, after a failure that says that no answer has begun.

use std::error::Error as _;

use http::Request;
use hyper::body::Body as _;

use crate::message::body::RequestBody;

/// A copy to be sent if the first is lost; `None` for a request that must not be sent twice.
///
/// Boxed, since hardly a request needs one and each has room for it.
pub(super) fn copy(request: Option<&Request<RequestBody>>) -> Option<Box<Request<RequestBody>>> {
    let request = request?;
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(request.body().without_content());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(Box::new(copy))
}

/// Whether the upstream says, or the end of the connection shows, that nothing became of a request
/// over HTTP/2: refused (RFC 9113 §8.7), later than the last one that it will do (§6.8), or on a
/// connection that broke.
pub(super) fn came_to_nothing(error: &hyper::Error) -> bool {
    match h2(error) {
        Some(h2) => {
            let refused = h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            h2.is_remote() && (h2.is_go_away() || h2.is_reset() && refused) || h2.is_io()
        }
        // hyper shows an end of the connection as what the socket said.
        None => error
            .source()
            .is_some_and(|source| source.is::<std::io::Error>()),
    }
}

/// Whether it was the request's body that failed, over HTTP/2: the stream has then been reset by us.
pub(super) fn is_of_the_body(error: &hyper::Error) -> bool {
    h2(error).is_some_and(|h2| h2.is_reset() && !h2.is_remote())
}

fn h2(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}
