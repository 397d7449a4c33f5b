//! What each client connection and each request is doing, and since when.
//!
//! Time-outs by a timer each would cost a registration with the runtime's timer wheel several times
//! a request. Instead there is one record of what is waited for; one sweep a tick looks
//! at all of them and wakes those that have waited too long. A limit is therefore kept to within a
//! tick, and never falls short.
//!
//! An HTTP/1 connection does one thing at a time, and its record is that of its request too. Over
//! HTTP/2 each request has one of its own.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use crate::config::Limits;

/// How long a connection that is about to close may go on reading what it throws away.
const LINGER: Duration = Duration::from_secs(1);

const NEVER: u64 = u64::MAX;

/// What a connection or a request is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between requests.
    Idle,
    /// The first byte of a request head has arrived, the last has not.
    Head,
    /// A request is being judged; whatever that waits for has limits of its own.
    Working,
    /// The upstream has the request, or is getting it; its answer has not begun.
    Awaiting,
    /// The answer is on its way to the client.
    Streaming,
    /// All is said; the client's last bytes are thrown away.
    Closing,
}

/// Why waiting for the upstream was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// The client stopped sending its body.
    Client,
    /// The upstream did not begin its answer.
    Upstream,
}

/// The record of one connection, or of one request of many on a connection.
pub(crate) struct Watch {
    phase: Cell<Phase>,
    /// Milliseconds on the sweep's clock.
    since: Cell<u64>,
    /// The request's body is waiting for the client.
    uploading: Cell<bool>,
    /// The request's body has ended, so that nothing more will be read from it.
    uploaded: Cell<bool>,
    /// The request's body ended with trailers.
    trailers: Cell<bool>,
    late: Cell<Option<Late>>,
    overdue: Cell<bool>,
    /// When the request has to end at the latest, whatever still moves; [`NEVER`] where nothing says
    /// so.
    end: Cell<u64>,
    /// The answer broke off: the connection must not look as if it had ended as it should.
    cut: Cell<bool>,
    draining: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    clock: Rc<Clock>,
}

struct Clock {
    origin: Instant,
    now: Cell<u64>,
}

