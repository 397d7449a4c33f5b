//! A client's socket that keeps its [`Watch`] up to date and closes gently.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use smallvec::SmallVec;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::{
    frames::Frames,
    watch::{Phase, Watch},
};
use crate::message::unparsed;

/// So much is put together and written as one: that takes less than the system's own work on more than one
/// piece.
const COPIED: usize = 2 * 1024;

/// How much is thrown away after the last answer before the socket is closed all the same.
const MOST_THROWN_AWAY: usize = 64 * 1024;

/// A client's socket, or the TLS session on it.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The end of a head.
const END_OF_HEAD: &[u8; 4] = b"\r\n\r\n";

/// A [`Socket`] that keeps its watch.
#[derive(Debug)]
pub(crate) struct ClientIo<T: Socket> {
    stream: T,
    watch: Rc<Watch>,
    /// What was read ahead to see which protocol is spoken.
    ahead: Bytes,
    /// Of an HTTP/2 connection.
    many: Option<Box<Many>>,
    /// A write waits for the client to read.
    is_blocked: bool,
    /// So does what TLS has taken and not sent.
    is_unsent: bool,
    /// Set once our side is shut: what may still be thrown away.
    left_to_throw_away: Option<usize>,
    /// What was read last: where it ends like a head, the next byte is the first of another.
    tail: [u8; 4],
    /// The head that is read may be that of a HEAD request, whose answer has no body.
    may_be_head: bool,
    /// What is left to write of an answer that hyper gave by itself.
    explained: Option<Bytes>,
}

/// What a connection keeps besides its [`Watch`] where many requests share it: one begins in the
/// middle of others, and none of them answers for what all have written.
#[derive(Debug)]
struct Many {
    frames: Frames,
    /// Streaming as long as a write waits.
    writes: Rc<Watch>,
    /// Whether the client has asked for too much. Nothing more is read from it then.
    farewell: Rc<Cell<bool>>,
    /// What it is told after all else has been written.
    last_words: &'static [u8],
}

/// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 §6.8, §7). hyper says it only for reasons of its own. The
/// last stream is any: each may have been worked on.
const ENHANCE_YOUR_CALM: &[u8] = &[
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 11,
];

impl<T: Socket> ClientIo<T> {
    pub(crate) const fn new(stream: T, watch: Rc<Watch>) -> Self {
        Self {
            stream,
            watch,
            ahead: Bytes::new(),
            many: None,
            is_blocked: false,
            is_unsent: false,
            left_to_throw_away: None,
            tail: *END_OF_HEAD,
            may_be_head: true,
            explained: None,
        }
    }

    /// Lets these bytes be read again.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        self.ahead = bytes;
    }

    /// From here on, HTTP/2: whether a head is on its way is for `frames` to say, and `writes` is
    /// told whether the client reads what is written. With `farewell` the client has said its last,
    /// and is told that it was too much.
    pub(crate) fn set_http2(
        &mut self,
        frames: Frames,
        writes: Rc<Watch>,
        farewell: Rc<Cell<bool>>,
    ) {
        self.many = Some(Box::new(Many {
            frames,
            writes,
            farewell,
            last_words: ENHANCE_YOUR_CALM,
        }));
    }

    /// Whether what was read last ended a head, or nothing was read yet.
    fn is_between(&self) -> bool {
        self.tail == *END_OF_HEAD
    }

    fn remember(&mut self, read: &[u8]) {
        self.tail_of(read);
        let behind_a_head = if self.is_between() { 0 } else { read.len() };
        self.watch
            .set_came_along(u64::try_from(behind_a_head).unwrap_or(u64::MAX));
    }

    fn tail_of(&mut self, read: &[u8]) {
        if let Some(tail) = read.last_chunk() {
            self.tail = *tail;
            return;
        }
        for byte in read {
            self.tail.rotate_left(1);
            if let Some(last) = self.tail.last_mut() {
                *last = *byte;
            }
        }
    }

    /// Whether hyper writes something by itself. What goes through a tunnel is nobody's answer, and may be
    /// offered again with more behind it.
    fn is_of_no_request(&self) -> bool {
        !self.watch.is_answering() && self.many.is_none() && self.watch.phase() != Phase::Tunnel
    }

    /// Writes `own`, which hyper says by itself, with a document that it does not write.
    fn poll_explain(&mut self, cx: &mut Context<'_>, own: &[u8]) -> Poll<io::Result<usize>> {
        let has_body = !self.may_be_head;
        let mut rest = match self.explained.take() {
            Some(rest) => rest,
            None => match unparsed::explain(own, has_body) {
                Some(explained) => {
                    self.watch.set_unparsed(explained.refused);
                    explained.bytes
                }
                None => Bytes::copy_from_slice(own),
            },
        };
        while !rest.is_empty() {
            let polled = Pin::new(&mut self.stream).poll_write(cx, &rest);
            self.wrote(&polled);
            match polled {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(some)) => rest.advance(some),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // The same is offered again once there is room.
                    self.explained = Some(rest);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(own.len()))
    }

    /// Keeps the watch of what is written.
    ///
    /// The end of an answer lies here when its request is over already. So what had to wait for the
    /// client counts between requests too; but nothing else, lest a client that only asks whether
    /// we are there (PING) were never idle.
    fn wrote(&mut self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Pending if !self.is_blocked => {
                self.is_blocked = true;
                if let Some(many) = &self.many {
                    many.writes.enter(Phase::Streaming);
                }
            }
            Poll::Ready(Ok(1..)) => {
                let moves = match self.watch.phase() {
                    Phase::Streaming | Phase::Tunnel => true,
                    Phase::Idle => self.is_blocked,
                    _ => false,
                };
                if moves && let Poll::Ready(Ok(bytes)) = polled {
                    self.watch.moved(*bytes);
                }
                if self.is_blocked {
                    self.is_blocked = false;
                    if let Some(many) = &self.many {
                        many.writes.enter(Phase::Working);
                    }
                }
            }
            _ => {}
        }
    }
}

