//! The connections of one worker to one address of an upstream.
//!
//! HTTP/1: last in, first out. The connection that was used a moment ago is warm, and those that are
//! not needed age at the bottom until they are closed. HTTP/2: see [`Multiplexed`]. No lock, since no
//! other worker ever sees any of it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body as _, Frame, Incoming},
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::{
    task::{self, AbortHandle},
    time,
};

use super::{
    connector::{self, Connector, Opened, Transport},
    driver::Driver,
    line::Line,
    multiplexed::{Multiplexed, Stream},
    trouble::Trouble,
};
use crate::{config::Protocol, message::body::RequestBody};

/// How long a connection that waited may take to be ready. It needs one turn of its own task.
const READY: Duration = Duration::from_millis(100);

/// How long what has been taken of a request may be on its way to an upstream that has answered already.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The connections to one address.
pub(crate) struct Pool {
    connector: Connector,
    connect_timeout: Duration,
    idle: RefCell<Vec<Idle>>,
    /// How many may wait.
    most: usize,
    multiplexed: Multiplexed,
    /// Whether HTTP/2 is spoken. Where TLS finds that out, as it was the last time; at first it is
    /// hoped for, since then one connection is opened to see and not one for each request.
    http2: Cell<bool>,
    trouble: Trouble,
}

struct Idle {
    connection: SendRequest<RequestBody>,
    driver: Option<Driver>,
    task: Task,
    line: Rc<Line>,
    /// Milliseconds on the worker's clock; 0 until the first sweep sees it.
    since: u64,
}

/// Why there is no connection. What exactly happened has been logged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConnectError {
    Failed,
    TimedOut,
    /// HTTP/1 was wanted, and is not spoken there.
    OnlyHttp2,
}

/// A connection, or the part of one, that is one request's.
#[derive(Debug)]
pub(crate) enum Place {
    Http1(Lease),
    Http2(Stream),
}

impl Pool {
    pub(crate) fn new(connector: Connector, connect_timeout: Duration, most: usize) -> Rc<Self> {
        Rc::new(Self {
            http2: Cell::new(connector.protocol() != Protocol::Http1),
            connector,
            connect_timeout,
            idle: RefCell::default(),
            most,
            multiplexed: Multiplexed::default(),
            trouble: Trouble::default(),
        })
    }

    /// The connection that was used last, if one waits, is still open and can take a request. HTTP/1
    /// only.
    pub(crate) async fn take(self: &Rc<Self>) -> Option<Lease> {
        loop {
            let Idle {
                mut connection,
                driver,
                task,
                line,
                since,
            } = self.idle.borrow_mut().pop()?;
            if line.is_stuck() {
                continue;
            }
            // Not ready is one whose own task has not run since it was given back; it is at once. One
            // that is not is closed, so that nobody waits for what another caller left behind.
            if connection.is_ready() || ready_soon(&mut connection).await {
                line.begin(since != 0);
                return Some(Lease {
                    connection,
                    driver,
                    task,
                    line,
                });
            }
        }
    }

    /// A connection on which nobody else's request stands in the way: a new one, or for HTTP/2 one
    /// that has room.
    ///
    /// # Errors
    ///
    /// The upstream cannot be reached, or not in time.
    pub(crate) async fn open(self: &Rc<Self>) -> Result<Place, ConnectError> {
        let mut broken = 0;
        loop {
            if !self.http2.get()
                && let Some(lease) = self.connect().await?
            {
                return Ok(Place::Http1(lease));
            }
            if let Some(stream) = self.multiplexed.take() {
                return Ok(Place::Http2(stream));
            }
            // None is open, and one should be: they break as soon as they are there.
            if broken == 2 {
                return Err(ConnectError::Failed);
            }
            let open = || Opening(Rc::clone(self)).run();
            self.multiplexed.opened(open).await?;
            if let Some(lease) = self.take().await {
                return Ok(Place::Http1(lease));
            }
            if self.multiplexed.is_empty() {
                broken += 1;
            }
        }
    }

