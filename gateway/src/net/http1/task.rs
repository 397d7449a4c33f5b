//! The task of an upload whose answer has begun.

use std::time::Duration;

use tokio::{
    task::{self, AbortHandle},
    time,
};

/// How long what has been taken of a request may be on its way to an upstream that has answered already.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// It ends with whoever has the connection: an upstream that does not read would keep it for ever.
#[derive(Debug, Default)]
pub(super) struct Task(Option<AbortHandle>);

impl Task {
    pub(super) fn spawn(task: impl Future<Output = ()> + 'static) -> Self {
        Self(Some(task::spawn_local(task).abort_handle()))
    }

    /// Lets it write what is left, for a while.
    pub(super) fn end_soon(mut self) {
        if let Some(task) = self.0.take().filter(|task| !task.is_finished()) {
            task::spawn_local(async move {
                time::sleep(LAST_WORDS).await;
                task.abort();
            });
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
