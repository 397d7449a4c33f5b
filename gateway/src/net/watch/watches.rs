//! All of them, and the sweep that looks at each.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::{Rc, Weak},
    time::Duration,
};

use tokio::time::Instant;
use tower_obo::DenyList;

use super::{
    Ending, Late, NEVER, Phase, Watch, ms,
    pace::{Pace, Slow},
    silence::Silence,
};
use crate::config::Limits;

/// How long a connection that is about to close may go on reading what it throws away.
const LINGER: Duration = Duration::from_secs(1);

/// How long a connection may stay idle at a shutdown. A client that sends its next request meanwhile gets
/// an answer, which says that it is the last; one whose request crossed the end of the connection would
/// have to find out whether it was served.
const GRACE: Duration = Duration::from_secs(1);

/// What the sweep moves on.
pub(super) struct Clock {
    origin: Instant,
    pub(super) tick: Cell<Duration>,
    pub(super) now: Cell<u64>,
    /// For what begins.
    pub(super) timeouts: Cell<Timeouts>,
}

/// In milliseconds, a tick included: `since` may be a tick old.
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    idle: u64,
    head: u64,
    response: u64,
    linger: u64,
    grace: u64,
}

impl Timeouts {
    /// Idle and response.
    pub(super) const fn of_a_request(self) -> (u64, u64) {
        (self.idle, self.response)
    }
}

/// How often to sweep, and what has waited for too long then.
fn times(limits: &Limits, shortest: Duration) -> (Duration, Timeouts) {
    let shortest = limits
        .idle_timeout
        .min(limits.head_timeout)
        .min(limits.response_timeout)
        .min(shortest);
    let tick = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(500));
    let with_tick = |limit: Duration| ms(limit + tick);
    let timeouts = Timeouts {
        idle: with_tick(limits.idle_timeout),
        head: with_tick(limits.head_timeout),
        response: with_tick(limits.response_timeout),
        linger: with_tick(LINGER),
        grace: with_tick(GRACE),
    };
    (tick, timeouts)
}

/// All connections of a worker and their requests.
pub(crate) struct Watches {
    clock: Rc<Clock>,
    pub(super) all: RefCell<Vec<Weak<Watch>>>,
    /// Who seems to have said nothing for too long.
    pub(super) doubted: RefCell<Vec<Weak<Watch>>>,
    /// Whether the last sweep came so late that it judged nobody.
    excused: Cell<bool>,
    slow: Slow,
    deny: DenyList,
}

impl Watches {
    /// Where routes have times of their own, `shortest` is the shortest of them.
    pub(crate) fn with_others(limits: &Limits, shortest: Duration) -> Self {
        let (tick, timeouts) = times(limits, shortest);
        Self {
            clock: Rc::new(Clock {
                origin: Instant::now(),
                tick: Cell::new(tick),
                now: Cell::new(0),
                timeouts: Cell::new(timeouts),
            }),
            all: RefCell::default(),
            doubted: RefCell::default(),
            excused: Cell::new(false),
            slow: Slow::default(),
            deny: DenyList::default(),
        }
    }

    /// The same, with this list of who is cut off.
    pub(crate) fn with_deny_list(mut self, deny: DenyList) -> Self {
        self.deny = deny;
        self
    }

    /// Other limits. A request that runs keeps those that it began with.
    pub(crate) fn keep_to(&self, limits: &Limits, shortest: Duration) {
        let (tick, timeouts) = times(limits, shortest);
        self.clock.tick.set(tick);
        self.clock.timeouts.set(timeouts);
    }

