//! One client connection, from its first byte to its last.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::{
    message::{
        body::ResponseBody,
        exchange::{Client, Exchange, Has},
    },
    net::{io::ClientIo, watch::Watch},
};

/// Serves one connection until it ends by itself, is overdue, or is drained.
pub(crate) async fn serve<S>(
    builder: Rc<http1::Builder>,
    stream: TcpStream,
    peer: SocketAddr,
    watch: Rc<Watch>,
    stack: S,
) where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Infallible>,
{
    let front = Front {
        client: Rc::new(Client::new(peer, Rc::clone(&watch))),
        stack: RefCell::new(stack),
    };
    let io = TokioIo::new(ClientIo::new(stream, Rc::clone(&watch)));
    let mut connection = pin!(builder.serve_connection(io, front));
    let mut told_to_drain = false;
    std::future::poll_fn(|cx| {
        let orders = watch.poll_orders(cx);
        if orders.close {
            return Poll::Ready(());
        }
        if orders.drain && !told_to_drain {
            told_to_drain = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Err(error) = ready!(connection.as_mut().poll(cx)) {
            tracing::debug!(%error, "a client connection ended");
        }
        Poll::Ready(())
    })
    .await;
}

/// hyper's view of the stack.
struct Front<S> {
    client: Rc<Client>,
    /// hyper calls by shared reference, and one request at a time.
    stack: RefCell<S>,
}

impl<S> hyper::service::Service<Request<Incoming>> for Front<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Infallible>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = FrontFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let watch = &self.client.watch;
        watch.begin(!request.body().is_end_stream());
        let exchange = Exchange {
            request: request.map(Some),
            client: Rc::clone(&self.client),
            id: HeaderValue::from_static(""),
            has: Has::default(),
            route: None,
        };
        FrontFuture {
            inner: self.stack.borrow_mut().call(exchange),
            watch: Rc::clone(watch),
        }
    }
}

pin_project! {
    /// Lets the answer's body tell the connection's watch when it has ended.
    struct FrontFuture<F> {
        #[pin]
        inner: F,
        watch: Rc<Watch>,
    }
}

impl<F> Future for FrontFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, Infallible>>,
{
    type Output = Result<Response<ResponseBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.inner.poll(cx));
        response.body_mut().watch(Rc::clone(this.watch));
        Poll::Ready(Ok(response))
    }
}
