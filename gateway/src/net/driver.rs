//! Lets an HTTP/1 connection to an upstream get on from within the request that has it.
//!
//! hyper's connection is a future of its own, and usually a task: two tasks then wake each other
//! several times a request, and hyper's runs once more after the answer's last byte for nothing.
//! Most requests have no body, and while such a request has the connection there is nothing to be
//! done on it that the request does not wait for. So the request polls it. A request with a body
//! may wait for its client in two ways at once, and needs a task: see [`Driver::run`].

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connector::Transport;
use crate::message::body::RequestBody;

type Connection = http1::Connection<TokioIo<Transport>, RequestBody>;

/// A connection that nobody else polls.
pub(super) struct Driver {
    connection: Box<Connection>,
    turn: Arc<Turn>,
    /// Made once of `turn`.
    waker: Waker,
}

impl Driver {
    pub(super) fn new(connection: Connection) -> Self {
        let turn = Arc::new(Turn {
            state: AtomicU8::new(RUNNING),
            task: Mutex::new(None),
        });
        Self {
            connection: Box::new(connection),
            waker: Waker::from(Arc::clone(&turn)),
            turn,
        }
    }

    /// Does what there is to do. Ready once the connection has ended, and not to be called then.
    pub(super) fn drive(&mut self) -> Poll<()> {
        self.turn.run();
        let mut cx = Context::from_waker(&self.waker);
        Pin::new(&mut *self.connection).poll(&mut cx).map(ended)
    }

    /// Polls what waits for the connection. Nobody is woken meanwhile: who is in a position to wake
    /// is the one who would be woken.
    pub(super) fn poll<T>(&self, what: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        what(&mut Context::from_waker(&self.waker))
    }

    /// The same before the connection was asked whether there is anything to do.
    pub(super) fn poll_first<T>(&self, what: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.turn.run();
        self.poll(what)
    }

    /// Wakes the task when there is something to do again.
    pub(super) fn park(&self, cx: &Context<'_>) {
        self.turn.park(cx);
    }

    /// Drives the connection to its end, as a task.
    pub(super) async fn run(mut self) {
        let polled = std::future::poll_fn(|cx| Pin::new(&mut *self.connection).poll(cx));
        ended(polled.await);
    }
}

fn ended(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the upstream ended");
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// The task is at it, or will be before it waits: it need not be woken.
const RUNNING: u8 = 0;
/// The task waits.
const PARKED: u8 = 1;
/// There is something to do.
const WOKEN: u8 = 2;

/// Whose turn it is. What the connection and its user say to each other passes through wakers, and
/// while one task is both, all of that would only make it run once more.
struct Turn {
    state: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Turn {
    fn run(&self) {
        self.state.store(RUNNING, Ordering::Release);
    }

    fn park(&self, cx: &Context<'_>) {
        {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *task {
                Some(known) => known.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        let parked =
            self.state
                .compare_exchange(RUNNING, PARKED, Ordering::AcqRel, Ordering::Acquire);
        if parked.is_err() {
            cx.waker().wake_by_ref();
        }
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == PARKED {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(task) = &*task {
                task.wake_by_ref();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_woken_once_and_only_while_it_waits_and_never_left_asleep() {
        let turn = Arc::new(Turn {
            state: AtomicU8::new(RUNNING),
            task: Mutex::new(None),
        });
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let woken = || count.0.load(Ordering::Relaxed);

        turn.wake_by_ref();
        assert_eq!(woken(), 0, "it runs");
        turn.park(&cx);
        assert_eq!(woken(), 1, "what happened before it waited is not lost");

        turn.run();
        turn.park(&cx);
        assert_eq!(woken(), 1);
        turn.wake_by_ref();
        turn.wake_by_ref();
        assert_eq!(woken(), 2);

        // Another task has the connection now.
        let other = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&other));
        turn.run();
        turn.park(&Context::from_waker(&waker));
        turn.wake_by_ref();
        assert_eq!((woken(), other.0.load(Ordering::Relaxed)), (2, 1));
    }
}
