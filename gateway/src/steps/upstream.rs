//! The last step: sends the request to the upstream and brings back its answer.

use std::{convert::Infallible, pin::pin, rc::Rc};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING},
};
use hyper::{body::Incoming, client::conn::TrySendError};

use crate::{
    headers,
    message::{
        answer::Answer,
        body::{RequestBody, ResponseBody},
        exchange::Exchange,
        trailers,
    },
    net::{
        pool::{ConnectError, Lease, Pool},
        watch::Late,
    },
};

/// Forwards a request. Never fails: what goes wrong is an answer.
///
/// The future passes through every step by value, so it is kept small: what is rare is boxed, and
/// no part of the request stands in it twice.
pub(crate) fn forward(
    exchange: Exchange,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> {
    let uploaded = exchange.has_no_body();
    let Exchange {
        request,
        watch,
        id,
        route,
        has,
        ..
    } = exchange;
    let injected = request.headers().get(AUTHORIZATION).cloned();
    if uploaded {
        watch.set_uploaded();
    }
    let mut request = Some(request.map(|body| RequestBody::new(body, Rc::clone(&watch))));
    async move {
        let Some(route) = route else {
            return Ok(Answer::not_found().into_response(&id));
        };
        let sending = pin!(send(&route.upstream, &mut request));
        let sent = match watch.await_answer(sending).await {
            Ok(sent) => sent,
            Err(Late::Client) => Err(Answer::body_too_slow()),
            Err(Late::Upstream) => Err(Answer::silent_upstream("no answer began in time")),
        };
        let response = sent.and_then(|(response, lease)| {
            let (mut parts, incoming) = response.into_parts();
            check(parts.status, &parts.headers)?;
            // Whoever did not say that it reads trailers is not told of any.
            let announced = has
                .te
                .then(|| trailers::announced(&parts.headers))
                .flatten();
            headers::strip_connection(&mut parts.headers);
            if let Some(announced) = announced {
                parts.headers.insert(TRAILER, announced);
            }
            if let Some(injected) = &injected {
                headers::remove_echo(&mut parts.headers, injected);
            }
            parts.version = Version::HTTP_11;
            // hyper keeps the upstream's reason phrase there; nothing may be told in the status line.
            parts.extensions.clear();
            let body = ResponseBody::upstream(incoming, lease, Rc::clone(&watch), injected);
            Ok(Response::from_parts(parts, body))
        });
        Ok(response.unwrap_or_else(|answer| answer.into_response(&id)))
    }
}

type Sent = Result<(Response<Incoming>, Lease), Answer>;

/// Sends the request on a connection that waits, or on a new one.
///
/// A connection that waited may have been closed by the upstream in the meantime. Where that shows
/// before a byte was written, hyper gives the request back and it goes out once more, on a new
/// connection; nothing that may have reached the upstream is ever sent again.
async fn send(pool: &Rc<Pool>, request: &mut Option<Request<RequestBody>>) -> Sent {
    if let Some(mut lease) = pool.take().await {
        // Awaited by reference: what is awaited by value is kept twice.
        let mut sending = pin!(start(&mut lease, request));
        if let Some(sending) = sending.as_mut().as_pin_mut() {
            match sending.await {
                Ok(response) => return Ok((response, lease)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => *request = Some(unsent),
                    None => return Err(broken(error.error())),
                },
            }
        }
    }
    let sending = request
        .take()
        .map(|request| Box::pin(send_on_new(pool, request)));
    match sending {
        Some(sending) => sending.await,
        None => Err(Answer::bad_upstream("no connection could be made")),
    }
}

/// A function of its own, so that the request goes from its slot into hyper's queue without a stop
/// in the caller's future.
fn start(
    lease: &mut Lease,
    request: &mut Option<Request<RequestBody>>,
) -> Option<
    impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>,
> {
    let request = request.take()?;
    Some(lease.connection.try_send_request(request))
}

async fn send_on_new(pool: &Rc<Pool>, request: Request<RequestBody>) -> Sent {
    let mut lease = pool.connect().await.map_err(|error| {
        tracing::warn!(upstream = %pool.upstream(), %error, "the upstream cannot be reached");
        match error {
            ConnectError::TimedOut => Answer::silent_upstream("connecting took too long"),
            ConnectError::Io(_) | ConnectError::Http(_) => {
                Answer::bad_upstream("no connection could be made")
            }
        }
    })?;
    match lease.connection.try_send_request(request).await {
        Ok(response) => Ok((response, lease)),
        Err(error) => Err(broken(error.error())),
    }
}

/// The connection broke, or what came is no answer.
fn broken(error: &hyper::Error) -> Answer {
    tracing::debug!(%error, "a request to the upstream failed");
    if error.is_user() {
        // Our side of the exchange: the client's body broke off or was malformed.
        return Answer::bad_framing("the request's body broke off or is malformed");
    }
    Answer::bad_upstream("the connection broke before an answer came")
}

/// Refuses answers whose end two readers could see in different places, and upgrades that nobody
/// asked for.
fn check(status: StatusCode, headers: &HeaderMap<HeaderValue>) -> Result<(), Answer> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(
            Answer::bad_upstream("the answer is an upgrade that nobody asked for").closing(),
        );
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(first) = codings.next() {
        let plain = first.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        if !plain || headers.contains_key(CONTENT_LENGTH) {
            return Err(Answer::bad_upstream("the answer's framing is ambiguous"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(status: u16, lines: &[(&'static str, &'static str)]) -> bool {
        let headers = lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        check(StatusCode::from_u16(status).unwrap(), &headers).is_ok()
    }

    #[test]
    fn h1_14_an_ambiguous_answer_is_no_answer() {
        assert!(passes(200, &[("transfer-encoding", "chunked")]));
        assert!(passes(200, &[("content-length", "3")]));
        assert!(!passes(
            200,
            &[("transfer-encoding", "chunked"), ("content-length", "3")]
        ));
        assert!(!passes(200, &[("transfer-encoding", "gzip, chunked")]));
        assert!(!passes(
            200,
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked")
            ]
        ));
        assert!(!passes(200, &[("transfer-encoding", "identity")]));
    }

    #[test]
    fn up_04_an_upgrade_that_nobody_asked_for_is_no_answer() {
        assert!(!passes(101, &[]));
    }
}