    /// A connection that speaks HTTP/1 and is nobody else's, before anything is said on it.
    ///
    /// # Errors
    ///
    /// The upstream cannot be reached, or not in time.
    pub(crate) async fn open_alone(self: &Rc<Self>) -> Result<(Transport, Rc<Line>), ConnectError> {
        let line = Line::new(self);
        let connecting = self.connector.connect_http1(Rc::clone(&line));
        let connected = time::timeout(self.connect_timeout, connecting).await;
        if let Ok(Err(error)) = &connected
            && connector::says_no_http1(error)
        {
            // It can be reached all the same.
            return Err(ConnectError::OnlyHttp2);
        }
        Ok((self.judge(connected)?, line))
    }

    /// Says what went wrong, though not of every request: `before` is how many it was not said of.
    fn judge<T>(
        &self,
        connected: Result<Result<T, impl fmt::Display>, time::error::Elapsed>,
    ) -> Result<T, ConnectError> {
        let upstream = self.connector.target();
        match connected {
            Ok(Ok(connected)) => {
                if self.trouble.works() {
                    tracing::info!(%upstream, "the upstream can be reached again");
                }
                Ok(connected)
            }
            Ok(Err(error)) => {
                if let Some(before) = self.trouble.failed() {
                    tracing::warn!(%upstream, %error, before, "the upstream cannot be reached");
                }
                Err(ConnectError::Failed)
            }
            Err(_) => {
                if let Some(before) = self.trouble.failed() {
                    tracing::warn!(%upstream, before, "connecting to the upstream took too long");
                }
                Err(ConnectError::TimedOut)
            }
        }
    }

    /// Connects. An HTTP/2 connection is where [`Multiplexed::take`] finds it; one that speaks
    /// HTTP/1 is the caller's.
    async fn connect(self: &Rc<Self>) -> Result<Option<Lease>, ConnectError> {
        let connected = time::timeout(self.connect_timeout, self.handshake()).await;
        let lease = self.judge(connected)?;
        self.http2.set(lease.is_none());
        Ok(lease)
    }

    async fn handshake(self: &Rc<Self>) -> Result<Option<Lease>, Box<dyn std::error::Error>> {
        let line = Line::new(self);
        match self.connector.connect(Rc::clone(&line)).await? {
            Opened::Http1(io) => Ok(Some(http1(io, line).await?)),
            Opened::Http2(io) => {
                self.multiplexed.add(io, line).await?;
                Ok(None)
            }
        }
    }

    /// Closes what has waited longer than `limit` milliseconds, and what the upstream has closed.
    pub(crate) fn sweep(&self, now: u64, limit: u64) {
        self.idle.borrow_mut().retain_mut(|idle| {
            if idle.since == 0 {
                idle.since = now;
            }
            // Nobody else looks whether the upstream has closed it.
            let ended = (idle.driver.as_mut()).is_some_and(|driver| driver.drive().is_ready());
            !ended && !idle.connection.is_closed() && now.saturating_sub(idle.since) <= limit
        });
        self.multiplexed.sweep(now, limit);
    }

    fn give_back(&self, lease: Lease) {
        let Lease {
            connection,
            driver,
            task,
            line,
        } = lease;
        // Without a task of its own, nothing makes it ready later.
        let usable = driver.is_none() || connection.is_ready();
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.most && usable && !connection.is_closed() && !line.is_stuck() {
            idle.push(Idle {
                connection,
                driver,
                task,
                line,
                since: 0,
            });
        } else {
            task.end_soon();
        }
    }
}

/// The most that is read from an upstream at once, in bytes, and the largest head of an answer.
///
/// What is read waits for the client to take it, so this is what a download costs that is read
/// slowly, several times over; hyper's own limit of 400 KiB would make a megabyte of it.
pub(crate) const READ_AT_ONCE: usize = 64 * 1024;

/// Opens the connection that others wait for.
struct Opening(Rc<Pool>);

impl Opening {
    async fn run(self) {
        let connected = self.0.connect().await.map(|lease| {
            // It was to be HTTP/2 and is HTTP/1: one of those that wait can have it.
            if let Some(lease) = lease {
                lease.give_back();
            }
        });
        self.0.multiplexed.tell(connected);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        // Whoever still waits would do so for ever: the task has panicked or was never run.
        self.0.multiplexed.tell(Err(ConnectError::Failed));
    }
}

