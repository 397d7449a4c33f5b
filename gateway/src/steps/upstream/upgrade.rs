//! A request that asks for another protocol, on a connection of its own.

use std::{future::poll_fn, pin::pin, rc::Rc};

use http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{sync::oneshot, task};

use super::{Sent, broken, other::unreachable};
use crate::{
    message::{answer::Answer, body::RequestBody, websocket},
    net::{
        backend::Backend,
        pool::{Lease, Place, READ_AT_ONCE},
        tunnel::Tunnel,
    },
};

/// Sends the request. Where the upstream changes the protocol, what is left of its connection is
/// found at the watch once its answer has come.
pub(super) async fn send(backend: &Backend, request: Request<RequestBody>) -> Sent {
    let watch = Rc::clone(request.body().watch());
    let Some(address) = backend.pick() else {
        return Err(Answer::bad_upstream("it has no address"));
    };
    let (io, line) = backend.open_alone(address).await.map_err(unreachable)?;
    let (sender, mut connection) = http1::Builder::new()
        .max_buf_size(READ_AT_ONCE)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| broken(&error))?;
    let (left, leaves) = oneshot::channel();
    task::spawn_local(async move {
        match poll_fn(|cx| connection.poll_without_shutdown(cx)).await {
            Ok(()) => {
                let parts = connection.into_parts();
                // Nobody waits for it where the protocol stayed what it was.
                let _ = left.send(Tunnel::new(parts.io.into_inner(), parts.read_buf));
            }
            Err(error) => tracing::debug!(%error, "a connection to the upstream ended"),
        }
    });
    let mut lease = Lease::new(sender, line);
    let sending = pin!(lease.start(request));
    let response = lease
        .answer(sending)
        .await
        .map_err(|error| broken(error.error()))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if !websocket::is_named(response.headers()) {
            let detail = "it changed to another protocol than it was asked for";
            return Err(Answer::bad_upstream(detail).closing());
        }
        let Ok(tunnel) = leaves.await else {
            return Err(Answer::bad_upstream("the connection broke before it was used").closing());
        };
        watch.set_tunnel(tunnel);
    }
    Ok((response, Place::Http1(lease)))
}
