//! A store that does what the test says.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::time::sleep;

use super::{
    link::{Answer, Link},
    seal::Name,
    *,
};
use crate::{Secret, TestClock, TokioSpawner};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tokens) enum Mood {
    Well,
    Broken,
    Silent,
    /// Each answer comes so late.
    Late(Duration),
    /// Deletions are never answered; all else is.
    Keeping,
    /// It has no room for more.
    Full,
    /// It has become a replica.
    ReadOnly,
    /// The account may not do anything.
    Forbidden,
    /// The driver does what it never should.
    Panics,
}

#[derive(Debug)]
pub(in crate::tokens) struct Fake {
    mood: Mutex<Mood>,
    values: Mutex<HashMap<String, Vec<u8>>>,
    /// How long the last value was to be kept, by its name.
    lives: Mutex<HashMap<String, Duration>>,
    /// When connections were asked for.
    attempts: Mutex<Vec<Instant>>,
    /// Connections before this one have ended.
    first_good: AtomicUsize,
    /// Whose tokens those who come now share.
    pub(super) application: Mutex<&'static str>,
    /// Comes to stand there just before the next claim.
    before_claim: Mutex<Option<(String, Vec<u8>)>>,
    /// Whether it is a cluster.
    pub(super) has_parts: AtomicBool,
    /// Names on a part that does not answer.
    pub(super) away: Mutex<fn(&str) -> bool>,
    lookups: Mutex<Vec<Lookup>>,
    pub(super) removals: AtomicUsize,
    gets: AtomicUsize,
}

pub(in crate::tokens) const WAIT: Duration = Duration::from_millis(100);
pub(in crate::tokens) const NOW: Timestamp = Timestamp::from_unix(10_000);
pub(super) const KEY: &str = "an operator's key of at least 32 bytes";

impl Fake {
    pub(in crate::tokens) fn new() -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new(Mood::Well),
            values: Mutex::default(),
            lives: Mutex::default(),
            attempts: Mutex::default(),
            first_good: AtomicUsize::default(),
            application: Mutex::new("ours"),
            has_parts: AtomicBool::default(),
            away: Mutex::new(|_| false),
            lookups: Mutex::default(),
            before_claim: Mutex::default(),
            removals: AtomicUsize::default(),
            gets: AtomicUsize::default(),
        })
    }

    /// As a process with these keys has it.
    pub(super) fn shared_with(self: &Arc<Self>, keys: &[&str], clock: TestClock) -> Shared {
        let keys: Vec<_> = keys.iter().map(|key| Secret::from(*key)).collect();
        Shared::new(
            Arc::new(Server(Arc::clone(self))),
            Keys::new(&keys),
            &Digest::of(&[self.application.lock().unwrap().as_bytes()]),
            WAIT,
            Arc::new(clock),
            Arc::new(TokioSpawner::current()),
            Arc::new(Observed(Arc::clone(self))),
        )
    }

    /// As a process has it.
    pub(in crate::tokens) fn shared(self: &Arc<Self>) -> Shared {
        self.shared_with(&[KEY], TestClock::at(NOW))
    }

    pub(in crate::tokens) fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Ends the connections that there are.
    pub(super) fn cut(&self) {
        self.first_good.store(self.attempts(), Ordering::Relaxed);
    }

    fn does<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut HashMap<String, Vec<u8>>) -> T,
    ) -> Answer<'_, T> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well | Mood::Keeping | Mood::Full | Mood::ReadOnly | Mood::Late(_) => {
                let done = what(&mut self.values.lock().unwrap());
                Box::pin(async move {
                    if let Mood::Late(late) = mood {
                        sleep(late).await;
                    }
                    Ok(done)
                })
            }
            Mood::Broken => broken(),
            // One can log in all the same.
            Mood::Forbidden => Box::pin(async { Err(StoreError::Forbidden("NOPERM".to_owned())) }),
            Mood::Silent => Box::pin(pending()),
            Mood::Panics => panic!("as the test says"),
        }
    }

    pub(super) fn attempts(&self) -> usize {
        self.attempts.lock().unwrap().len()
    }

    /// The time between one attempt to connect and the next.
    pub(super) fn pauses(&self) -> Vec<Duration> {
        let attempts = self.attempts.lock().unwrap();
        let pairs = attempts.windows(2);
        pairs.map(|pair| pair[1] - pair[0]).collect()
    }

    pub(super) fn spoil(&self) {
        for (name, value) in &mut *self.values.lock().unwrap() {
            if !name.contains(":keys:") {
                *value = b"plain text".to_vec();
            }
        }
    }

    /// Entries and claims.
    pub(in crate::tokens) fn names(&self) -> Vec<String> {
        let values = self.values.lock().unwrap();
        let names = values.keys().filter(|name| !name.contains(":keys:"));
        names.cloned().collect()
    }

    pub(in crate::tokens) fn claims(&self) -> usize {
        let claims = self.names();
        claims
            .iter()
            .filter(|name| name.ends_with(":claim"))
            .count()
    }

    /// What came of the last look, if there was one since the last time.
    pub(in crate::tokens) fn lookup(&self) -> Option<Lookup> {
        std::mem::take(&mut *self.lookups.lock().unwrap()).pop()
    }

    pub(in crate::tokens) fn gets(&self) -> usize {
        self.gets.load(Ordering::Relaxed)
    }

    pub(super) fn life(&self, name: &str) -> Option<Duration> {
        self.lives.lock().unwrap().get(name).copied()
    }

    /// Takes out all entries, to have one of them come back just before the next claim.
    pub(super) fn comes_before_the_next_claim(&self) {
        let mut values = self.values.lock().unwrap();
        values.retain(|name, _| !name.ends_with(":claim") && !name.contains(":keys:"));
        *self.before_claim.lock().unwrap() = values.drain().next();
    }
}

