//! Whether somebody who seems to have said nothing for too long really has not.
//!
//! What has come may lie with the system still, or with a task that has its turn later: where the thread
//! has much to do or stood still, the clock alone says nothing of the other side. So whoever was waited for
//! too long is doubted first. Its task is given turns, with a look at the sockets before each, and
//! only if nothing moves then is it judged.

use std::{
    cell::Cell,
    rc::{Rc, Weak},
};

use tokio::task;

use super::{Late, Watch, Watches};

/// How many turns: bytes go from the socket to a connection's parser, from there to the body, and from
/// there to whoever waits for it; each may be a turn.
const TURNS: u8 = 4;

/// How often a sweep lets all others have their turns for it. Who has not had theirs then is doubted on.
const MOST_ROUNDS: u8 = 2 * TURNS;

/// What the watch knows of it.
#[derive(Default)]
pub(super) struct Silence {
    /// Turns that are left before it is judged; 0 where nobody is doubted.
    turns: Cell<u8>,
    /// The task has been woken and has not had its turn yet.
    asked: Cell<bool>,
    /// Nothing else than silence was why `late` was set.
    judged: Cell<bool>,
}

impl Watch {
    /// Something moved. Whoever was judged for silence and was not told yet goes on.
    pub(super) fn is_heard(&self) {
        self.silence.turns.set(0);
        if self.silence.judged.replace(false) {
            self.late.set(None);
        }
    }

    /// There is another reason to end it.
    pub(super) fn is_not_for_silence(&self) {
        self.silence.judged.set(false);
    }

    /// The task has a turn.
    pub(super) fn has_turn(&self) {
        self.silence.asked.set(false);
    }

    /// Whether that is new.
    fn doubt(&self) -> bool {
        if self.silence.turns.get() > 0 {
            return false;
        }
        self.silence.turns.set(TURNS);
        self.ask();
        true
    }

    fn ask(&self) {
        self.silence.asked.set(true);
        self.wake();
    }

    /// Gives it another turn if it has had its last one, or judges it. Whether it is doubted still.
    fn is_doubted(&self) -> bool {
        let turns = &self.silence.turns;
        match turns.get() {
            0 => return false,
            _ if self.silence.asked.get() => return true,
            1 => {
                turns.set(0);
                self.is_silent();
            }
            left => {
                turns.set(left - 1);
                self.ask();
            }
        }
        turns.get() > 0
    }

    /// Ends it for its silence.
    pub(super) fn is_silent(&self) {
        self.is_late(if self.uploading.get() {
            Late::Client
        } else {
            Late::Upstream
        });
        self.silence.judged.set(true);
    }
}

impl Watches {
    pub(super) fn doubt(&self, watch: &Rc<Watch>) {
        if watch.doubt() {
            self.doubted.borrow_mut().push(Rc::downgrade(watch));
        }
    }

    /// Moves the clock and ends all that have waited too long, once their tasks have looked.
    pub(crate) async fn look(&self) {
        self.sweep();
        for _ in 0..MOST_ROUNDS {
            if self.doubted.borrow().is_empty() {
                return;
            }
            // Others have their turns, and what has come to the sockets is seen.
            task::yield_now().await;
            self.ask_doubted();
        }
    }

    pub(super) fn ask_doubted(&self) {
        let is_doubted =
            |watch: &Weak<Watch>| watch.upgrade().is_some_and(|watch| watch.is_doubted());
        self.doubted.borrow_mut().retain(is_doubted);
    }
}
