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

use super::tunnel::Tunnel;
use crate::{bounds::Times, config::Limits, steps::limit::Permit};

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
    /// Another protocol is spoken, in both directions.
    Tunnel,
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
    /// All of the request took too long.
    Total,
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
    /// When the request is late as a whole; [`NEVER`] where no limit says so.
    deadline: Cell<u64>,
    /// Limits of the request's route, an idle and a response time, that take the place of those of
    /// all; a tick included.
    own: Cell<(Option<u64>, Option<u64>)>,
    /// How much of the request's body may still come.
    body_left: Cell<u64>,
    /// More of it came.
    too_large: Cell<bool>,
    /// The request's place among those of its route, where their number is limited.
    held: Cell<Option<Permit>>,
    /// The answer broke off: the connection must not look as if it had ended as it should.
    cut: Cell<bool>,
    draining: Cell<bool>,
    /// The request asks for another protocol, and may.
    wants_upgrade: Cell<bool>,
    /// What the connection is used for once its last answer has been given.
    tunnel: RefCell<Option<Box<Tunnel>>>,
    waker: RefCell<Option<Waker>>,
    clock: Rc<Clock>,
}

struct Clock {
    origin: Instant,
    tick: Duration,
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
        self.deadline.set(NEVER);
        self.own.set((None, None));
        self.body_left.set(NEVER);
        self.too_large.set(false);
        self.held.set(None);
        self.begin_again(has_body);
    }

    /// The same request once more, within what is left of its limits.
    pub(crate) fn begin_again(&self, has_body: bool) {
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

    /// Gives the request that runs limits of its own.
    pub(crate) fn keep_to(&self, times: &Times) {
        let tick = self.clock.tick;
        let own = |time: Option<Duration>| time.map(|time| ms(time + tick));
        self.own.set((own(times.idle), own(times.response)));
        let deadline =
            own(times.total).map_or(NEVER, |total| self.clock.now.get().saturating_add(total));
        self.deadline.set(deadline);
    }

    /// Keeps a place for the request until its answer is written.
    pub(crate) fn hold(&self, permit: Permit) {
        self.held.set(Some(permit));
    }

    /// The request has ended with its answer.
    pub(crate) fn end(&self) {
        self.held.set(None);
        self.enter(Phase::Idle);
    }

    /// Lets no more than that of the request's body through.
    pub(crate) fn allow_body(&self, bytes: u64) {
        self.body_left.set(bytes);
    }

    /// Whether so many more bytes of the request's body may pass.
    pub(crate) fn takes(&self, bytes: usize) -> bool {
        let left = u64::try_from(bytes)
            .ok()
            .and_then(|bytes| self.body_left.get().checked_sub(bytes));
        match left {
            Some(left) => self.body_left.set(left),
            None => self.too_large.set(true),
        }
        left.is_some()
    }

    /// Whether more of the request's body came than was allowed.
    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large.get()
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

    /// Kept here, since the future of every request would be larger for it.
    pub(crate) fn set_wants_upgrade(&self, wants: bool) {
        self.wants_upgrade.set(wants);
    }

    pub(crate) fn wants_upgrade(&self) -> bool {
        self.wants_upgrade.get()
    }

    /// The upstream has changed the protocol.
    pub(crate) fn set_tunnel(&self, tunnel: Tunnel) {
        self.tunnel.replace(Some(Box::new(tunnel)));
    }

    /// The answer that tells the client of it is ready; it held `permit`.
    pub(crate) fn hold_tunnel(&self, permit: Option<Permit>) {
        if let Some(tunnel) = self.tunnel.borrow_mut().as_mut() {
            tunnel.hold([permit, self.held.take()]);
        }
    }

    /// `None` too where the client got another answer than the upstream's, after a panic say: what
    /// it sends is HTTP then, and must not reach an upstream that does not read it so.
    pub(crate) fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.take().filter(|tunnel| tunnel.is_open())
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
        let runs = matches!(
            self.phase.get(),
            Phase::Awaiting | Phase::Streaming | Phase::Tunnel
        );
        if runs && self.clock.now.get() >= self.end.get() {
            return self.give_up();
        }
        if runs && self.clock.now.get() > self.deadline.get() {
            // Once: the answer that says so needs time too.
            self.deadline.set(NEVER);
            return self.is_late(Late::Total);
        }
        let (idle, response) = self.own.get();
        let age = self.clock.now.get().saturating_sub(self.since.get());
        let limit = match self.phase.get() {
            Phase::Idle => limits.idle,
            Phase::Streaming | Phase::Tunnel => idle.unwrap_or(limits.idle),
            Phase::Head => limits.head,
            Phase::Working => return,
            Phase::Awaiting if self.uploading.get() => idle.unwrap_or(limits.idle),
            Phase::Awaiting => response.unwrap_or(limits.response),
            Phase::Closing => limits.linger,
        };
        if age <= limit {
            return;
        }
        self.is_late(if self.uploading.get() {
            Late::Client
        } else {
            Late::Upstream
        });
    }

    /// Ends what runs, with an answer where none has begun.
    fn is_late(&self, late: Late) {
        if self.phase.get() == Phase::Awaiting {
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

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NEVER)
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
}

impl Watches {
    /// Where routes have times of their own, `shortest` is the shortest of them.
    pub(crate) fn with_others(limits: &Limits, shortest: Duration) -> Self {
        let shortest = limits
            .idle_timeout
            .min(limits.head_timeout)
            .min(limits.response_timeout)
            .min(shortest);
        let tick = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(500));
        let with_tick = |limit: Duration| ms(limit + tick);
        Self {
            clock: Rc::new(Clock {
                origin: Instant::now(),
                tick,
                now: Cell::new(0),
            }),
            all: RefCell::default(),
            timeouts: Timeouts {
                idle: with_tick(limits.idle_timeout),
                head: with_tick(limits.head_timeout),
                response: with_tick(limits.response_timeout),
                linger: with_tick(LINGER),
            },
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
            deadline: Cell::new(NEVER),
            own: Cell::new((None, None)),
            body_left: Cell::new(NEVER),
            too_large: Cell::new(false),
            held: Cell::new(None),
            cut: Cell::new(false),
            draining: Cell::new(false),
            wants_upgrade: Cell::new(false),
            tunnel: RefCell::default(),
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

    pub(crate) fn tick(&self) -> Duration {
        self.clock.tick
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
    pub(crate) fn new(limits: &Limits) -> Self {
        Self::with_others(limits, Duration::MAX)
    }

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
            .field("tick", &self.clock.tick)
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
            (Phase::Tunnel, 60_500),
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
        for phase in [Phase::Awaiting, Phase::Tunnel, Phase::Streaming] {
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
