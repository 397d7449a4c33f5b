//! A listener whose connections have finished their TLS handshake.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client that takes longer over its handshake has gone.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes that may be under way, and connections that may wait to be served.
const WAITING: usize = 128;

/// Handshakes run beside each other, so that a slow client holds nobody up.
#[derive(Debug)]
pub(crate) struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    pub(crate) fn new(tcp: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let address = tcp.local_addr()?;
        let (sender, ready) = mpsc::channel(WAITING);
        tokio::spawn(accept(tcp, acceptor, sender));
        Ok(Self { address, ready })
    }
}

/// Ends when nobody listens any more.
async fn accept(
    mut tcp: TcpListener,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        let place = tokio::select! {
            place = sender.clone().reserve_owned() => place,
            () = sender.closed() => return,
        };
        let Ok(place) = place else { return };
        // axum's: it waits a moment when the system has no file descriptors left.
        let accepted = tokio::select! {
            accepted = axum::serve::Listener::accept(&mut tcp) => accepted,
            () = sender.closed() => return,
        };
        let (stream, address) = accepted;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    place.send((stream, address));
                }
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake"),
                Err(_) => tracing::debug!("TLS handshake timed out"),
            }
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task ends after this listener only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