/// Notes what comes of looks.
#[derive(Debug)]
struct Observed(Arc<Fake>);

impl Observer for Observed {
    fn on(&self, event: &Event<'_>) {
        if let Event::SharedStore { outcome } = event {
            self.0.lookups.lock().unwrap().push(*outcome);
        }
    }
}

fn broken<'a, T>() -> Answer<'a, T>
where
    T: Send + 'a,
{
    Box::pin(async { Err(StoreError::Broken("broken".to_owned())) })
}

#[derive(Clone, Debug)]
struct Server(Arc<Fake>);

impl Backend for Server {
    fn connect(&self) -> Answer<'_, Arc<dyn Link>> {
        let mut attempts = self.0.attempts.lock().unwrap();
        let number = attempts.len();
        attempts.push(Instant::now());
        drop(attempts);
        let link: Arc<dyn Link> = Arc::new(Connection(Arc::clone(&self.0), number));
        if *self.0.mood.lock().unwrap() == Mood::Forbidden {
            return Box::pin(async move { Ok(link) });
        }
        self.0.does(|_| link)
    }

    fn has_parts(&self) -> bool {
        self.0.has_parts.load(Ordering::Relaxed)
    }
}

/// One of the connections, by its number.
struct Connection(Arc<Fake>, usize);

impl Connection {
    fn does<T: Send + 'static>(
        &self,
        name: &Name,
        what: impl FnOnce(&mut HashMap<String, Vec<u8>>) -> T,
    ) -> Answer<'_, T> {
        if self.1 < self.0.first_good.load(Ordering::Relaxed) {
            return broken();
        }
        if (self.0.away.lock().unwrap())(name.as_str()) {
            return Box::pin(pending());
        }
        self.0.does(what)
    }

    fn writes<T: Send + 'static>(
        &self,
        name: &Name,
        what: impl FnOnce(&mut HashMap<String, Vec<u8>>) -> T,
    ) -> Answer<'_, T> {
        let mood = *self.0.mood.lock().unwrap();
        match mood {
            Mood::ReadOnly => broken(),
            _ => self.does(name, what),
        }
    }

    fn lives(&self, name: &Name, life: Duration) {
        let mut lives = self.0.lives.lock().unwrap();
        lives.insert(name.as_str().to_owned(), life);
    }
}

impl Link for Connection {
    fn get(&self, name: Name) -> Answer<'_, Option<Vec<u8>>> {
        if !name.as_str().contains(":keys:") {
            self.0.gets.fetch_add(1, Ordering::Relaxed);
        }
        self.does(&name, |values| values.get(name.as_str()).cloned())
    }

    fn set(&self, name: Name, value: Vec<u8>, life: Duration) -> Answer<'_, ()> {
        if *self.0.mood.lock().unwrap() == Mood::Full {
            return Box::pin(async { Err(StoreError::Refused("no room".to_owned())) });
        }
        self.lives(&name, life);
        self.writes(&name, |values| {
            drop(values.insert(name.as_str().to_owned(), value));
        })
    }

    fn claim(&self, name: Name, stamp: Stamp, life: Duration) -> Answer<'_, bool> {
        let before = self.0.before_claim.lock().unwrap().take();
        self.lives(&name, life);
        self.writes(&name, |values| {
            values.extend(before);
            let free = !values.contains_key(name.as_str());
            if free {
                values.insert(name.as_str().to_owned(), stamp.as_bytes().to_vec());
            }
            free
        })
    }

    fn remove(&self, name: Name, stamp: Stamp) -> Answer<'_, ()> {
        if !name.as_str().ends_with(":claim") {
            self.0.removals.fetch_add(1, Ordering::Relaxed);
        }
        if *self.0.mood.lock().unwrap() == Mood::Keeping {
            return Box::pin(pending());
        }
        self.writes(&name, |values| {
            let there = values.get(name.as_str());
            if there.and_then(|value| Stamp::of(value)) == Some(stamp) {
                values.remove(name.as_str());
            }
        })
    }
}
