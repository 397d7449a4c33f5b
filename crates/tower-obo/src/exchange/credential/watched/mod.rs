//! Files that others replace while we run: in place, by renaming, or as Kubernetes does, by turning
//! a link to another directory.
//!
//! Whoever has a good credential waits for no file system: one at a time looks whether the file has
//! changed, in a thread that may block, and after a while goes on with what there is.

mod file;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use self::file::Stamp;
pub(super) use self::file::read;
use super::CredentialError;
use crate::{Timestamp, digest::Digest};

/// How long a look may take where nothing else can be used. File systems of the network hang.
const LIMIT: Duration = Duration::from_secs(5);
/// The same where the last good value can be: one request waits that long, once.
const PATIENCE: Duration = Duration::from_secs(1);
/// A file that looks unchanged, or as bad as before, is read again after this.
const REREAD: Duration = Duration::from_secs(60);
/// Requests have times of their own, of which the later may come first. More is a clock that was set back.
const SLACK: Duration = Duration::from_secs(1);

/// What a file holds, and how that is read.
pub(super) trait Format: Send + Sync + 'static {
    type Value: Send + Sync;

    /// Reads the content. `before` is what is in use and valid, if anything is.
    fn parse(
        &self,
        bytes: &[u8],
        before: Option<&Self::Value>,
        now: Timestamp,
    ) -> Result<Parsed<Self::Value>, Bad>;

    /// Whether it is read although it looks unchanged. What is good, if anything is, ends at `until`.
    fn reads_always(&self, until: Option<Timestamp>, now: Timestamp) -> bool;

    /// Another file that it takes to read this one.
    fn beside(&self) -> Option<&Path> {
        None
    }
}

pub(super) struct Parsed<V> {
    pub(super) value: V,
    /// It is of no use from then on.
    pub(super) until: Option<Timestamp>,
}

/// What is wrong with a file, to be read behind its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bad {
    text: String,
    /// When it will be good, if nothing but the time is wrong.
    good_from: Option<Timestamp>,
}

impl Bad {
    /// What it holds is not valid before that time.
    pub(super) fn early(what: &str, good_from: Timestamp, now: Timestamp) -> Self {
        let wait = good_from.saturating_since(now).as_secs();
        Self {
            text: format!("holds a {what} that is not valid yet, for {wait} s"),
            good_from: Some(good_from),
        }
    }
}

impl<T: Into<String>> From<T> for Bad {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            good_from: None,
        }
    }
}

/// A file, with the last good thing that was read of it.
pub(super) struct Watched<F: Format> {
    path: PathBuf,
    format: F,
    good: ArcSwapOption<Good<F::Value>>,
    /// How often what is good was refused by the authorization server.
    refusals: AtomicU64,
    /// Who has it looks at the file; whoever has something good does not wait for it.
    looking: Arc<Mutex<Seen>>,
}

struct Good<V> {
    value: Arc<V>,
    until: Option<Timestamp>,
    /// The state of the file that it was read of.
    stamp: Stamp,
    content: Digest,
    read: Timestamp,
    /// The refusals that were known when the file was looked at last.
    refusals: u64,
}

impl<V> Good<V> {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl<V> Clone for Good<V> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            ..*self
        }
    }
}

/// What is known of the file as it is now, when it is bad.
#[derive(Default)]
struct Seen(Option<Known>);

struct Known {
    stamp: Stamp,
    bad: Bad,
    /// It is not read again before that.
    again: Timestamp,
}