impl Watch {
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.touch();
    }

    /// Something moved.
    pub(crate) fn touch(&self) {
        self.since.set(self.clock.now.get());
    }

    /// A request begins; `has_body` says whether its body is still to be read.
    pub(crate) fn begin(&self, has_body: bool) {
        self.uploading.set(false);
        self.uploaded.set(!has_body);
        self.trailers.set(false);
        self.late.set(None);
        self.end.set(NEVER);
        self.enter(Phase::Working);
    }

    pub(crate) fn set_uploading(&self, waiting: bool) {
        self.uploading.set(waiting);
        if !waiting {
            self.touch();
        }
    }

    pub(crate) fn set_uploaded(&self) {
        self.uploaded.set(true);
    }

    pub(crate) fn is_uploaded(&self) -> bool {
        self.uploaded.get()
    }

    pub(crate) fn set_trailers(&self) {
        self.trailers.set(true);
    }

    /// Whether the request's body has ended, and without trailers.
    pub(crate) fn has_plain_end(&self) -> bool {
        self.uploaded.get() && !self.trailers.get()
    }

    /// Waits for `answer` within the limits for the upstream's head and the client's body.
    ///
    /// By reference, since a future that is moved in is kept twice in the caller's.
    ///
    /// # Errors
    ///
    /// Who was late.
    pub(crate) fn await_answer<'a, F: Future>(
        &'a self,
        mut answer: Pin<&'a mut F>,
    ) -> impl Future<Output = Result<F::Output, Late>> + use<'a, F> {
        self.enter(Phase::Awaiting);
        // The sweep wakes the task that asked for orders, which is the one that polls this.
        poll_fn(move |cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => match self.late.take() {
                Some(late) => Poll::Ready(Err(late)),
                None => Poll::Pending,
            },
        })
    }

    /// Lets the request end after that time, or `None`, whenever it ends by itself.
    pub(crate) fn end_after(&self, time: Option<Duration>) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(NEVER);
        let end = time.map_or(NEVER, |time| self.clock.now.get().saturating_add(ms(time)));
        self.end.set(end);
    }

    /// The answer that has begun will not be whole.
    pub(crate) fn set_cut(&self) {
        self.cut.set(true);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// Ends it at the next opportunity, as if it had waited too long.
    pub(crate) fn give_up(&self) {
        if self.phase.get() == Phase::Streaming {
            self.set_cut();
        }
        self.overdue.set(true);
        self.wake();
    }

    /// Gives a connection that was to end the time for its last words.
    pub(crate) fn reprieve(&self) {
        self.overdue.set(false);
        self.enter(Phase::Closing);
    }

    /// What the task of the connection or of the request asks whenever it is polled.
    pub(crate) fn poll_orders(&self, cx: &Context<'_>) -> Orders {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
        Orders {
            close: self.overdue.get(),
            drain: self.draining.get(),
        }
    }

    /// Waits for what a connection begins with. `None` where that takes too long, or where the
    /// gateway shuts down while nothing has come at all.
    pub(crate) fn before_anything<'a, F: Future>(
        &'a self,
        mut first: Pin<&'a mut F>,
    ) -> impl Future<Output = Option<F::Output>> + use<'a, F> {
        poll_fn(move |cx| {
            let orders = self.poll_orders(cx);
            if orders.close {
                return Poll::Ready(None);
            }
            match first.as_mut().poll(cx) {
                Poll::Ready(first) => Poll::Ready(Some(first)),
                Poll::Pending if orders.drain && self.phase() == Phase::Idle => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn judge(&self, limits: &Timeouts) {
        let runs = matches!(self.phase.get(), Phase::Awaiting | Phase::Streaming);
        if runs && self.clock.now.get() >= self.end.get() {
            return self.give_up();
        }
        let age = self.clock.now.get().saturating_sub(self.since.get());
        let limit = match self.phase.get() {
            Phase::Idle | Phase::Streaming => limits.idle,
            Phase::Head => limits.head,
            Phase::Working => return,
            Phase::Awaiting if self.uploading.get() => limits.idle,
            Phase::Awaiting => limits.response,
            Phase::Closing => limits.linger,
        };
        if age <= limit {
            return;
        }
        if self.phase.get() == Phase::Awaiting {
            let late = if self.uploading.get() {
                Late::Client
            } else {
                Late::Upstream
            };
            self.late.set(Some(late));
            self.wake();
        } else {
            self.give_up();
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// What a connection or a request is told to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    /// End at once.
    pub(crate) close: bool,
    /// End after the request that runs.
    pub(crate) drain: bool,
}

/// In milliseconds, a tick included: `since` may be a tick old.
struct Timeouts {
    idle: u64,
    head: u64,
    response: u64,
    linger: u64,
}

/// All connections of a worker and their requests.
pub(crate) struct Watches {
    clock: Rc<Clock>,
    all: RefCell<Vec<Weak<Watch>>>,
    timeouts: Timeouts,
    tick: Duration,
}

impl Watches {
    pub(crate) fn new(limits: &Limits) -> Self {
        let shortest = limits
            .idle_timeout
            .min(limits.head_timeout)
            .min(limits.response_timeout);
        let tick = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(500));
        let ms = |limit: Duration| u64::try_from((limit + tick).as_millis()).unwrap_or(u64::MAX);
        Self {
            clock: Rc::new(Clock {
                origin: Instant::now(),
                now: Cell::new(0),
            }),
            all: RefCell::default(),
            timeouts: Timeouts {
                idle: ms(limits.idle_timeout),
                head: ms(limits.head_timeout),
                response: ms(limits.response_timeout),
                linger: ms(LINGER),
            },
            tick,
        }
    }

    /// A record for a connection or a request that begins.
    pub(crate) fn add(&self) -> Rc<Watch> {
        let watch = Rc::new(Watch {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(self.clock.now.get()),
            uploading: Cell::new(false),
            uploaded: Cell::new(true),
            trailers: Cell::new(false),
            late: Cell::new(None),
            overdue: Cell::new(false),
            end: Cell::new(NEVER),
            cut: Cell::new(false),
            draining: Cell::new(false),
            waker: RefCell::new(None),
            clock: Rc::clone(&self.clock),
        });
        self.all.borrow_mut().push(Rc::downgrade(&watch));
        watch
    }

    /// Milliseconds on the sweep's clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now.get()
    }

    pub(crate) const fn tick(&self) -> Duration {
        self.tick
    }

    /// Moves the clock and wakes all that have waited too long.
    pub(crate) fn sweep(&self) {
        let now = u64::try_from(self.clock.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.clock.now.set(now);
        self.all.borrow_mut().retain(|watch| match watch.upgrade() {
            Some(watch) => {
                watch.judge(&self.timeouts);
                true
            }
            None => false,
        });
    }

    /// Tells every connection to end after the request that runs.
    pub(crate) fn drain(&self) {
        for watch in self.all.borrow().iter().filter_map(Weak::upgrade) {
            watch.draining.set(true);
            watch.wake();
        }
    }
}

#[cfg(test)]
impl Watches {
    /// Lets time pass.
    pub(crate) fn later(&self, ms: u64) {
        self.clock.now.set(self.clock.now.get() + ms);
        for watch in self.all.borrow().iter().filter_map(Weak::upgrade) {
            watch.judge(&self.timeouts);
        }
    }
}

#[cfg(test)]
impl Watch {
    pub(crate) fn is_overdue(&self) -> bool {
        self.overdue.get()
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches")
            .field("tick", &self.tick)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watches() -> Watches {
        Watches::new(&Limits::default())
    }

    #[test]
    fn each_phase_has_its_limit_and_progress_starts_it_anew() {
        for (phase, limit) in [
            (Phase::Idle, 60_500),
            (Phase::Head, 10_500),
            (Phase::Streaming, 60_500),
            (Phase::Closing, 1_500),
        ] {
            let watches = watches();
            let watch = watches.add();
            watch.enter(phase);
            watches.later(limit);
            assert!(!watch.overdue.get(), "{phase:?}");
            watch.touch();
            watches.later(limit);
            assert!(!watch.overdue.get(), "{phase:?}");
            watches.later(1);
            assert!(watch.overdue.get(), "{phase:?}");
        }
    }

    #[test]
    fn a_request_that_is_judged_has_no_limit_here() {
        let watches = watches();
        let watch = watches.add();
        watch.begin(false);
        watches.later(1_000_000);
        assert!(!watch.overdue.get());
    }

    #[test]
    fn who_was_late_depends_on_whose_bytes_were_waited_for() {
        let watches = watches();
        let watch = watches.add();
        watch.enter(Phase::Awaiting);
        watches.later(60_501);
        assert_eq!(watch.late.take(), Some(Late::Upstream));
        watch.enter(Phase::Awaiting);
        watch.set_uploading(true);
        watches.later(60_501);
        assert_eq!(watch.late.take(), Some(Late::Client));
        assert!(!watch.overdue.get(), "there is an answer to give first");
    }

    #[test]
    fn a_request_that_has_an_end_ends_then_however_much_moves() {
        let watches = watches();
        let watch = watches.add();
        for phase in [Phase::Awaiting, Phase::Streaming] {
            watch.begin(false);
            watch.end_after(Some(Duration::from_secs(100)));
            watch.enter(phase);
            for _ in 0..9 {
                watches.later(10_000);
                watch.touch();
            }
            assert!(!watch.overdue.get(), "{phase:?}");
            watches.later(10_000);
            assert!(watch.overdue.get(), "{phase:?}");
            watch.overdue.set(false);
        }
        assert!(watch.is_cut(), "an answer had begun");

        // The next request of the connection has none, and neither has the time between.
        watch.enter(Phase::Idle);
        watches.later(10_000);
        assert!(!watch.overdue.get());
        watch.begin(false);
        watch.enter(Phase::Streaming);
        watches.later(10_000);
        assert!(!watch.overdue.get());
    }

    #[test]
    fn connections_that_have_ended_are_forgotten() {
        let watches = watches();
        let kept = watches.add();
        drop(watches.add());
        watches.sweep();
        assert_eq!(watches.all.borrow().len(), 1);
        drop(kept);
    }
}
