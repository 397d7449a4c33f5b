//! What each client connection and each request is doing, and since when.
//!
//! Time-outs by a timer each would cost a registration with the runtime's timer wheel several times
//! a request. Instead there is one record of what is waited for; one sweep a tick looks
//! at all of them and wakes those that have waited too long. A limit is therefore kept to within a
//! tick and some turns of a task, and never falls short.
//!
//! An HTTP/1 connection does one thing at a time, and its record is that of its request too. Over
//! HTTP/2 each request has one of its own.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;
use tower_obo::Principal;

use super::tunnel::Tunnel;
use crate::{
    bounds::Times, message::unparsed::Unparsed, record::Record, route::Route, steps::limit::Permit,
};

mod account;
mod pace;
mod silence;
mod uploads;
mod watches;

pub(crate) use self::watches::Watches;
use self::{pace::Pace, silence::Silence, watches::Clock};

const NEVER: u64 = u64::MAX;

/// What a connection or a request is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between requests.
    Idle,
    /// The first byte of a request head has arrived, the last has not.
    Head,
    /// A request is being judged. Whatever that waits for has limits of its own, so that of the
    /// request's only the time for all of it is looked at.
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

/// Why what runs is ended from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing moved for too long, or its time is over.
    Late,
    TokenExpired,
    /// The caller is on the deny list.
    CutOff,
    GoingAway,
}

