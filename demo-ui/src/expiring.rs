//! A bounded map whose entries end.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use crate::clock;

type Entries<K, V> = HashMap<K, (OffsetDateTime, V)>;

/// Holds at most `capacity` entries; when it is full, what ends first makes room.
pub(crate) struct Expiring<K, V> {
    entries: Mutex<Entries<K, V>>,
    capacity: usize,
}

impl<K: Clone + Eq + Hash, V> Expiring<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: Mutex::default(),
            capacity,
        }
    }

    pub(crate) fn insert(&self, key: K, value: V, expires: OffsetDateTime) {
        let now = clock::now();
        let mut entries = self.lock();
        entries.retain(|_, (expires, _)| *expires > now);
        if entries.len() >= self.capacity && !entries.contains_key(&key) {
            let first = entries.iter().min_by_key(|(_, (expires, _))| *expires);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                entries.remove(&first);
            }
        }
        entries.insert(key, (expires, value));
    }

    /// Replaces a value that is still there; `false` if it is not.
    pub(crate) fn replace(&self, key: &K, value: V, expires: OffsetDateTime) -> bool {
        let now = clock::now();
        match self.lock().get_mut(key) {
            Some(entry) if entry.0 > now => {
                *entry = (expires, value);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
        V: Clone,
    {
        let now = clock::now();
        let entries = self.lock();
        let (expires, value) = entries.get(key)?;
        (*expires > now).then(|| value.clone())
    }

    /// Takes an entry out if it is still good and `condition` holds. Of several callers one gets it.
    pub(crate) fn take_if<Q>(&self, key: &Q, condition: impl FnOnce(&V) -> bool) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let now = clock::now();
        let mut entries = self.lock();
        let (expires, value) = entries.get(key)?;
        if *expires <= now || !condition(value) {
            return None;
        }
        entries.remove(key).map(|(_, value)| value)
    }

    pub(crate) fn remove<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        // No code that can panic runs while it is held.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> std::fmt::Debug for Expiring<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys and values are secrets.
        f.debug_struct("Expiring")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    fn at(minutes: i64) -> OffsetDateTime {
        clock::now() + Duration::minutes(minutes)
    }

    #[test]
    fn what_has_ended_is_not_there() {
        let map = Expiring::new(3);
        map.insert("old", 1, at(-1));
        map.insert("new", 2, at(1));
        assert_eq!(map.get("old"), None);
        assert_eq!(map.take_if("old", |_| true), None);
        assert!(!map.replace(&"old", 3, at(1)));
        assert_eq!(map.get("new"), Some(2));
    }

    #[test]
    fn what_ends_first_makes_room() {
        let map = Expiring::new(2);
        map.insert("a", 1, at(5));
        map.insert("b", 2, at(1));
        map.insert("c", 3, at(9));
        assert_eq!(
            (map.get("a"), map.get("b"), map.get("c")),
            (Some(1), None, Some(3))
        );
    }

    #[test]
    fn an_entry_is_taken_once_and_only_by_whom_it_is_for() {
        let map = Expiring::new(2);
        map.insert("a", 1, at(1));
        assert_eq!(map.take_if("a", |value| *value == 2), None);
        assert_eq!(map.take_if("a", |value| *value == 1), Some(1));
        assert_eq!(map.take_if("a", |_| true), None);
    }

    #[test]
    fn what_was_removed_is_not_brought_back_by_a_late_replace() {
        let map = Expiring::new(2);
        map.insert("a", 1, at(1));
        map.remove("a");
        assert!(!map.replace(&"a", 2, at(1)));
        assert_eq!(map.get("a"), None);
    }
}
