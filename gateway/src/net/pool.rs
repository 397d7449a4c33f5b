//! The connections of one worker to one upstream.
//!
//! Last in, first out: the connection that was used a moment ago is warm, and those that are not
//! needed age at the bottom until they are closed. No lock, since no other worker ever sees it.

use std::{cell::RefCell, fmt, io, pin::Pin, rc::Rc, time::Duration};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task, time};

use super::line::{Line, UpstreamIo};
use crate::{config::Upstream, message::body::RequestBody};

/// How long a connection that waited may take to be ready. It needs one turn of its own task.
const READY: Duration = Duration::from_millis(100);

/// The connections to one upstream that wait for a request.
pub(crate) struct Pool {
    upstream: Upstream,
    connect_timeout: Duration,
    idle: RefCell<Vec<Idle>>,
    /// How many may wait.
    most: usize,
}

struct Idle {
    connection: SendRequest<RequestBody>,
    line: Rc<Line>,
    /// Milliseconds on the worker's clock; 0 until the first sweep sees it.
    since: u64,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    Io(io::Error),
    Http(hyper::Error),
    TimedOut,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "connecting to the upstream failed: {error}"),
            Self::Http(error) => write!(f, "connecting to the upstream failed: {error}"),
            Self::TimedOut => f.write_str("connecting to the upstream took too long"),
        }
    }
}

impl Pool {
    pub(crate) fn new(upstream: Upstream, connect_timeout: Duration, most: usize) -> Rc<Self> {
        Rc::new(Self {
            upstream,
            connect_timeout,
            idle: RefCell::default(),
            most,
        })
    }

    pub(crate) const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The connection that was used last, if one waits, is still open and can take a request.
    pub(crate) async fn take(self: &Rc<Self>) -> Option<Lease> {
        loop {
            let Idle {
                mut connection,
                line,
                ..
            } = self.idle.borrow_mut().pop()?;
            if line.is_stuck() {
                continue;
            }
            // Not ready is one whose own task has not run since it was given back; it is at once. One
            // that is not is closed, so that nobody waits for what another caller left behind.
            if connection.is_ready() || ready_soon(&mut connection).await {
                return Some(Lease { connection, line });
            }
        }
    }

    /// A new connection.
    ///
    /// # Errors
    ///
    /// The upstream cannot be reached, or not in time.
    pub(crate) async fn connect(self: &Rc<Self>) -> Result<Lease, ConnectError> {
        let Upstream { host, port, .. } = &self.upstream;
        let stream = time::timeout(
            self.connect_timeout,
            TcpStream::connect((host.as_str(), *port)),
        )
        .await
        .map_err(|_| ConnectError::TimedOut)?
        .map_err(ConnectError::Io)?;
        stream.set_nodelay(true).map_err(ConnectError::Io)?;
        let line = Line::new(self);
        let io = UpstreamIo::new(stream, Rc::clone(&line));
        let (connection, driver) = http1::handshake(TokioIo::new(io))
            .await
            .map_err(ConnectError::Http)?;
        task::spawn_local(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to the upstream ended");
            }
        });
        Ok(Lease { connection, line })
    }

    /// Closes what has waited longer than `limit` milliseconds, and what the upstream has closed.
    pub(crate) fn sweep(&self, now: u64, limit: u64) {
        self.idle.borrow_mut().retain_mut(|idle| {
            if idle.since == 0 {
                idle.since = now;
            }
            !idle.connection.is_closed() && now.saturating_sub(idle.since) <= limit
        });
    }

    fn give_back(&self, connection: SendRequest<RequestBody>, line: Rc<Line>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.most && !connection.is_closed() && !line.is_stuck() {
            idle.push(Idle {
                connection,
                line,
                since: 0,
            });
        }
    }
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
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}

/// A connection in use. Dropped, it is closed; only [`Lease::give_back`] keeps it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) connection: SendRequest<RequestBody>,
    line: Rc<Line>,
}

impl Lease {
    /// Lets the next request have the connection. Only after the answer was read to its end and
    /// the request was sent to its end.
    pub(crate) fn give_back(self) {
        if let Some(pool) = self.line.pool() {
            pool.give_back(self.connection, self.line);
        }
    }
}