impl Ending {
    /// The code of a WebSocket's Close frame and its reason (RFC 6455 §7.4.1). Whoever comes again with the same
    /// token is served after 1001, and refused after 1008.
    pub(crate) const fn words(self) -> (u16, &'static str) {
        match self {
            Self::Late => (1001, "a time limit of the gateway"),
            Self::TokenExpired => (1008, "the token has expired"),
            Self::CutOff => (1008, "access was withdrawn"),
            Self::GoingAway => (1001, "the gateway shuts down"),
        }
    }
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
    /// A request has begun, and its answer is not all with the client's kernel yet.
    answering: Cell<bool>,
    /// The request had one, so that what was read last may be of it.
    had_body: Cell<bool>,
    /// How much was read last, at most, behind the head of a request.
    came_along: Cell<u64>,
    /// Which of the connection's uploads may go on. One that outlives its answer has an older number.
    upload: Cell<u32>,
    /// Who waits for more of the upload.
    uploader: RefCell<Option<Waker>>,
    late: Cell<Option<Late>>,
    pace: Pace,
    silence: Silence,
    overdue: Cell<bool>,
    /// When the request has to end at the latest, whatever still moves; [`NEVER`] where nothing says
    /// so.
    end: Cell<u64>,
    /// Whom a stream or a tunnel is for: who is cut off must not go on with it.
    caller: RefCell<Option<Principal>>,
    /// When the request is late as a whole; [`NEVER`] where no limit says so.
    deadline: Cell<u64>,
    /// The request's idle and response time, a tick included: those of its route, or those that held for all
    /// when it began.
    own: Cell<(u64, u64)>,
    /// How much of the request's body may still come.
    body_left: Cell<u64>,
    /// More of it came.
    too_large: Cell<bool>,
    /// When the request began, and the route that it has got.
    account: Cell<(Option<Instant>, Option<Rc<Route>>)>,
    /// What is kept of it, where somebody writes about requests.
    record: RefCell<Option<Box<Record>>>,
    /// The upstream has answered.
    served: Cell<bool>,
    /// What came was no request, and has been refused.
    unparsed: Cell<Option<Box<Unparsed>>>,
    /// The request's place among those of its route, where their number is limited.
    held: Cell<Option<Permit>>,
    /// The answer is one of our own, which is short.
    brief: Cell<bool>,
    /// The answer broke off: the connection must not look as if it had ended as it should.
    cut: Cell<bool>,
    /// Why it was told to end.
    ending: Cell<Option<Ending>>,
    draining: Cell<bool>,
    /// No request has come yet.
    fresh: Cell<bool>,
    /// Nor had any at a shutdown that began soon after the client had connected: one may be on its way, and may
    /// come within so many milliseconds of then. 0: none is waited for.
    awaited: Cell<u64>,
    /// The request asks for another protocol, and may.
    wants_upgrade: Cell<bool>,
    /// What the connection is used for once its last answer has been given.
    tunnel: RefCell<Option<Box<Tunnel>>>,
    waker: RefCell<Option<Waker>>,
    clock: Rc<Clock>,
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
        self.is_heard();
    }

    /// A request begins; `has_body` says whether its body is still to be read.
    pub(crate) fn begin(&self, has_body: bool) {
        self.set_used();
        self.deadline.set(NEVER);
        self.own.set(self.clock.timeouts.get().of_a_request());
        self.body_left.set(NEVER);
        self.too_large.set(false);
        self.held.set(None);
        self.begin_again(has_body);
    }

    /// A request has come on the connection.
    pub(crate) fn set_used(&self) {
        self.fresh.set(false);
        self.awaited.set(0);
    }

    /// The same request once more, within what is left of its limits.
    pub(crate) fn begin_again(&self, has_body: bool) {
        self.end_uploads();
        self.uploaded.set(!has_body);
        self.had_body.set(has_body);
        self.trailers.set(false);
        self.answering.set(true);
        self.brief.set(false);
        self.late.set(None);
        self.owes_nothing();
        self.ending.set(None);
        self.end.set(NEVER);
        self.caller.take();
        self.enter(Phase::Working);
    }

    /// Whether what is written belongs to a request's answer: all that is, except what hyper says by
    /// itself where there is no request.
    pub(crate) fn is_answering(&self) -> bool {
        self.answering.get()
    }

    /// All that had to be written is. Whether an answer ended with it.
    pub(crate) fn flushed(&self) -> bool {
        matches!(self.phase.get(), Phase::Idle | Phase::Head) && self.answering.replace(false)
    }

    /// Gives the request that runs limits of its own.
    pub(crate) fn keep_to(&self, times: &Times) {
        let tick = self.clock.tick.get();
        let own = |time: Option<Duration>| time.map(|time| ms(time + tick));
        let (idle, response) = self.own.get();
        self.own.set((
            own(times.idle).unwrap_or(idle),
            own(times.response).unwrap_or(response),
        ));
        let deadline =
            own(times.total).map_or(NEVER, |total| self.clock.now.get().saturating_add(total));
        self.deadline.set(deadline);
    }

    pub(crate) fn set_unparsed(&self, refused: Unparsed) {
        self.unparsed.set(Some(Box::new(refused)));
    }

    /// The refusal of what was no request, if there is one that has not been counted.
    pub(crate) fn take_unparsed(&self) -> Option<Box<Unparsed>> {
        self.unparsed.take()
    }

    /// The upstream's answer is passed on.
    pub(crate) fn set_served(&self) {
        self.served.set(true);
    }

    pub(crate) fn is_served(&self) -> bool {
        self.served.get()
    }

    /// Keeps a place for the request until its answer is written, or no more than a little of it is
    /// left to be read.
    pub(crate) fn hold(&self, permit: Permit) {
        self.held.set(Some(permit));
    }

    /// Gives back what [`hold`](Self::hold) was given.
    pub(crate) fn release(&self) {
        self.held.set(None);
    }

    /// The answer is short, and whoever wants it takes it at once.
    pub(crate) fn set_brief(&self) {
        self.brief.set(true);
    }

    /// The request has ended with its answer.
    pub(crate) fn end(&self) {
        self.release();
        self.enter(Phase::Idle);
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

    /// Whether the time for all of the request has passed before it was sent. Asked by whoever waits
    /// for something else than the upstream, and to be answered.
    pub(crate) fn is_out_of_time(&self) -> bool {
        let late = self.late.take();
        self.late.set(late);
        late == Some(Late::Total)
    }

    /// Lets the request end after that time, or `None`, whenever it ends by itself.
    pub(crate) fn end_after(&self, time: Option<Duration>) {
        let end = time.map_or(NEVER, |time| self.clock.now.get().saturating_add(ms(time)));
        self.end.set(end);
    }

    /// What is under way is a stream or a tunnel of this caller.
    pub(crate) fn streams_for(&self, caller: Option<&Principal>) {
        self.caller.replace(caller.cloned());
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

    /// Ends it at the next opportunity.
    fn end_for(&self, ending: Ending) {
        if self.runs() {
            self.ending.set(Some(ending));
        }
        self.give_up();
    }

    /// Whether something is under way that has a caller, an upstream or both.
    fn runs(&self) -> bool {
        matches!(
            self.phase.get(),
            Phase::Awaiting | Phase::Streaming | Phase::Tunnel
        )
    }

    /// Why what runs is told to end, if it is.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending.get()
    }

    /// Ends it at the next opportunity, as if it had waited too long.
    pub(crate) fn give_up(&self) {
        if self.phase.get() == Phase::Streaming {
            self.set_cut();
        }
        self.overdue.set(true);
        self.wake();
    }

    /// Whether the gateway ends it.
    pub(crate) fn is_given_up(&self) -> bool {
        self.overdue.get()
    }

    /// Gives a connection that was to end the time for its last words.
    pub(crate) fn reprieve(&self) {
        self.overdue.set(false);
        self.enter(Phase::Closing);
    }

    /// What the task of the connection or of the request asks whenever it is polled.
    pub(crate) fn poll_orders(&self, cx: &Context<'_>) -> Orders {
        self.has_turn();
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

    /// Waits for what a connection begins with. `None` where that takes too long.
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
                Poll::Pending => Poll::Pending,
            }
        })
    }

    /// Whether the gateway shuts down.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
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

#[cfg(test)]
mod tests;
