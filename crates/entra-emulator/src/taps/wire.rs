//! Connections that can be made to misbehave under an HTTP server that wouldn't.
//!
//! A handler can't reset its connection, nor send what isn't HTTP. So each connection carries a
//! [`Wire`]: what a handler leaves there happens in place of the answer, as soon as the server writes it.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What happens to a connection in place of an answer.
#[derive(Debug)]
pub(crate) enum Mishap {
    /// TCP's RST.
    Reset,
    /// These bytes, and the end.
    Say { bytes: Vec<u8>, said: usize },
}

/// The hold that a handler has on its connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Arc<Mutex<Option<Mishap>>>);

impl Wire {
    /// Happens instead of the answer that comes next on this connection.
    pub(crate) fn set(&self, mishap: Mishap) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(mishap);
    }
}

impl<L: Listener<Io: Reset, Addr: Debug>> Connected<IncomingStream<'_, Wired<L>>> for Wire {
    fn connect_info(stream: IncomingStream<'_, Wired<L>>) -> Self {
        stream.io().wire.clone()
    }
}

/// A listener of such connections.
#[derive(Debug)]
pub(crate) struct Wired<L>(pub(crate) L);

impl<L: Listener<Io: Reset>> Listener for Wired<L> {
    type Io = WiredStream<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, address) = self.0.accept().await;
        let wire = Wire::default();
        (WiredStream { io, wire }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A connection that can be ended the hard way.
pub(crate) trait Reset: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// From now on closing it is a reset.
    fn reset_on_close(&self) -> io::Result<()>;
}

impl Reset for TcpStream {
    fn reset_on_close(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Reset for TlsStream<TcpStream> {
    fn reset_on_close(&self) -> io::Result<()> {
        self.get_ref().0.set_zero_linger()
    }
}

/// A connection with a [`Wire`].
#[derive(Debug)]
pub(crate) struct WiredStream<Io> {
    io: Io,
    wire: Wire,
}

impl<Io: Reset> AsyncRead for WiredStream<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<Io: Reset> AsyncWrite for WiredStream<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, wire } = &mut *self;
        let mut mishap = wire.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *mishap {
            None => {
                drop(mishap);
                Pin::new(io).poll_write(cx, bytes)
            }
            // The server drops a connection that fails.
            Some(Mishap::Reset) => {
                Poll::Ready(io.reset_on_close().and(Err(io::Error::other("reset"))))
            }
            Some(Mishap::Say { bytes, said }) => {
                while *said < bytes.len() {
                    *said += ready!(Pin::new(&mut *io).poll_write(cx, &bytes[*said..]))?;
                }
                ready!(Pin::new(&mut *io).poll_flush(cx))?;
                ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
                Poll::Ready(Err(io::Error::other("all is said")))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
