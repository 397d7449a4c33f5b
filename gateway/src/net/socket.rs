//! The socket to an upstream, below TLS and HTTP.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::config::Target;

/// How long an upstream may give no sign of life: after that the system asks for one, and gives up a
/// connection on which it has to come.
const SILENT_FOR: Duration = Duration::from_secs(20);
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or the name has no address.
    pub(crate) async fn connect(target: &Target) -> io::Result<Self> {
        match target {
            Target::Tcp { host, port } => {
                Self::of(TcpStream::connect((host.as_str(), *port)).await?)
            }
            #[cfg(unix)]
            Target::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            #[cfg(not(unix))]
            Target::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Socket {
    /// One that is connected already.
    ///
    /// # Errors
    ///
    /// The system does not take what is wanted of it.
    pub(super) fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        notice_silence(&stream)?;
        Ok(Self::Tcp(stream))
    }
}

fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new()
        .with_time(SILENT_FOR)
        .with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&probes)
}

impl Socket {
    /// Gives the connection up when what was sent has not been taken for a while, so that a machine
    /// that vanished is not found out request by request, each after its time-out.
    ///
    /// For HTTP/2 alone, whose peers read on whatever becomes of one body. Over HTTP/1 an upstream may
    /// well stop reading in the middle of an upload, and the system cannot tell that from death.
    ///
    /// # Errors
    ///
    /// The system does not take it.
    pub(super) fn expect_reading(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self {
            SockRef::from(stream).set_tcp_user_timeout(Some(SILENT_FOR))?;
        }
        Ok(())
    }
}

/// Does the same for either kind of socket.
macro_rules! each {
    ($socket:expr, $stream:ident => $does:expr) => {
        match $socket {
            Socket::Tcp($stream) => $does,
            #[cfg(unix)]
            Socket::Unix($stream) => $does,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_upstream_that_does_not_read_for_a_while_is_not_cut_off_by_the_system() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Target::Tcp {
            host: address.ip().to_string(),
            port: address.port(),
        };
        let socket = Socket::connect(&target).await.unwrap();
        let limit = || match &socket {
            Socket::Tcp(stream) => SockRef::from(stream).tcp_user_timeout().unwrap(),
            Socket::Unix(_) => panic!("it is no unix socket"),
        };
        assert_eq!(limit(), None);
        socket.expect_reading().unwrap();
        assert_eq!(limit(), Some(SILENT_FOR));
    }
}