impl<F: Format> Watched<F> {
    pub(super) fn new(path: PathBuf, format: F) -> Self {
        Self {
            path,
            format,
            good: ArcSwapOption::empty(),
            refusals: AtomicU64::new(0),
            looking: Arc::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn format(&self) -> &F {
        &self.format
    }

    /// What the file holds; the last good thing while it cannot be read, and while it holds nothing
    /// good.
    ///
    /// # Errors
    ///
    /// What is wrong, when there is no good one that is valid.
    pub(super) async fn current(
        self: &Arc<Self>,
        now: Timestamp,
    ) -> Result<Arc<F::Value>, CredentialError> {
        // What is refused from here on says nothing about what this look finds.
        let refusals = self.refusals.load(Ordering::SeqCst);
        let usable = self.usable(now);
        let looking = Arc::clone(&self.looking);
        let (place, limit) = match &usable {
            None => (None, LIMIT),
            Some(good) => match Arc::clone(&looking).try_lock_owned() {
                Ok(place) => (Some(place), PATIENCE),
                Err(_) => return Ok(Arc::clone(&good.value)),
            },
        };
        let this = Arc::clone(self);
        let look = async move {
            let mut place = match place {
                Some(place) => place,
                None => looking.lock_owned().await,
            };
            // Who waited for another's look needs none of its own.
            if usable.is_none() && this.usable(now).is_some() {
                return Ok(Ok(()));
            }
            tokio::task::spawn_blocking(move || this.look(&mut place, now)).await
        };
        let looked = match tokio::time::timeout(limit, look).await {
            Ok(Ok(looked)) => looked.map_err(|bad| self.error(bad)),
            Ok(Err(_)) => Err(self.unavailable("could not be read: the reader broke off")),
            Err(_) => {
                // The look goes on, and whoever comes meanwhile takes what there is.
                self.settle(refusals);
                let late = self.unavailable("could not be read in time");
                if let Some(good) = self.good.load_full().filter(|good| good.is_valid(now)) {
                    tracing::warn!(error = late.text(), "the last good credential stays in use");
                    return Ok(Arc::clone(&good.value));
                }
                Err(late)
            }
        };
        self.outcome(looked, now)
    }

    /// When the last good thing that was read ends, if it does.
    pub(super) fn good_until(&self) -> Option<Timestamp> {
        self.good.load().as_ref()?.until
    }

    /// The same without a time limit. Blocks.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), CredentialError> {
        let looked = match self.looking.try_lock() {
            Ok(mut seen) => self.look(&mut seen, now).map_err(|bad| self.error(bad)),
            Err(_) => Err(self.unavailable("is being read")),
        };
        self.outcome(looked, now).map(drop)
    }

    /// The authorization server refused what was made of the value for which `is_it` holds. If that is
    /// in use, nobody uses it again before the file was looked at anew.
    pub(super) fn refused(&self, is_it: impl FnOnce(&Arc<F::Value>) -> bool) {
        if let Some(good) = self.good.load_full()
            && is_it(&good.value)
        {
            let known = good.refusals;
            let _ = self.refusals.compare_exchange(
                known,
                known + 1,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
        }
    }

    /// While this is kept, somebody looks at the file.
    #[cfg(test)]
    pub(super) fn hold(&self) -> impl Drop + use<F> {
        Arc::clone(&self.looking).try_lock_owned().unwrap()
    }

    /// What may be used without a look at the file.
    fn usable(&self, now: Timestamp) -> Option<Arc<Good<F::Value>>> {
        let refusals = self.refusals.load(Ordering::SeqCst);
        let good = self.good.load_full()?;
        (good.refusals >= refusals && good.is_valid(now)).then_some(good)
    }

    fn outcome(
        &self,
        looked: Result<(), CredentialError>,
        now: Timestamp,
    ) -> Result<Arc<F::Value>, CredentialError> {
        match (self.good.load_full(), looked) {
            (Some(good), _) if good.is_valid(now) => Ok(Arc::clone(&good.value)),
            (Some(_), Err(error)) => {
                let text = error.text();
                let text = format!("the last good credential has expired, and {text}");
                Err(CredentialError::Unavailable(text))
            }
            (Some(_), Ok(())) => {
                Err(self.unavailable("holds what has expired, and nothing new has come"))
            }
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(self.unavailable("holds nothing")),
        }
    }

    /// Reads the file if it is another one than before. Blocks.
    fn look(&self, seen: &mut Seen, now: Timestamp) -> Result<(), Bad> {
        let refusals = self.refusals.load(Ordering::SeqCst);
        let stamp = Stamp::of(&self.path, self.format.beside());
        let good = self.good.load_full();
        let until = good.as_ref().and_then(|good| good.until);
        let always = self.format.reads_always(until, now);
        if let Some(good) = &good
            && good.stamp == stamp
        {
            // What was read later than now was read by a clock that was ahead.
            let is_old =
                good.refusals < refusals || now >= good.read + REREAD || now + SLACK < good.read;
            if stamp.is_pipe() || !(always || is_old) {
                seen.0 = None;
                self.settle(refusals);
                return Ok(());
            }
        }
        if let Some(known) = &seen.0
            && known.stamp == stamp
            && now < known.again
            && known.again.saturating_since(now) <= REREAD + SLACK
            && !always
        {
            self.settle(refusals);
            return Err(known.bad.clone());
        }
        let read = read(&self.path).map_err(Bad::from);
        let parsed = read.and_then(|bytes| {
            let content = Digest::of(&[&bytes]);
            if let Some(good) = &good
                && good.content == content
            {
                return Ok((content, Arc::clone(&good.value), good.until));
            }
            let before = good.as_ref().filter(|good| good.is_valid(now));
            let before = before.map(|good| &*good.value);
            let parsed = self.format.parse(&bytes, before, now)?;
            Ok((content, Arc::new(parsed.value), parsed.until))
        });
        match parsed {
            Ok((content, value, until)) => {
                seen.0 = None;
                // A file that was changed while it was read has another stamp the next time.
                self.good.store(Some(Arc::new(Good {
                    value,
                    until,
                    stamp,
                    content,
                    read: now,
                    refusals,
                })));
                Ok(())
            }
            Err(bad) => {
                let is_news = seen.0.as_ref().is_none_or(|known| known.stamp != stamp);
                if is_news && good.is_some_and(|good| good.is_valid(now)) {
                    let error = self.error(bad.clone());
                    tracing::warn!(
                        error = error.text(),
                        "the last good credential stays in use"
                    );
                }
                let again = now + REREAD;
                seen.0 = Some(Known {
                    stamp,
                    bad: bad.clone(),
                    again: bad.good_from.map_or(again, |from| from.min(again)),
                });
                self.settle(refusals);
                Err(bad)
            }
        }
    }

    /// What is good is used on, in spite of so many refusals.
    fn settle(&self, refusals: u64) {
        self.good.rcu(|good| {
            let good = good.as_ref()?;
            if good.refusals >= refusals {
                return Some(Arc::clone(good));
            }
            Some(Arc::new(Good {
                refusals,
                ..Good::clone(good)
            }))
        });
    }

    fn error(&self, bad: Bad) -> CredentialError {
        let text = format!("{} {}", self.path.display(), bad.text);
        match bad.good_from {
            None => CredentialError::Unusable(text),
            Some(_) => CredentialError::Unavailable(text),
        }
    }

    fn unavailable(&self, text: &str) -> CredentialError {
        CredentialError::Unavailable(format!("{} {text}", self.path.display()))
    }
}

#[cfg(test)]
mod tests;
