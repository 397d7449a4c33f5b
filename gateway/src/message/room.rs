//! The memory for bodies that are kept while they are sent: one bound for the whole process.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What all bodies that are kept at once may take. A body that finds no room is sent all the same,
/// once.
const BYTES: usize = 8 * 1024 * 1024;

/// How much is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room(Arc<AtomicUsize>);

impl Room {
    /// Takes so many bytes, until what it gives back is dropped; `None` where there are too few.
    pub(super) fn take(&self, bytes: usize) -> Option<Place> {
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= BYTES);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Place {
            room: self.clone(),
            bytes,
        })
    }
}

/// A part of it.
#[derive(Debug)]
pub(super) struct Place {
    room: Room,
    bytes: usize,
}

impl Place {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_much_and_what_is_given_back_can_be_taken_again() {
        let room = Room::default();
        let same = room.clone();
        let most = room.take(BYTES - 1).unwrap();
        assert!(room.take(2).is_none());
        let last = room.take(1).unwrap();
        assert!(same.take(1).is_none());
        assert!(room.take(usize::MAX).is_none());
        assert!(room.take(0).is_some());
        drop(most);
        assert!(room.take(BYTES).is_none());
        drop(last);
        assert!(room.take(BYTES).is_some());
    }
}
