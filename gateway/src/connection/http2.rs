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

use super::{Framing, FrontFuture, Serving, exchange, slices::Slices};
use crate::{
    config::Limits,
    message::exchange::{Client, Exchange, Reply},
    net::{
        frames::Frames,
        io::{ClientIo, Socket},
        watch::{Phase, Watch, Watches},
    },
};

/// Requests at once on one connection.
const STREAMS: u32 = 128;

/// What a client may send ahead of the upstream's reading, for one request and for all of a
/// connection: as much as all of them, so that uploads that stand still hold up no other.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;

/// What waits in memory for a client to read, of one answer.
const SEND_BUFFER: usize = 64 * 1024;

/// How many requests a client may take back soon after it has sent them, at once, and how many
/// milliseconds give it one more.
///
/// One taken back costs us a request to the upstream and the client a few bytes (CVE-2023-44487).
/// Requests that were refused do not make up for it, since they cost nothing. Of those that the upstream
/// has answered, so many do for one: a proxy with many clients behind it passes on what they take back.
/// `h2` counts those that are taken back before they are seen here; this counts the others.
const TAKEN_BACK: u32 = 100;
const ONE_MORE_EVERY: u64 = 100;
const ONE_MORE_FOR: u32 = 4;

/// Soon, in milliseconds. Whoever takes back an older request has waited in vain.
const SOON: u64 = 1_000;

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
            // A step of the stack judges the size, and says so in a document; this is where reading ends.
            .max_header_list_size(self.head_bytes.saturating_mul(2))
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
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
    S::Future: 'static,
{
    let head = serving.watches.add();
    head.enter(Phase::Working);
    let writes = serving.watches.add();
    writes.enter(Phase::Working);
    let farewell = Rc::new(Cell::new(false));
    io.set_http2(
        Frames::new(Rc::clone(&head)),
        Rc::clone(&writes),
        Rc::clone(&farewell),
    );
    watch.enter(Phase::Idle);
    let streams = Streams(Rc::new(Shared {
        watch: Rc::clone(&watch),
        watches: Rc::clone(&serving.watches),
        open: Cell::new(0),
        budget: Cell::new(TAKEN_BACK),
        budget_of: Cell::new(serving.watches.now()),
        answered: Cell::new(0),
        is_over: Cell::new(false),
        begun: Cell::new(None),
    }));
    let front = Front {
        client,
        streams: streams.clone(),
        stack: RefCell::new(stack),
    };
    let builder = serving.http2.builder(streams.clone());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), front));
    let mut told_to_end = false;
    std::future::poll_fn(|cx| {
        loop {
            let orders = watch.poll_orders(cx);
            let mut end = orders.drain;
            if head.poll_orders(cx).close || writes.poll_orders(cx).close {
                return Poll::Ready(());
            }
            if orders.close && streams.0.is_over.get() && !farewell.get() {
                farewell.set(true);
                watch.reprieve();
            } else if orders.close && writes.phase() == Phase::Streaming {
                // Answers are on their way to a client that takes its time, and `writes` has a limit of
                // its own.
                watch.reprieve();
            } else if orders.close {
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
    streams: Streams,
    /// hyper calls by shared reference, and one call at a time.
    stack: RefCell<S>,
}

impl<S> hyper::service::Service<Request<Incoming>> for Front<S>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
{
    type Response = Response<Slices>;
    type Error = Infallible;
    type Future = SlicedFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let watch = self.streams.0.watches.add();
        watch.belongs_to(&self.client);
        watch.begin(!request.body().is_end_stream());
        self.streams.begin(&watch);
        let exchange = exchange(request, &self.client, &watch);
        SlicedFuture {
            inner: FrontFuture {
                inner: self.stack.borrow_mut().call(exchange),
                watch,
                framing: Framing::Http2,
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
    F: Future<Output = Result<Reply, Infallible>>,
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
    watches: Rc<Watches>,
    open: Cell<usize>,
    /// How many requests may still be taken back, and when that was so.
    budget: Cell<u32>,
    budget_of: Cell<u64>,
    /// How many requests have been answered since the last that gave one more.
    answered: Cell<u32>,
    /// More were. What comes is not looked at any more.
    is_over: Cell<bool>,
    /// The request that has been seen and whose task has not begun: hyper asks for both in one breath.
    begun: Cell<Option<Stream>>,
}

impl Streams {
    fn begin(&self, request: &Rc<Watch>) {
        let shared = &self.0;
        if shared.is_over.get() {
            return;
        }
        shared.open.set(shared.open.get() + 1);
        shared.watch.set_used();
        shared.watch.enter(Phase::Working);
        shared.begun.set(Some(Stream {
            watch: Rc::clone(request),
            since: shared.watches.now(),
            connection: Rc::clone(shared),
        }));
    }
}

impl Shared {
    /// The client has taken back a request that it sent at `since`.
    fn taken_back(&self, since: u64) {
        let now = self.watches.now();
        if self.is_over.get() || now.saturating_sub(since) > SOON {
            return;
        }
        let more = now.saturating_sub(self.budget_of.get()) / ONE_MORE_EVERY;
        self.budget_of
            .set(self.budget_of.get() + more * ONE_MORE_EVERY);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let budget = self.budget.get().saturating_add(more).min(TAKEN_BACK);
        match budget.checked_sub(1) {
            Some(left) => self.budget.set(left),
            None => {
                self.is_over.set(true);
                self.watch.give_up();
            }
        }
    }
}

impl Shared {
    /// The upstream has answered a request.
    fn answered(&self) {
        let answered = self.answered.get() + 1;
        if answered < ONE_MORE_FOR {
            self.answered.set(answered);
            return;
        }
        self.answered.set(0);
        self.budget
            .set(self.budget.get().saturating_add(1).min(TAKEN_BACK));
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, future: F) {
        // Without a request it would be the tunnel of a CONNECT, which is always refused, or it came
        // when all was over.
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
    /// Milliseconds on the sweep's clock.
    since: u64,
    connection: Rc<Shared>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.open.set(connection.open.get().saturating_sub(1));
        if connection.open.get() == 0 && connection.watch.phase() == Phase::Working {
            connection.watch.enter(Phase::Idle);
        }
        self.watch.end_record();
        // No answer had begun, and it was not for us to end it.
        let unanswered = matches!(self.watch.phase(), Phase::Working | Phase::Awaiting);
        if unanswered && !self.watch.is_given_up() {
            connection.taken_back(self.since);
        } else if self.watch.is_served() {
            connection.answered();
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
