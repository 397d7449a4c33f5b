//! A connection that speaks HTTP/2: many requests at once, each a task of its own.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    fmt,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use hyper::{
    body::{Body as _, Incoming},
    rt::Executor,
    server::conn::http2::Builder,
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::task;
use tower_service::Service;

use super::{FrontFuture, Serving, exchange, slices::Slices};
use crate::{
    config::Limits,
    message::{
        body::ResponseBody,
        exchange::{Client, Exchange},
    },
    net::{
        frames::Frames,
        io::{ClientIo, Socket},
        watch::{Phase, Watch, Watches},
    },
};

/// Requests at once on one connection.
const STREAMS: u32 = 128;

/// What a client may send ahead of the upstream's reading, for one request and for all of a
/// connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What waits in memory for a client to read, of one answer.
const SEND_BUFFER: usize = 64 * 1024;

/// How many more requests than it waited for a client may take back before its connection ends.
///
/// One taken back costs us a request to the upstream and the client a few bytes (CVE-2023-44487).
/// `h2` counts those that are taken back before they are seen here; this counts the others.
const TAKEN_BACK: u32 = 100;

/// What all HTTP/2 connections have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    head_bytes: u32,
}

impl Settings {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            head_bytes: u32::try_from(limits.head_bytes).unwrap_or(u32::MAX),
        }
    }

    /// No ping asks whether an idle client is still there: it is closed before that matters, and so
    /// is a request that stands still.
    fn builder<E>(self, executor: E) -> Builder<E> {
        let mut builder = Builder::new(executor);
        builder
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(self.head_bytes)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(100);
        builder
    }
}

pub(super) async fn serve<T, S>(
    serving: &Serving,
    mut io: ClientIo<T>,
    client: Rc<Client>,
    watch: Rc<Watch>,
    stack: S,
) where
    T: Socket,
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Infallible>,
    S::Future: 'static,
{
    let head = serving.watches.add();
    head.enter(Phase::Working);
    let writes = serving.watches.add();
    writes.enter(Phase::Working);
    io.set_http2(Frames::new(Rc::clone(&head)), Rc::clone(&writes));
    watch.enter(Phase::Idle);
    let streams = Streams(Rc::new(Shared {
        watch: Rc::clone(&watch),
        open: Cell::new(0),
        budget: Cell::new(TAKEN_BACK),
        begun: Cell::new(None),
    }));
    let front = Front {
        client,
        watches: Rc::clone(&serving.watches),
        streams: streams.clone(),
        stack: RefCell::new(stack),
    };
    let builder = serving.http2.builder(streams);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), front));
    let mut told_to_end = false;
    std::future::poll_fn(|cx| {
        loop {
            let orders = watch.poll_orders(cx);
            let mut end = orders.drain;
            if head.poll_orders(cx).close || writes.poll_orders(cx).close {
                return Poll::Ready(());
            }
            if orders.close {
                if told_to_end || watch.phase() != Phase::Idle {
                    return Poll::Ready(());
                }
                // Who has been idle hears that it ends (GOAWAY), and may finish what crosses that.
                watch.reprieve();
                end = true;
            }
            match connection.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(()),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "a client connection ended");
                    return Poll::Ready(());
                }
                Poll::Pending if end && !told_to_end => {
                    told_to_end = true;
                    connection.as_mut().graceful_shutdown();
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// hyper's view of the stack.
struct Front<S> {
    client: Rc<Client>,
    watches: Rc<Watches>,
    streams: Streams,
    /// hyper calls by shared reference, and one call at a time.
    stack: RefCell<S>,
}

impl<S> hyper::service::Service<Request<Incoming>> for Front<S>
where
    S: Service<Exchange, Response = Response<ResponseBody>, Error = Infallible>,
{
    type Response = Response<Slices>;
    type Error = Infallible;
    type Future = SlicedFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let watch = self.watches.add();
        watch.begin(!request.body().is_end_stream());
        self.streams.begin(&watch);
        let exchange = exchange(request, &self.client, &watch);
        SlicedFuture {
            inner: FrontFuture {
                inner: self.stack.borrow_mut().call(exchange),
                watch,
                chunked: false,
            },
        }
    }
}

pin_project! {
    struct SlicedFuture<F> {
        #[pin]
        inner: FrontFuture<F>,
    }
}

impl<F> Future for SlicedFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, Infallible>>,
{
    type Output = Result<Response<Slices>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Ok(response) = ready!(this.inner.as_mut().poll(cx));
        let watch = Rc::clone(&this.inner.watch);
        Poll::Ready(Ok(response.map(|body| Slices::new(body, watch))))
    }
}

/// The requests of one connection.
#[derive(Clone)]
struct Streams(Rc<Shared>);

struct Shared {
    /// The connection's.
    watch: Rc<Watch>,
    open: Cell<usize>,
    /// How many requests may still be taken back.
    budget: Cell<u32>,
    /// The request that has been seen and whose task has not begun: hyper asks for both in one breath.
    begun: Cell<Option<Stream>>,
}

impl Streams {
    fn begin(&self, request: &Rc<Watch>) {
        let shared = &self.0;
        shared.open.set(shared.open.get() + 1);
        shared.watch.enter(Phase::Working);
        shared.begun.set(Some(Stream {
            watch: Rc::clone(request),
            connection: Rc::clone(shared),
        }));
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, future: F) {
        // Without a request it would be the tunnel of a CONNECT, which is always refused.
        if let Some(stream) = self.0.begun.take() {
            task::spawn_local(StreamTask { future, stream });
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

/// One request, for as long as its task runs.
struct Stream {
    watch: Rc<Watch>,
    connection: Rc<Shared>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.open.set(connection.open.get().saturating_sub(1));
        if connection.open.get() == 0 && connection.watch.phase() == Phase::Working {
            connection.watch.enter(Phase::Idle);
        }
        let budget = connection.budget.get();
        match self.watch.phase() {
            // No answer had begun.
            Phase::Working | Phase::Awaiting if budget == 0 => connection.watch.give_up(),
            Phase::Working | Phase::Awaiting => connection.budget.set(budget - 1),
            _ => connection.budget.set((budget + 1).min(TAKEN_BACK)),
        }
    }
}

pin_project! {
    /// The task of a request. Dropping what hyper gave resets the stream where it has not ended.
    struct StreamTask<F> {
        #[pin]
        future: F,
        stream: Stream,
    }
}

impl<F: Future<Output = ()>> Future for StreamTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.watch.poll_orders(cx).close {
            return Poll::Ready(());
        }
        this.future.poll(cx)
    }
}
