//! A connection that speaks HTTP/1.

use std::{cell::RefCell, convert::Infallible, pin::Pin, rc::Rc, task::Poll};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1::Builder,
};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite as _;
use tower_service::Service;

use super::{Framing, FrontFuture, Serving, exchange};
use crate::{
    config::Limits,
    message::{
        body::ResponseBody,
        exchange::{Client, Exchange, Reply},
    },
    net::{
        io::{ClientIo, Socket},
        watch::Watch,
    },
};

pub(super) fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        // The watch keeps this limit; hyper's own would count the idle time before the head too,
        // and costs a timer a request.
        .header_read_timeout(None)
        // A step of the stack judges the size; this is where reading ends. The room above the
        // limit is for targets that are longer than the whole head may be: they are told so.
        .max_buf_size(limits.head_bytes.saturating_mul(2).max(16 * 1024));
    if limits.head_fields != Limits::default().head_fields {
        // Given, hyper allocates room for them with every request.
        builder.max_headers(limits.head_fields);
    }
    builder
}

pub(super) async fn serve<T, S>(
    serving: &Serving,
    io: ClientIo<T>,
    client: Rc<Client>,
    watch: Rc<Watch>,
    stack: S,
) where
    T: Socket,
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
{
    let front = Front {
        client,
        watch: Rc::clone(&watch),
        stack: RefCell::new(stack),
    };
    let mut connection = serving.http1.serve_connection(TokioIo::new(io), front);
    let ended = std::future::poll_fn(|cx| {
        let orders = watch.poll_orders(cx);
        if orders.close {
            return Poll::Ready(false);
        }
        // At a shutdown it is not told: it would close what is idle, and a request that is on its way
        // at that moment would be lost. Answers say that they are the last, and the sweep closes what
        // stays idle.
        let polled = Pin::new(&mut connection).poll(cx);
        if let Some(refused) = watch.take_unparsed() {
            serving.counts.unparsed(&refused);
        }
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(true),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a client connection ended");
                Poll::Ready(false)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if ended {
        let parts = connection.into_parts();
        // A tunnel may last for hours, and needs nothing of the configuration that it began with.
        drop(parts.service);
        after_http(parts.io.into_inner(), parts.read_buf, &watch).await;
    } else {
        // With it goes what was left of an answer.
        drop(connection);
    }
    watch.end_record();
}

/// hyper is done with the connection.
async fn after_http<T: Socket>(mut io: ClientIo<T>, unread: Bytes, watch: &Watch) {
    if let Some(tunnel) = watch.take_tunnel() {
        io.put_back(unread);
        return Box::pin(tunnel.run(io, watch)).await;
    }
    // It closes the connection itself, but not where a request asked for another protocol, even if
    // the answer was none.
    std::future::poll_fn(|cx| {
        if watch.poll_orders(cx).close {
            return Poll::Ready(());
        }
        Pin::new(&mut io).poll_shutdown(cx).map(|_| ())
    })
    .await;
}

/// hyper's view of the stack.
struct Front<S> {
    client: Rc<Client>,
    /// One request at a time: that of the connection is that of the request.
    watch: Rc<Watch>,
    /// hyper calls by shared reference, and one request at a time.
    stack: RefCell<S>,
}

impl<S> hyper::service::Service<Request<Incoming>> for Front<S>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = FrontFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let body = request.body();
        let has_body = !body.is_end_stream();
        let framing = match (has_body, body.size_hint().exact()) {
            (false, _) => Framing::Nothing,
            (true, None) => Framing::Chunked,
            (true, Some(length)) => Framing::Length(length),
        };
        self.watch.begin(has_body);
        let exchange = exchange(request, &self.client, &self.watch);
        FrontFuture {
            inner: self.stack.borrow_mut().call(exchange),
            watch: Rc::clone(&self.watch),
            framing,
        }
    }
}
