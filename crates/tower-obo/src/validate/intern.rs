//! Strings and lists that many tokens share are kept once.

use std::{collections::HashSet, sync::Arc};

use std::sync::{Mutex, PoisonError};

/// At most this many different texts and lists are shared; beyond that each token keeps its own. A
/// caller cannot fill it at will, since only the claims of valid tokens come here.
const CAPACITY: usize = 4_096;

/// Shares tenants, client ids, scopes and roles among the principals of one validator.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: Mutex<HashSet<Arc<str>>>,
    lists: Mutex<HashSet<Arc<[Box<str>]>>>,
}

impl Interner {
    pub(super) fn text(&self, text: &str) -> Arc<str> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        if texts.len() < CAPACITY {
            texts.insert(Arc::clone(&new));
        }
        new
    }

    pub(super) fn list<'a>(&self, items: impl Iterator<Item = &'a str>) -> Arc<[Box<str>]> {
        let items: Vec<Box<str>> = items.map(Into::into).collect();
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lists.get(items.as_slice()) {
            return Arc::clone(known);
        }
        let new: Arc<[Box<str>]> = items.into();
        if lists.len() < CAPACITY {
            lists.insert(Arc::clone(&new));
        }
        new
    }
}
