//! Where the core's network work runs.

use std::{fmt, future::Future, pin::Pin};

use tokio::runtime::Handle;

/// A future that a [`Spawner`] runs to its end.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the network work of the core: key fetches and exchanges.
///
/// A connection of an HTTP client belongs to the runtime that opened it. A program with several
/// runtimes (one per core, say) therefore gives the core a spawner onto *one* of them, and the
/// others only wait for results.
///
/// The default is the Tokio runtime on which the core was built.
pub trait Spawner: fmt::Debug + Send + Sync + 'static {
    /// Runs `task` to its end, independently of the caller.
    fn spawn(&self, task: Task);
}

/// Spawns on a Tokio runtime.
///
/// ```
/// use tower_obo::{Spawner, TokioSpawner};
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// let spawner = TokioSpawner::new(runtime.handle().clone());
/// spawner.spawn(Box::pin(async {}));
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TokioSpawner(Option<Handle>);

impl TokioSpawner {
    /// Spawns on the runtime of `handle`.
    #[must_use]
    pub const fn new(handle: Handle) -> Self {
        Self(Some(handle))
    }

    /// Spawns on the runtime that is current now, or, where there is none, on the one that is
    /// current when a task comes.
    #[must_use]
    pub fn current() -> Self {
        Self(Handle::try_current().ok())
    }
}

impl Spawner for TokioSpawner {
    fn spawn(&self, task: Task) {
        match &self.0 {
            Some(handle) => drop(handle.spawn(task)),
            None => match Handle::try_current() {
                Ok(handle) => drop(handle.spawn(task)),
                // The callers that wait for the task see it dropped, and answer 503.
                Err(error) => tracing::error!(%error, "no Tokio runtime to run network work on"),
            },
        }
    }
}
