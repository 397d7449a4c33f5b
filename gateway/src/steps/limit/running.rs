//! Who runs, in the whole and of each client address.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many answers that are over and not read yet weigh as much as one request that runs. They take a
/// few kilobytes each, and nothing of an upstream.
const UNREAD_OF_ONE: usize = 4;

/// One address may have so many times as many requests as are free. Several that take what they can
/// leave something to the next one that way, which a fixed part for each would not.
const TIMES_FREE: usize = 2;

/// How many places a request takes from its address for a while, once it was ended for its client's
/// sake.
const HELD_BACK: usize = 8;

/// And no more than half of all that it may have: where that is little, one slow request would cost everybody
/// behind an address all places. Two that are slow may do so, or whoever has a few addresses would fill all
/// places again with what is left to them.
const PART_HELD_BACK: usize = 2;

/// Counts the running requests of all workers.
///
/// The one thing that requests of two workers share: the limit is a promise to the upstream, and
/// split by worker it would refuse on a busy one while others idle. Two relaxed additions a
/// request; nothing waits for anything.
#[derive(Debug)]
pub(crate) struct Running {
    now: AtomicUsize,
    most: AtomicUsize,
    /// Answers that are over for the others, and not read by their clients.
    unread: AtomicUsize,
}

impl Running {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(most),
            unread: AtomicUsize::new(0),
        })
    }

    /// How many run.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed) as u64
    }

    /// How many may.
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed) as u64
    }

    /// Another limit, which those that run already are not held to.
    pub(crate) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    pub(crate) fn permit(self: &Arc<Self>) -> Option<Permit> {
        // Made first, so that it gives back what it took when it is refused.
        let permit = Permit {
            running: Some(Arc::clone(self)),
            share: None,
        };
        let has_room = self.now.fetch_add(1, Ordering::Relaxed) < self.most.load(Ordering::Relaxed);
        has_room.then_some(permit)
    }

    fn end_one(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many more may run; fewer where much is not read.
    fn free(&self) -> usize {
        let most = self.most.load(Ordering::Relaxed);
        let unread = self.unread.load(Ordering::Relaxed) / UNREAD_OF_ONE;
        let now = self.now.load(Ordering::Relaxed);
        most.saturating_sub(now.max(unread))
    }
}

/// The requests of one client address.
#[derive(Debug)]
pub(crate) struct Share {
    /// Those that run, those whose answers are not read yet, and places that are held back.
    now: AtomicUsize,
    most: AtomicUsize,
    whole: Arc<Running>,
    /// Of `now`, places that are held back.
    held_back: AtomicUsize,
    /// Its connections.
    connections: AtomicUsize,
}

impl Share {
    pub(crate) fn new(most: usize, whole: &Arc<Running>) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(most),
            whole: Arc::clone(whole),
            held_back: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        })
    }

    pub(crate) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Whether one address may have all that there is, as where it stands for many.
    fn is_all(&self) -> bool {
        self.most.load(Ordering::Relaxed) as u64 >= self.whole.most()
    }

    /// Those of its places that it has itself taken.
    fn taken(&self) -> usize {
        let held_back = self.held_back.load(Ordering::Relaxed);
        (self.now.load(Ordering::Relaxed)).saturating_sub(held_back)
    }

    /// Whether the address has more than it could get now, which is so where others want room.
    pub(crate) fn is_too_large(&self) -> bool {
        let fair = self.whole.free().saturating_mul(TIMES_FREE);
        !self.is_all() && self.taken() > fair
    }

    /// Whether far more have come than may run, and none of the refusals is read; or nothing that is
    /// not read has room any more, and the address has some of it.
    pub(super) fn is_flooded(&self) -> bool {
        let now = self.taken();
        let is_full = self.whole.unread.load(Ordering::Relaxed) as u64
            >= self.whole.most().saturating_mul(UNREAD_OF_ONE as u64);
        now > self.most.load(Ordering::Relaxed).saturating_mul(2) || (is_full && now > 1)
    }

    /// Takes places from the address, for as long as what is returned lives: one of its requests was
    /// ended since its client was too slow. `None` where it has none left.
    pub(crate) fn hold_back(self: &Arc<Self>) -> Option<HeldBack> {
        let held_back = self.held_back.load(Ordering::Relaxed);
        let most = self.most.load(Ordering::Relaxed);
        (held_back < most).then(|| {
            let places = HELD_BACK.min(most / PART_HELD_BACK).max(1);
            self.held_back.fetch_add(places, Ordering::Relaxed);
            self.now.fetch_add(places, Ordering::Relaxed);
            HeldBack(Arc::clone(self), places)
        })
    }

    /// One more connection of the address, beside how many.
    pub(crate) fn connect(self: Arc<Self>) -> (Connected, usize) {
        let others = self.connections.fetch_add(1, Ordering::Relaxed);
        (Connected(self), others)
    }

    #[cfg(test)]
    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

