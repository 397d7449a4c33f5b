//! The HTTP/2 connections of one worker to one address: few, and each shared by many requests.
//!
//! A connection is given requests until it has as many as the upstream takes at once; then there is
//! another. One that has been told to go (GOAWAY) or that broke gets no more and leaves with its
//! last request. One request's failure is the failure of its stream and of nothing else, except where
//! nothing at all was heard on the connection meanwhile.

use std::{
    cell::{Cell, RefCell},
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Waker,
    time::Duration,
};

use hyper::{
    client::conn::http2::{Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use tokio::{sync::oneshot, task, time::Instant};

use super::{connector::Transport, line::Line, pool::ConnectError};
use crate::message::body::RequestBody;

/// Requests at once on one connection, where the upstream takes as many.
const MOST_STREAMS: u8 = 100;

/// What may wait in memory for one client to read.
const STREAM_WINDOW: u32 = 256 * 1024;

/// As much as all streams together: clients that do not read then never hold up one that does.
const CONNECTION_WINDOW: u32 = MOST_STREAMS as u32 * STREAM_WINDOW;

/// What may wait in memory for the upstream to read, of one request.
const SEND_BUFFER: usize = 64 * 1024;

const MOST_HEAD_BYTES: u32 = 64 * 1024;

/// A request that was given up after it had waited for so long, without a byte from the upstream, may
/// have found out that nobody is there any more: a process that hangs, a machine that a load balancer
/// still speaks for. The system sees neither, since what is sent is taken.
const WAITED: Duration = Duration::from_millis(100);

/// One such request alone may as well have been slow, and its client in a hurry. A connection that has
/// been silent for so long, and on which another was sent after that and given up too, is deaf.
const SILENT: Duration = Duration::from_secs(1);

/// After so long one request is enough.
const LONG_SILENT: Duration = Duration::from_secs(10);

/// The connections.
#[derive(Debug, Default)]
pub(crate) struct Multiplexed {
    connections: RefCell<Vec<Rc<Connection>>>,
    /// Who waits for the connection that is being opened; `None` where none is.
    waiting: RefCell<Option<Vec<Waiter>>>,
}

type Waiter = oneshot::Sender<Result<(), ConnectError>>;

struct Connection {
    sender: SendRequest<RequestBody>,
    line: Rc<Line>,
    /// Nobody is there: it gets no more requests.
    deaf: Cell<bool>,
    /// Of the first request that was given up after it had waited in vain.
    doubt: Cell<Option<Doubt>>,
    running: Cell<usize>,
    /// How many requests the upstream takes at once.
    most: Cell<usize>,
    /// Milliseconds on the worker's clock since which none has run; 0 until a sweep sees it.
    since: Cell<u64>,
}

/// A request that was sent and given up, and nothing was heard meanwhile.
#[derive(Clone, Copy)]
struct Doubt {
    sent: Instant,
    given_up: Instant,
    /// How often the connection had been heard of.
    heard: u32,
}

impl Multiplexed {
    /// A place on a connection that is open and has room: the oldest, so that the others age and go.
    pub(crate) fn take(&self) -> Option<Stream> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.sender.is_closed());
        let connection = connections.iter().find(|connection| {
            !connection.deaf.get() && connection.running.get() < connection.most.get()
        })?;
        Some(Stream::new(Rc::clone(connection)))
    }

    /// Whether no connection is open.
    pub(crate) fn is_empty(&self) -> bool {
        let connections = self.connections.borrow();
        connections
            .iter()
            .all(|connection| connection.deaf.get() || connection.sender.is_closed())
    }

    /// Waits until a connection has been opened, by `open` where nobody is at it yet.
    ///
    /// It is opened by a task of its own, so that a request that is given up takes nothing from the
    /// others that wait. There may be no room on it, since all who waited want one.
    ///
    /// # Errors
    ///
    /// It could not be opened.
    pub(crate) async fn opened<F>(&self, open: impl FnOnce() -> F) -> Result<(), ConnectError>
    where
        F: Future<Output = ()> + 'static,
    {
        let (waiter, opened) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.borrow_mut();
            let first = waiting.is_none();
            waiting.get_or_insert_default().push(waiter);
            first
        };
        if first {
            task::spawn_local(open());
        }
        opened.await.unwrap_or(Err(ConnectError::Failed))
    }

    /// Tells those that wait how opening went.
    pub(crate) fn tell(&self, result: Result<(), ConnectError>) {
        for waiter in self.waiting.borrow_mut().take().into_iter().flatten() {
            let _ = waiter.send(result);
        }
    }

    /// Begins HTTP/2 on a new connection, and waits until the upstream has said how many requests it
    /// takes at once: sent before, one too many would be refused, or stand behind the others.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub(crate) async fn add(&self, io: Transport, line: Rc<Line>) -> Result<(), Box<dyn Error>> {
        let local = Local::default();
        let (sender, driver) = Builder::new(local.clone())
            // By which it shows that nothing has been said yet.
            .initial_max_send_streams(0)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MOST_HEAD_BYTES)
            .max_send_buf_size(SEND_BUFFER)
            .handshake(TokioIo::new(io))
            .await?;
        let connection = Rc::new(Connection {
            sender,
            line,
            deaf: Cell::new(false),
            doubt: Cell::new(None),
            running: Cell::new(0),
            most: Cell::new(0),
            since: Cell::new(0),
        });
        let (begun, has_begun) = oneshot::channel();
        let mut begun = Some(begun);
        let told = Rc::downgrade(&connection);
        task::spawn_local(async move {
            let mut driver = pin!(driver);
            let ended = poll_fn(|cx| {
                let polled = driver.as_mut().poll(cx);
                let most = driver.current_max_send_streams();
                if most == 0 {
                    local.wake_after_next(cx.waker());
                } else if let Some(connection) = told.upgrade() {
                    connection.most.set(most.min(MOST_STREAMS.into()));
                    if let Some(begun) = begun.take() {
                        let _ = begun.send(());
                    }
                }
                polled
            })
            .await;
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP/2 connection to the upstream ended");
            }
        });
        has_begun
            .await
            .map_err(|_| "it closed the connection, or speaks no HTTP/2")?;
        self.connections.borrow_mut().push(connection);
        Ok(())
    }

    /// Closes what nobody has used for longer than `limit` milliseconds, and what has been closed.
    pub(crate) fn sweep(&self, now: u64, limit: u64) {
        self.connections.borrow_mut().retain(|connection| {
            if connection.running.get() > 0 {
                connection.since.set(0);
            } else if connection.since.get() == 0 {
                connection.since.set(now);
            }
            let since = connection.since.get();
            let idle = since != 0 && now.saturating_sub(since) > limit;
            let done = connection.deaf.get() && connection.running.get() == 0;
            !idle && !done && !connection.sender.is_closed()
        });
    }
}

