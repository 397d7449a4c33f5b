//! What is asked over a new connection before it counts.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};

use super::{
    complaints::Complaints,
    link::{Link, StoreError},
    seal::{Keys, Name},
};
use crate::digest::Digest;

/// How long the marks of the keys stand. Every process writes them when it connects.
const MARKED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Under so many names the marks stand in a store that has parts, so that they lie on several of them: names that
/// differ in their last digit alone are spread over all quarters of a cluster's slots.
const SPREAD: u8 = 8;

/// A read and a write: a server that wants another password says so only when it is asked something, one that
/// has become a replica only when it is to be written. What is read and written are the marks of the keys in
/// use, since entries under another key's names are never even seen.
pub(super) struct Greeting {
    keys: Arc<Keys>,
    pub(super) complaints: Arc<Complaints>,
    /// More than one where the store has parts: one of them that is away does not make the others so.
    names: Vec<Name>,
}

impl Greeting {
    /// The greeting of those who share tokens: `whose` tells their application from others that use the
    /// store too, with keys of their own.
    pub(super) fn new(
        keys: Arc<Keys>,
        complaints: Arc<Complaints>,
        whose: &Digest,
        has_parts: bool,
    ) -> Self {
        let parts = if has_parts { SPREAD } else { 1 };
        let names = (0..parts).map(|part| Name::of_marks(whose, part)).collect();
        Self {
            keys,
            complaints,
            names,
        }
    }

    /// The answers may take that long; a store that has parts is there when one of them is. The others then have a
    /// little time left, to tell whether they are used with another key.
    pub(super) async fn greet(
        &self,
        link: &dyn Link,
        patience: Duration,
    ) -> Result<(), StoreError> {
        let asked = self.names.iter().map(|name| self.ask(link, name));
        let mut asked: FuturesUnordered<_> = asked.collect();
        let mut until = Instant::now() + patience;
        let mut greeted = Err(StoreError::Slow);
        while let Ok(Some(answered)) = timeout_at(until, asked.next()).await {
            if greeted.is_ok() {
                continue;
            }
            if answered.is_ok() {
                until = until.min(Instant::now() + patience / 4);
            }
            greeted = answered;
        }
        greeted
    }

    async fn ask(&self, link: &dyn Link, name: &Name) -> Result<(), StoreError> {
        let there = match link.get(name.clone()).await {
            Ok(there) => there,
            Err(refusal) if refusal.is_refusal() => {
                self.complaints.unread(&refusal);
                None
            }
            Err(error) => return Err(error),
        };
        match link.set(name.clone(), self.keys.marks(), MARKED).await {
            Err(error @ (StoreError::Broken(_) | StoreError::Slow)) => return Err(error),
            // Perhaps it can still be read.
            written => self.complaints.written(&written),
        }
        if let Some(marks) = there {
            match self.keys.meet(&marks) {
                Some(have_a_key_of_ours) => self.complaints.others(have_a_key_of_ours),
                None => self.complaints.unreadable(&"marks of keys that are none"),
            }
        }
        Ok(())
    }
}