    /// A record for a connection or a request that begins.
    pub(crate) fn add(&self) -> Rc<Watch> {
        let watch = Rc::new(Watch {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(self.clock.now.get()),
            uploading: Cell::new(false),
            uploaded: Cell::new(true),
            trailers: Cell::new(false),
            answering: Cell::new(false),
            had_body: Cell::new(false),
            came_along: Cell::new(0),
            upload: Cell::new(0),
            uploader: RefCell::default(),
            late: Cell::new(None),
            pace: Pace::default(),
            silence: Silence::default(),
            overdue: Cell::new(false),
            end: Cell::new(NEVER),
            caller: RefCell::default(),
            deadline: Cell::new(NEVER),
            own: Cell::new(self.clock.timeouts.get().of_a_request()),
            body_left: Cell::new(NEVER),
            too_large: Cell::new(false),
            account: Cell::default(),
            record: RefCell::default(),
            served: Cell::new(false),
            unparsed: Cell::new(None),
            held: Cell::new(None),
            brief: Cell::new(false),
            cut: Cell::new(false),
            ending: Cell::new(None),
            draining: Cell::new(false),
            fresh: Cell::new(true),
            awaited: Cell::new(0),
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
        self.clock.tick.get()
    }

    /// Moves the clock and wakes all that have waited too long.
    pub(super) fn sweep(&self) {
        self.sweep_at(u64::try_from(self.clock.origin.elapsed().as_millis()).unwrap_or(u64::MAX));
    }

    /// A sweep that comes late finds a thread that stood still: what others have sent meanwhile has not
    /// been read yet, and nobody is to blame. The next one judges, however late it is.
    pub(super) fn sweep_at(&self, now: u64) {
        let elapsed = now.saturating_sub(self.clock.now.get());
        let late = elapsed > ms(self.clock.tick.get() * 4);
        self.clock.now.set(now);
        let excused = late && !self.excused.get();
        self.excused.set(excused);
        let timeouts = self.clock.timeouts.get();
        self.slow.forgive(now);
        self.all.borrow_mut().retain(|watch| match watch.upgrade() {
            Some(watch) => {
                if self.cuts_off(&watch) {
                    watch.end_for(Ending::CutOff);
                } else if !excused {
                    if watch.judge(&timeouts) {
                        self.doubt(&watch);
                    }
                    self.slow.judge(&watch, now, elapsed);
                }
                true
            }
            None => false,
        });
    }

    /// Whether what is under way is a stream of somebody who is cut off.
    fn cuts_off(&self, watch: &Watch) -> bool {
        if self.deny.is_empty() || !watch.runs() {
            return false;
        }
        let caller = watch.caller.borrow();
        caller
            .as_ref()
            .is_some_and(|caller| self.deny.covers(caller))
    }

    /// Whatever still runs ends unfinished, and not by its client's doing.
    pub(crate) fn cut(&self) {
        for watch in self.all.borrow().iter().filter_map(Weak::upgrade) {
            watch.set_cut();
        }
    }

    /// Ends the tunnels, which would not end by themselves, while there is time to say so.
    pub(crate) fn end_tunnels(&self) {
        for watch in self.all.borrow().iter().filter_map(Weak::upgrade) {
            if watch.phase() == Phase::Tunnel {
                watch.end_for(Ending::GoingAway);
            }
        }
    }

    /// Tells every connection to end after the request that runs. Whoever has connected a moment ago has not
    /// done so for nothing, and may be on a machine that is busy: their first request has as long as its head
    /// may take, but never all of what there is `within` which everything is to be over.
    pub(crate) fn drain(&self, within: Duration) {
        let Timeouts { head, grace, .. } = self.clock.timeouts.get();
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let within = within.saturating_sub(grace);
        for watch in self.all.borrow().iter().filter_map(Weak::upgrade) {
            watch.draining.set(true);
            let age = self.clock.now.get().saturating_sub(watch.since.get());
            let is_awaited = watch.fresh.get() && age.saturating_add(grace) < head;
            let until = head.min(age.saturating_add(within));
            watch.awaited.set(if is_awaited { until } else { 0 });
            if watch.phase() == Phase::Idle && !is_awaited {
                watch.touch();
            }
            watch.wake();
        }
    }
}

impl Watch {
    /// Ends what has no more time, whatever moves. Whether nothing has moved for too long.
    fn judge(&self, limits: &Timeouts) -> bool {
        let runs = self.runs();
        if runs && self.clock.now.get() >= self.end.get() {
            self.end_for(Ending::TokenExpired);
            return false;
        }
        let may_be_late = runs || self.phase.get() == Phase::Working;
        if may_be_late && self.clock.now.get() > self.deadline.get() {
            // Once: the answer that says so needs time too.
            self.deadline.set(NEVER);
            // Who waits for the rest of the body does not wait for the upstream.
            self.is_late(if self.uploading.get() {
                Late::Client
            } else {
                Late::Total
            });
            return false;
        }
        let (idle, response) = self.own.get();
        let age = self.clock.now.get().saturating_sub(self.since.get());
        let limit = match self.phase.get() {
            Phase::Idle if self.draining.get() && self.awaited.get() > 0 => {
                limits.idle.min(self.awaited.get())
            }
            // Not where the last answer is still on its way to a client that takes its time.
            Phase::Idle if self.draining.get() && !self.answering.get() => {
                limits.idle.min(limits.grace)
            }
            Phase::Idle => limits.idle,
            // What a stream of HTTP/2 keeps of it is held by nothing else.
            Phase::Streaming if self.brief.get() => limits.head.min(limits.idle),
            Phase::Streaming | Phase::Tunnel => idle,
            Phase::Head => limits.head,
            Phase::Working => return false,
            Phase::Awaiting if self.uploading.get() => idle,
            Phase::Awaiting => response,
            Phase::Closing => limits.linger,
        };
        age > limit
    }

    /// Ends what runs, with an answer where none has begun.
    pub(super) fn is_late(&self, late: Late) {
        self.is_not_for_silence();
        if matches!(self.phase.get(), Phase::Awaiting | Phase::Working) {
            self.late.set(Some(late));
            self.wake();
        } else {
            self.end_for(Ending::Late);
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
            if watch.judge(&self.clock.timeouts.get()) {
                watch.is_silent();
            }
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
            .field("tick", &self.clock.tick.get())
            .finish_non_exhaustive()
    }
}
