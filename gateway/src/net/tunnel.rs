//! What is left of a connection once its protocol has changed: bytes, to and fro.

mod frames;

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional};

use self::frames::Frames;
use super::{
    connector::Transport,
    io::{ClientIo, Socket},
    watch::{Ending, Phase, Watch},
};
use crate::steps::limit::Permit;

/// The upstream's end, until the client's connection is done with HTTP.
pub(crate) struct Tunnel {
    upstream: Transport,
    /// What the upstream said right behind its answer.
    early: Bytes,
    /// It counts as a request that runs, of all and of its route. `None` until the client is told
    /// that there is a tunnel.
    permits: Option<[Option<Permit>; 2]>,
    /// Bytes that came from the upstream, and that went there.
    down: u64,
    up: u64,
}

impl Tunnel {
    pub(crate) const fn new(upstream: Transport, early: Bytes) -> Self {
        Self {
            upstream,
            early,
            permits: None,
            down: 0,
            up: 0,
        }
    }

    pub(crate) fn hold(&mut self, permits: [Option<Permit>; 2]) {
        self.permits = Some(permits);
    }

    /// Whether the answer that the client gets is the one that opens it.
    pub(crate) const fn is_open(&self) -> bool {
        self.permits.is_some()
    }

    /// Copies both ways until one side has ended both, or the watch says that it is enough. The client is told
    /// why then, where that is no part of something that the upstream has half said.
    pub(crate) async fn run<T: Socket>(mut self, client: ClientIo<T>, watch: &Watch) {
        watch.enter(Phase::Tunnel);
        let mut client = Followed {
            io: client,
            frames: Frames::default(),
            is_shut: false,
        };
        let ended = {
            let mut copying = pin!(copy_bidirectional(&mut client, &mut self));
            poll_fn(|cx| {
                if watch.poll_orders(cx).close {
                    return Poll::Ready(false);
                }
                copying.as_mut().poll(cx).map(|copied| match copied {
                    Ok(_) => true,
                    Err(error) => {
                        tracing::debug!(%error, "a tunnel ended");
                        false
                    }
                })
            })
            .await
        };
        if !ended {
            if let Some(ending) = watch.ending() {
                client.say_farewell(ending, watch).await;
            }
            // First, so that it is no reset that follows.
            if client.is_shut {
                drop(client);
            }
            watch.set_cut();
        }
        watch.note(|record| (record.sent, record.received) = (self.down, self.up));
    }
}

/// The client, and the frames that it is sent.
struct Followed<T: Socket> {
    io: ClientIo<T>,
    frames: Frames,
    /// Our side has said that nothing follows.
    is_shut: bool,
}

impl<T: Socket> Followed<T> {
    /// A Close frame and the end of our side; then what the client still says is heard for a moment, so that it
    /// is not reset before it has read that. Nothing where a frame is under way or waits to be sent.
    async fn say_farewell(&mut self, ending: Ending, watch: &Watch) {
        if !self.frames.may_follow() || self.is_shut {
            return;
        }
        let (code, reason) = ending.words();
        let frame = frames::close(code, reason);
        let said = poll_fn(|cx| {
            Poll::Ready(match Pin::new(&mut self.io).poll_write(cx, &frame) {
                Poll::Ready(Ok(written)) => written == frame.len(),
                _ => false,
            })
        });
        if said.await {
            watch.reprieve();
            let closed = watch.before_anything(pin!(self.io.shutdown())).await;
            self.is_shut = closed.is_some();
        }
    }
}

impl<T: Socket> AsyncRead for Followed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: Socket> AsyncWrite for Followed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.frames.pass(buf.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut = true;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = if self.early.is_empty() {
            Pin::new(&mut self.upstream).poll_read(cx, buf)
        } else {
            let length = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(length));
            Poll::Ready(Ok(()))
        };
        self.down += (buf.filled().len() - before) as u64;
        polled
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.upstream).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = &polled {
            self.up += *written as u64;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.upstream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.upstream).poll_shutdown(cx)
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        config::{Limits, Target},
        net::{
            line::{Line, UpstreamIo},
            socket::Socket as UpstreamSocket,
            watch::Watches,
        },
    };

    #[tokio::test]
    async fn a_tunnel_of_which_the_client_was_not_told_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Target::Tcp {
            host: address.ip().to_string(),
            port: address.port(),
        };
        let watches = Watches::new(&Limits::default());
        for told in [false, true] {
            let socket = UpstreamSocket::connect(&target).await.unwrap();
            let upstream = Transport::Plain(UpstreamIo::new(socket, Line::alone()));
            let watch = watches.add();
            watch.set_tunnel(Tunnel::new(upstream, Bytes::new()));
            if told {
                watch.hold_tunnel(None);
            }
            assert_eq!(watch.take_tunnel().is_some(), told);
            assert!(watch.take_tunnel().is_none(), "once");
        }
    }
}
