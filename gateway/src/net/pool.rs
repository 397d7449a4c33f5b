//! The connections of one worker to one address of an upstream.
//!
//! HTTP/1: last in, first out. The connection that was used a moment ago is warm, and those that are
//! not needed age at the bottom until they are closed. HTTP/2: see [`Multiplexed`]. No lock, since no
//! other worker ever sees any of it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::Duration,
};

use tokio::time;

use super::{
    connector::{self, Connector, Opened, Transport},
    http1::Lease,
    line::Line,
    multiplexed::{Multiplexed, Stream},
    trouble::Trouble,
};
use crate::config::Protocol;

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
    lease: Lease,
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
    /// None any more: what is left of it is with the watch.
    Tunnel,
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

    /// The connection that was used last, if one waits. HTTP/1 only.
    pub(crate) fn take(&self) -> Option<Lease> {
        loop {
            let Idle { lease, since } = self.idle.borrow_mut().pop()?;
            if lease.begin(since != 0) {
                return Some(lease);
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
            if let Some(lease) = self.take() {
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
            Opened::Http1(io) => Ok(Some(Lease::new(io, line))),
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
            idle.lease.is_open() && now.saturating_sub(idle.since) <= limit
        });
        self.multiplexed.sweep(now, limit);
    }

    /// Keeps a connection that can have another request, if there is room.
    pub(super) fn give_back(&self, lease: Lease) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.most {
            idle.push(Idle { lease, since: 0 });
        }
    }
}

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

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("target", self.connector.target())
            .finish_non_exhaustive()
    }
}
