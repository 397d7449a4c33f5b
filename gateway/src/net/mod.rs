//! Sockets and time: what happens below HTTP, all of it within one worker.

pub(crate) mod backend;
mod connector;
pub(crate) mod frames;
pub(crate) mod http1;
pub(crate) mod incoming;
pub(crate) mod io;
mod line;
pub(crate) mod listen;
pub(crate) mod multiplexed;
pub(crate) mod names;
pub(crate) mod network;
pub(crate) mod peers;
pub(crate) mod pool;
pub(crate) mod sniff;
mod socket;
pub(crate) mod tls;
mod trouble;
pub(crate) mod tunnel;
pub(crate) mod watch;