impl<T: Socket> AsyncRead for ClientIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.many.as_ref().is_some_and(|many| many.farewell.get()) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if !this.ahead.is_empty() {
            let some = this.ahead.split_to(this.ahead.len().min(buf.remaining()));
            buf.put_slice(&some);
        }
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            // What was read ahead is there, whatever comes after it.
            Poll::Pending if buf.filled().len() > before => {}
            Poll::Pending => {
                // hyper has answered and wants more, and what came with the last request and is none of
                // its body is the beginning of another head.
                let is_http1 = this.many.is_none() && !this.is_blocked;
                let begun = !this.is_between() && is_http1 && !this.watch.had_body();
                if begun && this.watch.phase() == Phase::Idle {
                    this.watch.enter(Phase::Head);
                }
                return Poll::Pending;
            }
            polled @ Poll::Ready(_) => ready!(polled)?,
        }
        let read = buf.filled().get(before..).unwrap_or_default();
        if let Some(many) = &mut this.many {
            many.frames.read(read);
        } else if !read.is_empty() {
            match this.watch.phase() {
                Phase::Idle => {
                    this.watch.enter(Phase::Head);
                    // hyper takes empty lines before a head.
                    // Others pass over more than that.
                    let may_begin = |first: &u8| *first == b'H' || first.is_ascii_whitespace();
                    let other = !read.first().is_none_or(may_begin);
                    this.may_be_head = !(this.is_between() && other);
                }
                Phase::Tunnel => this.watch.touch(),
                _ => {}
            }
            this.remember(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Socket> AsyncWrite for ClientIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_of_no_request() {
            return self.poll_explain(cx, buf);
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_of_no_request() {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return self.poll_explain(cx, first.map_or(&[], |first| first));
        }
        let stream = Pin::new(&mut self.stream);
        let polled = if bufs.iter().map(|buf| buf.len()).sum::<usize>() <= COPIED {
            let mut all = SmallVec::<[u8; COPIED]>::new();
            for buf in bufs {
                all.extend_from_slice(buf);
            }
            stream.poll_write(cx, &all)
        } else {
            stream.poll_write_vectored(cx, bufs)
        };
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.is_unsent = polled.is_pending();
        if !self.is_unsent && self.watch.flushed() {
            self.watch.end_record_of_answer();
            // Another head may have come with this one's.
            self.may_be_head = true;
        }
        polled
    }

    /// Shuts our side, then reads what the client still sends until it has seen that.
    ///
    /// A socket that is closed while bytes lie unread is reset by the kernel, and a reset takes
    /// with it the answer that the client has not read yet: a refusal of a request whose body was
    /// not wanted, most of all.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.is_cut() {
            return Poll::Ready(Ok(()));
        }
        if this.watch.phase() == Phase::Tunnel {
            // The upstream has no more to say. What the client still says is for its ears.
            return Pin::new(&mut this.stream).poll_shutdown(cx);
        }
        if let Some(many) = &mut this.many
            && many.farewell.get()
        {
            while !many.last_words.is_empty() {
                let written = ready!(Pin::new(&mut this.stream).poll_write(cx, many.last_words))?;
                many.last_words = many.last_words.get(written..).unwrap_or_default();
            }
        }
        if this.left_to_throw_away.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.watch.enter(Phase::Closing);
            this.left_to_throw_away = Some(MOST_THROWN_AWAY);
        }
        let mut scratch = [0; 4096];
        while let Some(left) = this.left_to_throw_away.filter(|left| *left > 0) {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {
                    this.left_to_throw_away = Some(left.saturating_sub(buf.filled().len()));
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Socket> Drop for ClientIo<T> {
    /// An answer that broke off is followed by a reset: to a client of HTTP/1.0, which takes the
    /// connection's end for the body's, an orderly end would make half of an answer a whole one.
    /// What still waits to be written has broken off too.
    fn drop(&mut self) {
        if (self.watch.is_cut() || self.is_blocked || self.is_unsent)
            && let Err(error) = self.stream.tcp().set_zero_linger()
        {
            tracing::debug!(%error, "a connection could not be reset");
        }
    }
}

#[cfg(test)]
mod tests;
