//! Sockets and time: what happens below HTTP, all of it within one worker.

pub(crate) mod io;
pub(crate) mod listen;
pub(crate) mod pool;
mod stuck;
pub(crate) mod watch;
