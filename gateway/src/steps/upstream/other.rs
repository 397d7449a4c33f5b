//! A request for which no HTTP/1 connection waits: it goes out on a new one, or over HTTP/2.

use http::{
    Request, Version,
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
    uri::Uri,
};

use super::{Sent, again, broken};
use crate::{
    message::{answer::Answer, body::RequestBody, hop::Hop},
    net::{
        backend::{Address, Backend},
        incoming::Incoming,
        pool::{ConnectError, Place},
    },
};

/// How often a request that was not sent is tried on another connection. Where the upstream takes
/// connections and closes them at once, that has to end.
const TRIES: u32 = 3;

/// `repeated`: it has gone out once already, perhaps, and does so only once more.
pub(super) async fn send(
    backend: &Backend,
    address: &Address,
    mut request: Request<RequestBody>,
    hop: Hop<'_>,
    mut repeated: bool,
) -> Sent {
    let mut tries = 0;
    loop {
        tries += 1;
        let stream = match backend.open(address).await.map_err(unreachable)? {
            Place::Http1(mut lease) => {
                if request.version() == Version::HTTP_2 {
                    return Err(Answer::bad_upstream("it does not speak HTTP/2 any more"));
                }
                return match lease.send(&mut Some(request), hop).await {
                    Ok(response) => Ok((response.map(Incoming::Http1), Place::Http1(lease))),
                    Err(error) => Err(broken(&error)),
                };
            }
            Place::Http2(stream) => stream,
            Place::Tunnel => return Err(Answer::bad_upstream("its protocol has changed")),
        };
        speak_http2(&mut request, backend, hop)?;
        let copy = if repeated {
            None
        } else {
            again::copy(Some(&request))
        };
        let mut error = match stream.sender().try_send_request(request).await {
            Ok(response) => {
                stream.set_answered();
                return Ok((response.map(Incoming::Http2), Place::Http2(stream)));
            }
            Err(error) => error,
        };
        request = match (error.take_message(), copy) {
            (Some(unsent), _) if tries < TRIES => unsent,
            (None, Some(copy)) if again::came_to_nothing(error.error()) => {
                repeated = true;
                *copy
            }
            _ => return Err(broken_stream(error.error())),
        };
    }
}

/// The stream or its connection broke.
fn broken_stream(error: &hyper::Error) -> Answer {
    if again::is_of_the_body(error) {
        return Answer::bad_framing("the request's body broke off or is malformed");
    }
    tracing::debug!(%error, "a request to the upstream failed");
    Answer::bad_upstream("the connection broke before an answer came")
}

pub(super) fn unreachable(error: ConnectError) -> Answer {
    match error {
        ConnectError::TimedOut => Answer::silent_upstream("connecting took too long"),
        ConnectError::Failed => Answer::bad_upstream("no connection could be made"),
        ConnectError::OnlyHttp2 => {
            Answer::bad_upstream("it speaks HTTP/2 only, in which no WebSocket is opened")
        }
    }
}

/// Says the HTTP/2 way what the steps have said as HTTP/1 does.
fn speak_http2(
    request: &mut Request<RequestBody>,
    backend: &Backend,
    hop: Hop<'_>,
) -> Result<(), Answer> {
    if request.version() == Version::HTTP_2 {
        return Ok(());
    }
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    if let Some((scheme, authority)) = backend.origin() {
        target.scheme = Some(scheme);
        target.authority = Some(authority);
    }
    *request.uri_mut() =
        Uri::from_parts(target).map_err(|_| Answer::bad_request("the target is no path"))?;
    let headers = request.headers_mut();
    // Of a connection, or told by the target: `TE` stays.
    for name in [CONNECTION, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let asked = headers.remove(HOST);
    hop.insert_way(headers, asked);
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}
