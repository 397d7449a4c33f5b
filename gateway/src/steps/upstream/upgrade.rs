//! A request that asks for another protocol, on a connection of its own.

use std::rc::Rc;

use http::{Request, StatusCode};

use super::{Sent, broken, other::unreachable};
use crate::{
    message::{answer::Answer, body::RequestBody, hop::Hop, websocket},
    net::{backend::Backend, http1::Lease, incoming::Incoming, pool::Place, tunnel::Tunnel},
};

/// Sends the request. Where the upstream changes the protocol, what is left of its connection is
/// found at the watch once its answer has come.
pub(super) async fn send(backend: &Backend, request: Request<RequestBody>, hop: Hop<'_>) -> Sent {
    let watch = Rc::clone(request.body().watch());
    let Some(address) = backend.pick() else {
        return Err(Answer::bad_upstream("it has no address"));
    };
    let (io, line) = backend.open_alone(address).await.map_err(unreachable)?;
    let mut lease = Lease::new(io, line);
    let response = lease
        .send(&mut Some(request), hop)
        .await
        .map_err(|error| broken(&error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok((response.map(Incoming::Http1), Place::Http1(lease)));
    }
    if !websocket::is_named(response.headers()) {
        let detail = "it changed to another protocol than it was asked for";
        return Err(Answer::bad_upstream(detail).closing());
    }
    let Some((io, early)) = lease.into_parts() else {
        return Err(Answer::bad_upstream(
            "it changed the protocol in the middle of the request",
        ));
    };
    watch.set_tunnel(Tunnel::new(io, early));
    Ok((response.map(Incoming::Http1), Place::Tunnel))
}