impl Connection {
    /// A request that was sent at `since`, when the connection had been heard of so often, has been given
    /// up without an answer.
    fn gave_up(&self, since: Instant, heard: u32) {
        let now = Instant::now();
        let waited = now.saturating_duration_since(since);
        if waited < WAITED || self.line.heard() != heard {
            return;
        }
        let known = self.doubt.get().filter(|doubt| doubt.heard == heard);
        if waited >= LONG_SILENT
            || known.is_some_and(|doubt| {
                doubt.given_up <= since && now.saturating_duration_since(doubt.sent) >= SILENT
            })
        {
            self.deaf.set(true);
        } else if known.is_none() {
            self.doubt.set(Some(Doubt {
                sent: since,
                given_up: now,
                heard,
            }));
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("running", &self.running)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// A place on a connection, for one request.
#[derive(Debug)]
pub(crate) struct Stream {
    connection: Rc<Connection>,
    since: Instant,
    /// How often the connection had been heard of before.
    heard: u32,
    answered: Cell<bool>,
}

impl Stream {
    fn new(connection: Rc<Connection>) -> Self {
        connection.running.set(connection.running.get() + 1);
        Self {
            since: Instant::now(),
            heard: connection.line.heard(),
            answered: Cell::new(false),
            connection,
        }
    }

    pub(crate) fn sender(&self) -> SendRequest<RequestBody> {
        self.connection.sender.clone()
    }

    pub(crate) fn set_answered(&self) {
        self.answered.set(true);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let running = &self.connection.running;
        running.set(running.get().saturating_sub(1));
        if !self.answered.get() {
            self.connection.gave_up(self.since, self.heard);
        }
    }
}

/// Runs what a connection has to do on this worker.
#[derive(Clone, Debug, Default)]
struct Local(Rc<RefCell<Option<Waker>>>);

impl Local {
    /// Has `waker` woken as soon as the connection has made a step. hyper's own part does not learn of
    /// what it might want to look at.
    fn wake_after_next(&self, waker: &Waker) {
        *self.0.borrow_mut() = Some(waker.clone());
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        let waiting = Rc::clone(&self.0);
        task::spawn_local(async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                let polled = future.as_mut().poll(cx);
                if let Some(waker) = waiting.take() {
                    waker.wake();
                }
                polled
            })
            .await;
        });
    }
}
