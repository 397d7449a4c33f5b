//! Strings and lists that many tokens share are kept once.

use std::{
    borrow::Borrow,
    collections::HashSet,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// At most so many bytes of texts and of lists are shared; beyond that each token keeps its own, and
/// is counted with it. What is shared stays, so a caller with many valid tokens must not be able to
/// fill the memory with it.
const MAX_BYTES: usize = 512 * 1024;

/// What a shared text, a list, and each item of one take besides their letters.
const OVERHEAD: usize = 32;

/// Shares tenants, client ids, scopes and roles among the principals of one validator.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: Mutex<Shared<str>>,
    lists: Mutex<Shared<[Box<str>]>>,
}

impl Interner {
    pub(super) fn text(&self, text: &str) -> Arc<str> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.share(text, text.len() + OVERHEAD)
    }

    pub(super) fn list<'a>(&self, items: impl Iterator<Item = &'a str>) -> Arc<[Box<str>]> {
        let items: Vec<Box<str>> = items.map(Into::into).collect();
        let bytes = items.iter().map(|item| item.len() + OVERHEAD);
        let bytes = bytes.sum::<usize>() + OVERHEAD;
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.share(items, bytes)
    }
}

#[derive(Debug)]
struct Shared<T: ?Sized> {
    known: HashSet<Arc<T>>,
    bytes: usize,
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            bytes: 0,
        }
    }
}

impl<T: ?Sized + Eq + Hash> Shared<T> {
    fn share(&mut self, value: impl Borrow<T> + Into<Arc<T>>, bytes: usize) -> Arc<T> {
        if let Some(known) = self.known.get(value.borrow()) {
            return Arc::clone(known);
        }
        let new: Arc<T> = value.into();
        if self.bytes + bytes <= MAX_BYTES {
            self.bytes += bytes;
            self.known.insert(Arc::clone(&new));
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_twice_is_kept_once() {
        let interner = Interner::default();
        assert!(Arc::ptr_eq(&interner.text("a"), &interner.text("a")));
        let list = || interner.list(["a", "b"].into_iter());
        assert!(Arc::ptr_eq(&list(), &list()));
        assert!(!Arc::ptr_eq(&list(), &interner.list(["ab"].into_iter())));
    }

    #[test]
    fn when_it_is_full_each_token_keeps_its_own() {
        let interner = Interner::default();
        for number in 0..10_000 {
            let text = format!("{number:0100}");
            interner.text(&text);
            interner.list([&*text].into_iter());
        }
        let full = |bytes| (MAX_BYTES - 1_000..=MAX_BYTES).contains(&bytes);
        assert!(full(interner.texts.lock().unwrap().bytes));
        assert!(full(interner.lists.lock().unwrap().bytes));
        let first = format!("{:0100}", 0);
        assert!(Arc::ptr_eq(&interner.text(&first), &interner.text(&first)));
        let late = "x".repeat(1_000);
        assert_eq!(Arc::strong_count(&interner.text(&late)), 1);
        assert_eq!(Arc::strong_count(&interner.list([&*late].into_iter())), 1);
    }
}
