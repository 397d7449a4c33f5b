//! From an upstream's address to a connection that can be spoken on: TCP or a unix socket, and TLS
//! within it.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{
    client::TlsStream,
    rustls::{AlertDescription, Error},
};

use super::{
    line::{Line, UpstreamIo},
    names::Name,
    socket::Socket,
    tls::{Tls, TlsError},
};
use crate::config::{Protocol, Target, Upstream};

/// Connects to one address of an upstream.
#[derive(Debug)]
pub(crate) struct Connector {
    target: Target,
    /// Of a target that is a name.
    name: Option<Rc<Name>>,
    protocol: Protocol,
    tls: Option<Rc<Tls>>,
}

/// A connection on which nothing has been said yet.
#[derive(Debug)]
pub(crate) enum Opened {
    Http1(Transport),
    Http2(Transport),
}

impl Connector {
    /// One for each address.
    ///
    /// # Errors
    ///
    /// What TLS needs cannot be used.
    pub(crate) fn all(
        upstream: &Upstream,
        connect_timeout: Duration,
    ) -> Result<Vec<Self>, TlsError> {
        let protocol = upstream.protocol;
        let tls = match protocol {
            Protocol::Tls => Some(Rc::new(Tls::new(upstream, connect_timeout)?)),
            Protocol::Http1 | Protocol::Http2 => None,
        };
        let connector = |target: &Target| Self {
            target: target.clone(),
            name: match target {
                Target::Tcp { host, port } => Name::new(host, *port, connect_timeout),
                Target::Unix(_) => None,
            },
            protocol,
            tls: tls.clone(),
        };
        Ok(upstream.addresses.iter().map(connector).collect())
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    /// What will be spoken, as far as that is known without asking.
    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Connects; `line` is what the socket tells of itself.
    ///
    /// # Errors
    ///
    /// Nobody listens, or the certificate is not believed.
    pub(crate) async fn connect(&self, line: Rc<Line>) -> io::Result<Opened> {
        let io = UpstreamIo::new(self.socket().await?, line);
        let Some(tls) = &self.tls else {
            return Ok(match self.protocol {
                Protocol::Http2 => {
                    io.socket().expect_reading()?;
                    Opened::Http2(Transport::Plain(io))
                }
                Protocol::Http1 | Protocol::Tls => Opened::Http1(Transport::Plain(io)),
            });
        };
        let (stream, http2) = tls.connect(io).await?;
        if http2 {
            stream.get_ref().0.socket().expect_reading()?;
        }
        let io = Transport::Tls(stream);
        Ok(if http2 {
            Opened::Http2(io)
        } else {
            Opened::Http1(io)
        })
    }
}

impl Connector {
    async fn socket(&self) -> io::Result<Socket> {
        match &self.name {
            Some(name) => Socket::of(name.connect().await?),
            None => Socket::connect(&self.target).await,
        }
    }

    /// The same, for HTTP/1 only.
    ///
    /// # Errors
    ///
    /// Nobody listens, the certificate is not believed, or HTTP/1 is not spoken there.
    pub(crate) async fn connect_http1(&self, line: Rc<Line>) -> io::Result<Transport> {
        if self.protocol == Protocol::Http2 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let io = UpstreamIo::new(self.socket().await?, line);
        Ok(match &self.tls {
            None => Transport::Plain(io),
            Some(tls) => Transport::Tls(tls.connect_http1(io).await?),
        })
    }
}

/// Whether it has broken off the handshake since it speaks HTTP/2 only (RFC 7301 §3.2).
pub(crate) fn says_no_http1(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(
        error,
        Some(Error::AlertReceived(
            AlertDescription::NoApplicationProtocol
        ))
    )
}

/// What HTTP is spoken over.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(UpstreamIo),
    Tls(Box<TlsStream<UpstreamIo>>),
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
