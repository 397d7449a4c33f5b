//! The last step: sends the request to the upstream and brings back its answer.

mod again;
mod check;
mod other;
#[cfg(test)]
mod tests;
mod upgrade;

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    rc::Rc,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{ALLOW, CONNECTION, CONTENT_LENGTH, TRAILER},
};
use tokio::time::Instant;

use crate::{
    headers::{self, Injected},
    message::{
        answer::Answer,
        body::{RequestBody, ResponseBody},
        exchange::{Exchange, Reply},
        hop::Hop,
        trailers, websocket,
    },
    metrics::Outcome,
    net::{backend::Backend, http1, incoming::Incoming, pool::Place, watch::Late},
    record::Work,
    route::{self, Route},
};

/// Forwards a request. Never fails: what goes wrong is an answer.
///
/// The future passes through every step by value. It is boxed, since one allocation costs less than
/// copying the request's head and hyper's state that often.
pub(crate) fn forward(
    exchange: Box<Exchange>,
) -> Pin<Box<impl Future<Output = Result<Reply, Infallible>>>> {
    let uploaded = exchange.has_no_body();
    let Exchange {
        request,
        client,
        watch,
        id,
        has,
        route,
    } = *exchange;
    let token_headers = route.as_ref().map_or(&[][..], |route| &route.token_headers);
    let injected = Injected::of(request.headers(), token_headers);
    if uploaded {
        watch.set_uploaded();
    }
    watch.set_wants_upgrade(has.upgrade);
    let announced = if has.trailer {
        request.headers().get(TRAILER).cloned()
    } else {
        None
    };
    let mut request = Some(request.map(|body| {
        let body = RequestBody::new(body, Rc::clone(&watch));
        match announced {
            Some(announced) => body.with_trailers(announced),
            None => body,
        }
    }));
    Box::pin(async move {
        let Some(route) = route else {
            return Ok(Box::new(Answer::not_found().into_response(&id)));
        };
        if has.ends_here {
            return Ok(Box::new(options(&route)));
        }
        if watch.is_out_of_time() {
            // Sent now, it would be done and nobody told.
            let answer = Answer::out_of_time().for_grpc(has.grpc);
            return Ok(Box::new(answer.into_response(&id)));
        }
        let begun = Instant::now();
        let hop = Hop {
            authority: &route.upstream.upstream().authority,
            client: &client,
            is_told: has.client,
            id: &id,
            version: has.version,
        };
        let sending = pin!(send(&route.upstream, &mut request, hop));
        let sent = match watch.await_answer(sending).await {
            // Where it is the body's size that broke it off, that is what to say.
            Ok(Err(_)) if watch.is_too_large() => Err(Answer::body_too_large()),
            Ok(sent) => sent,
            Err(Late::Client) => Err(Answer::body_too_slow()),
            Err(Late::Total) => Err(Answer::out_of_time()),
            Err(Late::Upstream) => Err(Answer::silent_upstream("no answer began in time")),
        };
        let outcome = match &sent {
            Ok((response, _)) => Outcome::Status(response.status()),
            Err(answer) => Outcome::Refused(answer.refusal().actor),
        };
        let took = begun.elapsed();
        watch.note(|record| record.add_until(Work::Upstream, begun, begun + took));
        route.upstream_figures.count(outcome, took);
        let response = sent.and_then(|(response, place)| {
            let (mut parts, incoming) = response.into_parts();
            let mut checked = check::upgrade(parts.status, watch.wants_upgrade());
            if checked.is_ok() && matches!(place, Place::Http2(_)) {
                checked = check::framing(&parts.headers);
            }
            if let Err(answer) = checked {
                // The rest of the request is not wanted. It would go on by itself.
                watch.end_upload(watch.upload());
                return Err(answer);
            }
            watch.set_served();
            // Whoever did not say that it reads trailers is not told of any.
            let announced = has
                .te
                .then(|| trailers::announced(&parts.headers, route.trailers.as_deref(), |_| true))
                .flatten();
            headers::strip_connection(&mut parts.headers);
            if let Some(announced) = announced {
                parts.headers.insert(TRAILER, announced);
            }
            injected.remove_echo(&mut parts.headers);
            if parts.status == StatusCode::NO_CONTENT {
                // RFC 9110 §8.6: there is none to be of that length.
                parts.headers.remove(CONTENT_LENGTH);
            }
            parts.version = Version::HTTP_11;
            // Nothing may be told in the status line by what an HTTP library keeps of it there.
            parts.extensions.clear();
            if watch.wants_upgrade() {
                if parts.status == StatusCode::SWITCHING_PROTOCOLS {
                    websocket::name(&mut parts.headers);
                    let nothing = ResponseBody::whole(Bytes::new());
                    return Ok(Box::new(Response::from_parts(parts, nothing)));
                }
                // What the client sent in the hope of a tunnel is no request.
                parts
                    .headers
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            let body = ResponseBody::upstream(
                incoming,
                place,
                Rc::clone(&watch),
                trailers::Rules::new(injected, route.trailers.clone()),
                route.token_ends,
            );
            Ok(Box::new(Response::from_parts(parts, body)))
        });
        Ok(
            response
                .unwrap_or_else(|answer| Box::new(answer.for_grpc(has.grpc).into_response(&id))),
        )
    })
}

/// The answer to an `OPTIONS` that goes no further.
fn options(route: &Rc<Route>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let methods = route::allow(std::slice::from_ref(route));
    response.headers_mut().insert(ALLOW, methods);
    response
}

type Sent = Result<(Response<Incoming>, Place), Answer>;

/// Sends the request on a connection that waits, or on another.
///
/// A connection that waited may have been closed by the upstream in the meantime. Where that shows
/// before a byte was written, the request is still there and goes out once more. Where it may
/// have been written, only what is harmless goes out again: see [`again`].
async fn send(backend: &Backend, request: &mut Option<Request<RequestBody>>, hop: Hop<'_>) -> Sent {
    if let Some(request) = request.take_if(|request| request.body().wants_upgrade()) {
        return Box::pin(upgrade::send(backend, request, hop)).await;
    }
    let Some(address) = backend.pick() else {
        return Err(Answer::bad_upstream("it has no address"));
    };
    let mut repeated = false;
    while let Some(mut lease) = address.pool.take() {
        // One that was in use a moment ago is not about to be closed, and the copy is not free.
        let copy = lease
            .has_waited()
            .then(|| again::copy(request.as_ref()))
            .flatten();
        let error = match lease.send(request, hop).await {
            Ok(response) => return Ok((response.map(Incoming::Http1), Place::Http1(lease))),
            Err(error) => error,
        };
        if request.is_some() {
            continue;
        }
        let copy = copy.filter(|_| !lease.has_heard() && !error.is_of_the_request());
        let Some(copy) = copy else {
            return Err(broken(&error));
        };
        *request = Some(*copy);
        repeated = true;
        break;
    }
    let sending = request
        .take()
        .map(|request| Box::pin(other::send(backend, address, request, hop, repeated)));
    match sending {
        Some(sending) => sending.await,
        None => Err(Answer::bad_upstream("no connection could be made")),
    }
}

/// The connection broke, or what came is no answer.
fn broken(error: &http1::Error) -> Answer {
    tracing::debug!(%error, "a request to the upstream failed");
    if error.is_of_the_request() {
        // Our side of the exchange: the client's body broke off or was malformed.
        return Answer::bad_framing("the request's body broke off or is malformed");
    }
    match error {
        http1::Error::Ambiguous => check::ambiguous(),
        http1::Error::HeadTooLarge => Answer::bad_upstream("the head of its answer is too large"),
        _ => Answer::bad_upstream("the connection broke before an answer came"),
    }
}