/// A connection of an address.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Share>);

impl Connected {
    /// The address's requests.
    pub(crate) const fn share(&self) -> &Arc<Share> {
        &self.0
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Places that an address does not have.
#[derive(Debug)]
pub(crate) struct HeldBack(Arc<Share>, usize);

impl Drop for HeldBack {
    fn drop(&mut self) {
        let Self(share, places) = self;
        share.held_back.fetch_sub(*places, Ordering::Relaxed);
        share.now.fetch_sub(*places, Ordering::Relaxed);
    }
}

/// One running request; the counts go down when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    /// `None` once it counts as over.
    running: Option<Arc<Running>>,
    /// Those of the client's address, of which it is one until nothing is left to be read.
    share: Option<Arc<Share>>,
}

impl Permit {
    /// The same request as one of `share`; `None` where that has no room.
    pub(crate) fn within(mut self, share: &Arc<Share>) -> Option<Self> {
        self.share = Some(Arc::clone(share));
        let others = share.now.fetch_add(1, Ordering::Relaxed);
        // Besides this one, which has its place already.
        let free = share.whole.free().saturating_add(1);
        let is_fair = share.is_all() || others == 0 || others < free.saturating_mul(TIMES_FREE);
        (others < share.most.load(Ordering::Relaxed) && is_fair).then_some(self)
    }

    /// A request that is refused and not read yet.
    pub(super) fn unread(share: &Arc<Share>) -> Self {
        share.now.fetch_add(1, Ordering::Relaxed);
        share.whole.unread.fetch_add(1, Ordering::Relaxed);
        Self {
            running: None,
            share: Some(Arc::clone(share)),
        }
    }