async fn http1(io: Transport, line: Rc<Line>) -> hyper::Result<Lease> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_AT_ONCE)
        .handshake(TokioIo::new(io))
        .await?;
    let mut driver = Driver::new(connection);
    // Ready for the first request.
    let ended = driver.drive().is_ready();
    Ok(Lease {
        connection: sender,
        driver: (!ended).then_some(driver),
        task: Task::default(),
        line,
    })
}

/// Boxed, since it is rare and every request's future would have room for its timer.
fn ready_soon(
    connection: &mut SendRequest<RequestBody>,
) -> Pin<Box<dyn Future<Output = bool> + '_>> {
    Box::pin(async { matches!(time::timeout(READY, connection.ready()).await, Ok(Ok(()))) })
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("target", self.connector.target())
            .finish_non_exhaustive()
    }
}

/// An HTTP/1 connection in use. Dropped, it is closed; only [`Lease::give_back`] keeps it.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: SendRequest<RequestBody>,
    /// `None` where the connection has a task of its own, or has ended.
    driver: Option<Driver>,
    task: Task,
    line: Rc<Line>,
}

impl Lease {
    /// Of a connection that has a task of its own.
    pub(crate) fn new(connection: SendRequest<RequestBody>, line: Rc<Line>) -> Self {
        Self {
            connection,
            driver: None,
            task: Task::default(),
            line,
        }
    }

    /// Whether it has waited for long enough that the upstream may be about to close it.
    pub(crate) fn has_waited(&self) -> bool {
        self.line.has_waited()
    }

    /// Whether the upstream has sent anything since this request had the connection.
    pub(crate) fn has_heard(&self) -> bool {
        self.line.has_heard()
    }

    /// Puts the request into hyper's queue. The answer is for [`answer`](Self::answer) to wait for.
    pub(crate) fn start(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Answered> + use<> {
        if !request.body().is_end_stream()
            && let Some(driver) = self.driver.take()
        {
            let task = task::spawn_local(driver.run());
            self.task = Task(Some(task.abort_handle()));
        }
        self.connection.try_send_request(request)
    }

    /// Waits for what [`start`](Self::start) gave.
    pub(crate) async fn answer(
        &mut self,
        mut answer: Pin<&mut impl Future<Output = Answered>>,
    ) -> Answered {
        poll_fn(|cx| self.drive(cx, |cx| answer.as_mut().poll(cx))).await
    }

    /// More of the answer's body.
    pub(crate) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if let Some(driver) = &self.driver {
            // What has been read already.
            let frame = driver.poll_first(|cx| Pin::new(&mut *incoming).poll_frame(cx));
            if frame.is_ready() {
                return frame;
            }
        }
        self.drive(cx, |cx| Pin::new(incoming).poll_frame(cx))
    }

    /// Lets the connection get on, then polls what waits for it.
    fn drive<T>(
        &mut self,
        cx: &mut Context<'_>,
        what: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self
            .driver
            .as_mut()
            .is_some_and(|driver| driver.drive().is_ready())
        {
            self.driver = None;
        }
        let Some(driver) = &self.driver else {
            return what(cx);
        };
        let polled = driver.poll(what);
        if polled.is_pending() {
            driver.park(cx);
        }
        polled
    }

    /// Lets the next request have the connection. Only after the answer was read to its end and
    /// the request was sent to its end.
    pub(crate) fn give_back(self) {
        match self.line.pool() {
            Some(pool) => pool.give_back(self),
            // A reload has taken it away; what is left of an upload is sent all the same.
            None => self.task.end_soon(),
        }
    }
}

/// A connection's own task, which ends with whoever has the connection.
///
/// By itself it does not: hyper ends a connection once all that it has for it is written, and an upstream
/// that does not read may put that off for ever.
#[derive(Debug, Default)]
struct Task(Option<AbortHandle>);

impl Task {
    /// Lets it write what is left, for a while.
    fn end_soon(mut self) {
        if let Some(task) = self.0.take().filter(|task| !task.is_finished()) {
            task::spawn_local(async move {
                time::sleep(LAST_WORDS).await;
                task.abort();
            });
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// What becomes of a request.
type Answered = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;
