//! What is asked over a new connection before it counts.

use std::{sync::Arc, time::Duration};

use super::{
    complaints::Complaints,
    link::{Link, StoreError},
    seal::{Keys, Name},
};

/// How long the marks of the keys stand. Every process writes them when it connects.
const MARKED: Duration = Duration::from_secs(30 * 24 * 3600);

/// A read and a write: a server that wants another password says so only when it is asked something, one that
/// has become a replica only when it is to be written. What is read and written are the marks of the keys in
/// use, since entries under another key's names are never even seen.
pub(super) struct Greeting {
    keys: Arc<Keys>,
    complaints: Arc<Complaints>,
}

impl Greeting {
    pub(super) const fn new(keys: Arc<Keys>, complaints: Arc<Complaints>) -> Self {
        Self { keys, complaints }
    }

    pub(super) async fn greet(&self, link: &dyn Link) -> Result<(), StoreError> {
        let name = Name::of_marks();
        let there = match link.get(name.clone()).await {
            Ok(there) => there,
            Err(StoreError::Refused(reason)) => {
                self.complaints.unreadable(&reason);
                None
            }
            Err(error) => return Err(error),
        };
        match link.set(name, self.keys.marks(), MARKED).await {
            Err(error @ (StoreError::Broken(_) | StoreError::Slow)) => return Err(error),
            // Perhaps it can still be read.
            written => self.complaints.written(&written),
        }
        if let Some(marks) = there {
            match self.keys.meet(&marks) {
                Some(have_a_key_of_ours) => self.complaints.others(have_a_key_of_ours),
                None => self.complaints.unreadable("marks of keys that are none"),
            }
        }
        Ok(())
    }
}
