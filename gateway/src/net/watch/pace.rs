//! Clients that are too slow while others wait for a place.
//!
//! Whoever takes an answer or sends a body keeps the request's place. Where there are few left, and its
//! address has more than it could get now, a client that keeps to no pace at all loses it; and the
//! address gets fewer for a while, since it would only take them again.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use super::{Late, Phase, Watch};
use crate::{message::exchange::Client, steps::limit::HeldBack};

/// How many milliseconds a client may be waited for, besides those that it has earned by what it moved.
const PATIENCE: u64 = 10_000;

/// Bytes that earn one: four kilobytes a second are a pace that nobody falls behind with.
const EARNS_ONE: u64 = 4;

/// How long an address has fewer places, in milliseconds.
const HELD_BACK_FOR: u64 = 60_000;

/// How often it is said, in milliseconds.
const SAID_EVERY: u64 = 60_000;

/// What the watch of a request knows of its client's pace.
#[derive(Default)]
pub(super) struct Pace {
    /// A piece of the answer waits for the client to make room.
    unread: Cell<bool>,
    /// How long the client was waited for, less what it has earned.
    owes: Cell<u64>,
    client: RefCell<Option<Rc<Client>>>,
}

/// What a sweep keeps for the next.
#[derive(Default)]
pub(super) struct Slow {
    /// Until when.
    held_back: RefCell<VecDeque<(u64, HeldBack)>>,
    said: Cell<Option<u64>>,
}

impl Watch {
    /// Whose request it is, or, of a connection, whose requests they are.
    pub(crate) fn belongs_to(&self, client: &Rc<Client>) {
        self.pace.client.replace(Some(Rc::clone(client)));
    }

    /// Whether a piece of the answer waits for the client, and not the client for the upstream.
    pub(crate) fn set_unread(&self, unread: bool) {
        self.pace.unread.set(unread);
    }

    /// So much found room with the client, or came from it.
    pub(crate) fn moved(&self, bytes: usize) {
        let earned = u64::try_from(bytes).unwrap_or(u64::MAX) / EARNS_ONE;
        let pace = &self.pace;
        pace.owes.set(pace.owes.get().saturating_sub(earned));
        self.touch();
    }

    /// A request begins.
    pub(super) fn owes_nothing(&self) {
        self.pace.unread.set(false);
        self.pace.owes.set(0);
    }

    /// `elapsed` milliseconds have passed. Whether the client has been waited for for too long.
    fn is_slow(&self, elapsed: u64) -> bool {
        let waits = match self.phase.get() {
            Phase::Streaming => self.pace.unread.get(),
            Phase::Awaiting => self.uploading.get(),
            _ => false,
        };
        if !waits || self.overdue.get() {
            return false;
        }
        let owes = self.pace.owes.get().saturating_add(elapsed);
        self.pace.owes.set(owes);
        // Nobody is waited for longer than a stream may stand still.
        owes > PATIENCE.min(self.own.get().0 / 6)
    }
}

impl Slow {
    /// Ends the request if its client is slow and its address has more than others leave it.
    pub(super) fn judge(&self, watch: &Watch, now: u64, elapsed: u64) {
        if !watch.is_slow(elapsed) {
            return;
        }
        let client = watch.pace.client.borrow();
        let Some((client, share)) = client.as_ref().and_then(|client| {
            let share = client.share().filter(|share| share.is_too_large())?;
            Some((client, share))
        }) else {
            return;
        };
        if let Some(held_back) = share.hold_back() {
            let until = now.saturating_add(HELD_BACK_FOR);
            self.held_back.borrow_mut().push_back((until, held_back));
        }
        watch.pace.owes.set(0);
        watch.is_late(Late::Client);
        let quiet = (self.said.get()).is_some_and(|said| now.saturating_sub(said) < SAID_EVERY);
        if !quiet {
            self.said.set(Some(now));
            tracing::warn!(
                client = ?client.address,
                "nearly all places for requests were taken: requests of a client that took or sent too little were ended (said once a minute at most)"
            );
        }
    }

    /// Gives places back that were held back for long enough.
    pub(super) fn forgive(&self, now: u64) {
        let mut held_back = self.held_back.borrow_mut();
        while held_back.front().is_some_and(|(until, _)| *until <= now) {
            held_back.pop_front();
        }
    }
}
