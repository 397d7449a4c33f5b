//! The socket to an upstream, which knows whether bytes are stuck in front of it.
//!
//! An upstream may answer early and leave the rest of an upload unread, and TLS may hold what it has
//! taken. The next caller's request would stand behind bytes that may never leave.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{pool::Pool, socket::Socket};

/// What a connection's socket and its user share: one pointer in the future of every request.
#[derive(Debug)]
pub(crate) struct Line {
    pool: Weak<Pool>,
    /// The system did not take the last bytes that were offered to it.
    stuck: Cell<bool>,
    /// The connection had been waiting for a while when the request got it.
    waited: Cell<bool>,
    /// How often bytes have come.
    heard: Cell<u32>,
}

impl Line {
    pub(crate) fn new(pool: &Rc<Pool>) -> Rc<Self> {
        Self::of(Rc::downgrade(pool))
    }

    /// Of a connection that nobody waits for.
    #[cfg(test)]
    pub(super) fn alone() -> Rc<Self> {
        Self::of(Weak::new())
    }

    fn of(pool: Weak<Pool>) -> Rc<Self> {
        Rc::new(Self {
            pool,
            stuck: Cell::new(false),
            waited: Cell::new(false),
            heard: Cell::new(0),
        })
    }

    /// Where the connection waits between requests, if that still exists.
    pub(crate) fn pool(&self) -> Option<Rc<Pool>> {
        self.pool.upgrade()
    }

    /// A request gets the connection.
    pub(crate) fn begin(&self, waited: bool) {
        self.waited.set(waited);
    }

    pub(crate) fn has_waited(&self) -> bool {
        self.waited.get()
    }

    /// How often bytes have come, for whoever shares the connection with others.
    pub(super) fn heard(&self) -> u32 {
        self.heard.get()
    }

    /// Whether bytes wait for the upstream to read what came before them.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.get()
    }
}

/// The socket.
#[derive(Debug)]
pub(crate) struct UpstreamIo {
    stream: Socket,
    line: Rc<Line>,
}

impl UpstreamIo {
    pub(crate) const fn new(stream: Socket, line: Rc<Line>) -> Self {
        Self { stream, line }
    }

    pub(super) const fn socket(&self) -> &Socket {
        &self.stream
    }

    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.line.stuck.set(polled.is_pending());
        polled
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.line.heard.set(self.line.heard.get().wrapping_add(1));
        }
        polled
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