    /// The request is over for the others. What its client has not read yet counts for its address.
    pub(crate) fn end(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.end_one();
        if let Some(share) = &self.share {
            share.whole.unread.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match &self.running {
            Some(running) => running.end_one(),
            None => {
                if let Some(share) = &self.share {
                    share.whole.unread.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        if let Some(share) = &self.share {
            share.now.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(running: &Running, share: &Share) -> (u64, usize, usize) {
        let unread = running.unread.load(Ordering::Relaxed);
        (running.now(), share.now(), unread)
    }

    fn take(running: &Arc<Running>, share: &Arc<Share>) -> Option<Permit> {
        running.permit()?.within(share)
    }

    #[test]
    fn no_more_than_allowed_run_and_refusals_do_not_count() {
        let running = Running::new(2);
        let first = running.permit().unwrap();
        let _second = running.permit().unwrap();
        assert!(running.permit().is_none());
        assert!(running.permit().is_none());
        drop(first);
        assert!(running.permit().is_some());
        assert_eq!(running.now(), 1);
    }

    #[test]
    fn what_a_share_refuses_counts_nowhere() {
        let running = Running::new(3);
        let share = Share::new(1, &running);
        let first = take(&running, &share).unwrap();
        assert!(take(&running, &share).is_none());
        let other = running.permit().unwrap();
        assert_eq!(counts(&running, &share), (2, 1, 0));
        drop(first);
        assert!(take(&running, &share).is_some());
        drop(other);
        assert_eq!(counts(&running, &share), (0, 0, 0));
    }

    #[test]
    fn what_is_over_and_not_read_counts_for_its_address_and_weighs_little_for_others() {
        let running = Running::new(9);
        let share = Share::new(2, &running);
        let mut unread = take(&running, &share).unwrap();
        unread.end();
        unread.end();
        assert_eq!(counts(&running, &share), (0, 1, 1));
        let refused: Vec<_> = (0..3).map(|_| Permit::unread(&share)).collect();
        assert!(!share.is_flooded());
        assert_eq!(running.free(), 8, "four of them are one");
        let more = Permit::unread(&share);
        assert!(share.is_flooded());
        drop((unread, refused, more));
        assert_eq!(counts(&running, &share), (0, 0, 0));
    }

    #[test]
    fn addresses_that_take_what_they_can_leave_something_and_one_that_may_have_all_gets_it() {
        let running = Running::new(1024);
        let mut held = Vec::new();
        let mut had = Vec::new();
        for _ in 0..5 {
            let share = Share::new(512, &running);
            let before = held.len();
            while let Some(permit) = take(&running, &share) {
                held.push(permit);
            }
            had.push(held.len() - before);
        }
        assert_eq!(had, [512, 342, 114, 38, 12]);
        assert!(take(&running, &Share::new(512, &running)).is_some());
        drop(held);

        let all = Share::new(1024, &running);
        let held: Vec<_> = std::iter::from_fn(|| take(&running, &all)).collect();
        assert_eq!(held.len(), 1024);
        assert!(!all.is_too_large());
    }

    #[test]
    fn when_nothing_unread_has_room_any_more_only_who_has_none_is_heard() {
        let running = Running::new(2);
        let many = Share::new(100, &running);
        many.set_most(1);
        let _unread: Vec<_> = (0..8)
            .map(|_| Permit::unread(&Share::new(1, &running)))
            .collect();
        assert_eq!(running.free(), 0);
        let first = take(&running, &many).unwrap();
        assert!(!many.is_flooded());
        let _refused = Permit::unread(&many);
        assert!(many.is_flooded());
        drop(first);
    }

    #[test]
    fn an_address_has_too_much_where_little_is_free_and_pays_for_what_was_ended() {
        let running = Running::new(128);
        let share = Share::new(64, &running);
        let mut held: Vec<_> = (0..12).filter_map(|_| take(&running, &share)).collect();
        assert!(!share.is_too_large());
        let others: Vec<_> = (0..112).filter_map(|_| running.permit()).collect();
        assert!(share.is_too_large());
        let mut paid: Vec<_> = (0..8).filter_map(|_| share.hold_back()).collect();
        assert_eq!(paid.len(), 8);
        assert!(share.hold_back().is_none(), "it has nothing left");
        held.truncate(8);
        assert!(
            !share.is_too_large(),
            "what it does not have is not too much"
        );
        assert!(!share.is_flooded());
        drop((held, others));
        assert_eq!(counts(&running, &share), (0, 8 * HELD_BACK, 0));
        assert!(take(&running, &share).is_none());
        paid.pop();
        assert!(take(&running, &share).is_some());
        drop(paid);
        assert_eq!(share.now(), 0);
    }

    #[test]
    fn one_slow_request_does_not_take_all_places_of_an_address_that_has_few() {
        for (most, lost) in [(1, 1), (2, 1), (8, 4), (15, 7), (16, 8), (64, 8), (512, 8)] {
            let running = Running::new(2 * most);
            let share = Share::new(most, &running);
            let held_back = share.hold_back().unwrap();
            assert_eq!(share.now(), lost, "of {most}");
            drop(held_back);
            assert_eq!(share.now(), 0);
        }
    }
}
