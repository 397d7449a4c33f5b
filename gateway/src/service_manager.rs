//! systemd: sockets that it opened before us, and telling it how we are (`sd_listen_fds(3)`,
//! `sd_notify(3)`). Without systemd, and elsewhere than on Unix, nothing here does anything.

use std::io;

use crate::run::Sockets;

/// The name (`FileDescriptorName=` of a socket unit) of the admin listener's socket. Any other is the
/// public listener's.
pub const ADMIN_SOCKET: &str = "admin";

/// Takes the sockets that the service manager gave this process, if any.
///
/// Reads and clears the environment variables of that protocol, so it is for the start of `main`, before
/// there are threads.
///
/// ```no_run
/// # async fn run(config: obo_gateway::Config) -> Result<(), Box<dyn std::error::Error>> {
/// let sockets = obo_gateway::service_manager::sockets()?;
/// let gateway = obo_gateway::start_on(config, sockets).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// One is no listening TCP socket, or there are two for the same purpose.
#[cfg(unix)]
pub fn sockets() -> io::Result<Sockets> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut given = listenfd::ListenFd::from_env();
    let mut sockets = Sockets::default();
    let mut names = names.split(':');
    for number in 0..given.len() {
        let name = names.next().unwrap_or_default();
        let socket = given.take_tcp_listener(number).map_err(|error| {
            io::Error::new(error.kind(), format!("socket {number} ({name:?}) that the service manager gave is no TCP socket that listens: {error}"))
        })?;
        let place = if name == ADMIN_SOCKET {
            &mut sockets.admin
        } else {
            &mut sockets.listen
        };
        if place.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "the service manager gave two sockets for one listener; the one for the admin listener has FileDescriptorName={ADMIN_SOCKET}"
                ),
            ));
        }
        *place = socket;
    }
    Ok(sockets)
}

/// See the function of the same name on Unix.
///
/// # Errors
///
/// None.
#[cfg(not(unix))]
pub fn sockets() -> io::Result<Sockets> {
    Ok(Sockets::default())
}

/// What the service manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Connections are accepted; requests that need keys get 503 until they are there.
    Listening,
    /// Requests are served.
    Serving,
    /// What runs may finish.
    Stopping,
}

/// Tells the service manager, where there is one (`Type=notify`).
///
/// A gateway that listens counts as started although the identity provider may be out of reach: it
/// recovers by itself, and a restart would not help.
#[cfg(unix)]
pub fn tell(phase: Phase) {
    use sd_notify::NotifyState::{Ready, Status, Stopping};
    let told = match phase {
        Phase::Listening => sd_notify::notify(&[
            Ready,
            Status("listens; the identity provider's keys or the credential are not there yet"),
        ]),
        Phase::Serving => sd_notify::notify(&[Ready, Status("serves")]),
        Phase::Stopping => {
            sd_notify::notify(&[Stopping, Status("shutting down: running requests finish")])
        }
    };
    if let Err(error) = told {
        tracing::warn!(%error, "telling the service manager failed");
    }
}

/// See the function of the same name on Unix.
#[cfg(not(unix))]
pub fn tell(_: Phase) {}
