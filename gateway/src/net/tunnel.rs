//! What is left of a connection once its protocol has changed: bytes, to and fro.

use std::{
    fmt, io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use super::{
    connector::Transport,
    io::{ClientIo, Socket},
    watch::{Phase, Watch},
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

    /// Copies both ways until one side has ended both, or the watch says that it is enough.
    pub(crate) async fn run<T: Socket>(mut self, mut client: ClientIo<T>, watch: &Watch) {
        watch.enter(Phase::Tunnel);
        let ended = {
            let mut copying = pin!(copy_bidirectional(&mut client, &mut self));
            std::future::poll_fn(|cx| {
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
            watch.set_cut();
        }
        watch.note(|record| (record.sent, record.received) = (self.down, self.up));
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
