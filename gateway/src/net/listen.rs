//! Listening sockets and the accept loop.
//!
//! On Linux every worker has a socket of its own on the same port (`SO_REUSEPORT`) and the kernel
//! spreads connections over them. Elsewhere the workers share one socket.

use std::{cell::Cell, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    time,
};

use crate::metrics::{Metrics, OneMore};

/// Connections that wait to be accepted, for each worker.
const BACKLOG: i32 = 1024;

/// Opens the sockets for `count` workers; all of them have the same address.
///
/// # Errors
///
/// The address cannot be bound; another process that listens there is an error, even one that
/// would share the port.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let spread = cfg!(target_os = "linux");
    if spread && address.port() != 0 {
        // Sockets with `SO_REUSEPORT` of two processes share a port without a word, and each would
        // get half of the other's connections. One without it fails as it should.
        drop(socket(address, false)?);
    }
    let first = socket(address, spread)?;
    first.listen(BACKLOG)?;
    let first: std::net::TcpListener = first.into();
    let address = first.local_addr()?;
    let mut all = vec![first];
    while let Some(first) = all.first().filter(|_| all.len() < count) {
        let next = if spread {
            let socket = socket(address, true)?;
            socket.listen(BACKLOG)?;
            socket.into()
        } else {
            first.try_clone()?
        };
        all.push(next);
    }
    Ok(all)
}

/// Gives each of `count` workers a handle of one socket that listens already.
///
/// # Errors
///
/// The system gives no more file descriptors.
pub(crate) fn share(
    socket: std::net::TcpListener,
    count: usize,
) -> io::Result<Vec<std::net::TcpListener>> {
    socket.set_nonblocking(true)?;
    let mut all = vec![socket];
    while let Some(first) = all.first().filter(|_| all.len() < count) {
        all.push(first.try_clone()?);
    }
    Ok(all)
}

fn socket(address: SocketAddr, spread: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // A restart finds the port free although old connections are in TIME_WAIT. On Windows the
    // option means something else.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(spread)?;
    #[cfg(not(target_os = "linux"))]
    let _ = spread;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Counts the connections of a worker; beyond the limit, new ones wait in the kernel's queue.
#[derive(Debug)]
pub(crate) struct Connections {
    open: Cell<usize>,
    most: usize,
    changed: Notify,
    metrics: Arc<Metrics>,
}

impl Connections {
    pub(crate) fn new(most: usize, metrics: Arc<Metrics>) -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(0),
            most,
            metrics,
            changed: Notify::new(),
        })
    }

    /// Waits until there is room for one more, and takes it.
    pub(crate) async fn room(self: &Rc<Self>) -> Place {
        if self.open.get() >= self.most {
            self.metrics.connections.full();
        }
        while self.open.get() >= self.most {
            self.changed.notified().await;
        }
        self.open.set(self.open.get() + 1);
        Place {
            connections: Rc::clone(self),
            counted: None,
        }
    }

    /// Waits until no connection is left.
    pub(crate) async fn none_left(&self) {
        while self.open.get() > 0 {
            self.changed.notified().await;
        }
    }
}

/// One connection's place among those that are allowed.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Rc<Connections>,
    /// Once it is taken.
    counted: Option<OneMore>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let connections = &self.connections;
        connections
            .open
            .set(connections.open.get().saturating_sub(1));
        connections.changed.notify_one();
    }
}

/// Accepts the next connection, waiting for room first. Never fails: what goes wrong passes.
pub(crate) async fn accept(
    listener: &TcpListener,
    connections: &Rc<Connections>,
) -> (TcpStream, SocketAddr, Place) {
    let mut place = connections.room().await;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer is written whole; waiting to fill a packet only delays it.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection ended before it was served");
                }
                place.counted = Some(connections.metrics.connections.public());
                return (stream, peer, place);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of file descriptors, most likely: trying again at once would only burn time.
                tracing::warn!(%error, "accepting a connection failed");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
