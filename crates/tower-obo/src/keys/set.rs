//! The keys of one authority, with the issuers that they sign for.

use std::{collections::HashMap, error::Error, fmt, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Issuers, Key, jwk};
use crate::Timestamp;

/// The signing keys of an authority as they were at one time, and the issuers it mints.
#[derive(Debug)]
pub struct KeySet {
    keys: HashMap<Box<str>, Vec<Arc<Key>>>,
    issuers: Issuers,
    trusted_until: Timestamp,
}

/// More keys than this are no key set of an identity provider.
const MAX_KEYS: usize = 1_000;

/// So many keys that are passed over are named beside the first.
const SAID: usize = 9;

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl KeySet {
    /// Reads a JWK set (RFC 7517 §5) that may be trusted for `max_age` from `now` on.
    ///
    /// A key that cannot be used is passed over; it never spoils the set. One warning a set says which
    /// and why.
    ///
    /// # Errors
    ///
    /// If the document is no JWK set, or no key of it can be used.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_obo::{Issuers, KeySet, Timestamp};
    ///
    /// let issuers = Issuers::new("https://login.microsoftonline.com/{tenantid}/v2.0");
    /// let empty = KeySet::parse(br#"{"keys":[]}"#, issuers, Timestamp::default(), Duration::MAX);
    /// assert!(empty.is_err());
    /// ```
    pub fn parse(
        json: &[u8],
        issuers: Issuers,
        now: Timestamp,
        max_age: Duration,
    ) -> Result<Self, KeySetError> {
        let document: Document<'_> =
            serde_json::from_slice(json).map_err(|_| KeySetError("the document is no JWK set"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeySetError("the set has more than 1,000 keys"));
        }
        let trusted_until = now + max_age;
        let mut keys: HashMap<Box<str>, Vec<Arc<Key>>> = HashMap::new();
        let mut passed_over = Vec::new();
        for (position, json) in document.keys.into_iter().enumerate() {
            match jwk::parse(json) {
                Ok(key) => {
                    key.trust_until(trusted_until);
                    keys.entry(key.kid().into())
                        .or_default()
                        .push(Arc::new(key));
                }
                Err(reason) => passed_over.push((position, reason)),
            }
        }
        if let Some((position, reason)) = passed_over.first() {
            let count = passed_over.len();
            let others: Vec<_> = passed_over.iter().skip(1).take(SAID).collect();
            tracing::warn!(
                count,
                position,
                reason,
                ?others,
                "signing keys are passed over"
            );
        }
        if keys.is_empty() {
            return Err(KeySetError("the set has no key that can be used"));
        }
        Ok(Self {
            keys,
            issuers,
            trusted_until,
        })
    }

    /// The keys with that id: more than one where tenants share an id (RFC 7517 §4.5).
    #[must_use]
    pub fn with_id(&self, kid: &str) -> &[Arc<Key>] {
        self.keys.get(kid).map_or(&[], Vec::as_slice)
    }

    /// The issuers that the authority mints.
    #[must_use]
    pub const fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Whether the set may still be used.
    #[must_use]
    pub fn is_trusted(&self, now: Timestamp) -> bool {
        now < self.trusted_until
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    /// Whether there is no key; never true of a set that was parsed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The same set with the keys of `old` that are still there, so that what they vouched for stays
    /// vouched for. Those that are not there any more are withdrawn.
    pub(crate) fn succeeding(&self, old: &Self) -> Self {
        let mut keys = self.keys.clone();
        // A source that goes back and forth between two sets brings keys that the other had withdrawn.
        for key in keys.values().flatten() {
            key.trust_until(self.trusted_until);
        }
        for (kid, old) in &old.keys {
            let is_old = |key: &Arc<Key>| old.iter().any(|old| Arc::ptr_eq(old, key));
            let new = keys.get_mut(kid).map_or(&mut [][..], Vec::as_mut_slice);
            for key in old {
                // Where a set lists a key more than once, each is the successor of one.
                let same = match new.iter().any(|new| Arc::ptr_eq(new, key)) {
                    true => new.iter_mut().find(|new| Arc::ptr_eq(new, key)),
                    false => new.iter_mut().find(|new| new.is_same(key) && !is_old(new)),
                };
                match same {
                    Some(new) => {
                        key.trust_until(self.trusted_until);
                        *new = Arc::clone(key);
                    }
                    None => key.withdraw(),
                }
            }
        }
        Self {
            keys,
            issuers: self.issuers.clone(),
            trusted_until: self.trusted_until,
        }
    }
}

/// Why a document is no key set that can be used. Says nothing of what stands in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeySetError(&'static str);

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for KeySetError {}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_unix(1_000);

    fn key(kid: &str, fill: u8) -> serde_json::Value {
        json!({"kty": "RSA", "kid": kid, "n": URL_SAFE_NO_PAD.encode([fill | 0x81; 256]), "e": "AQAB"})
    }

    fn set(keys: &[serde_json::Value], now: Timestamp) -> KeySet {
        let json = json!({ "keys": keys }).to_string();
        let issuers = Issuers::new("https://login.example/{tenantid}/v2.0");
        KeySet::parse(json.as_bytes(), issuers, now, Duration::from_secs(100)).unwrap()
    }

    #[test]
    fn a_broken_key_does_not_spoil_the_set() {
        let set = set(&[json!({"kty": "OKP"}), json!(7), key("good", 1)], NOW);
        assert_eq!(set.len(), 1);
        assert_eq!(set.with_id("good").len(), 1);
    }

    #[test]
    fn ks_06_one_warning_says_which_keys_are_passed_over_and_why() {
        let lines = crate::lines::Lines::default();
        let _subscribed = tracing::subscriber::set_default(lines.clone());
        let _ = set(&[json!({"kty": "OKP"}), key("good", 1), json!(7)], NOW);
        let said = lines.take();
        let [line] = &said[..] else {
            panic!("{said:?}");
        };
        assert!(line.starts_with("WARN"), "{line}");
        for part in ["count=2", "position=0", "others=[(2, \""] {
            assert!(line.contains(part), "{part}: {line}");
        }
        // A set of nothing but such keys is one line, too, and not a long one.
        let many = vec![json!(7); MAX_KEYS - 1];
        let _ = set(&[&many[..], &[key("good", 1)]].concat(), NOW);
        let said = lines.take();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("count=999"), "{said:?}");
        assert!(said[0].len() < 1_000, "{said:?}");
        let _ = set(&[key("good", 1)], NOW);
        assert_eq!(lines.take(), [""; 0]);
    }

    #[test]
    fn what_is_no_key_set_is_told_in_a_fixed_sentence() {
        let many = json!({"keys": vec![json!({}); MAX_KEYS + 1]}).to_string();
        for (text, reason) in [
            ("<html>secret", "the document is no JWK set"),
            ("{\"keys\":{}}", "the document is no JWK set"),
            (&*many, "the set has more than 1,000 keys"),
            ("{\"keys\":[7]}", "the set has no key that can be used"),
        ] {
            let issuers = Issuers::new("https://login.example/{tenantid}/v2.0");
            let error = KeySet::parse(text.as_bytes(), issuers, NOW, Duration::MAX).unwrap_err();
            assert_eq!(error.to_string(), reason);
        }
    }

    #[test]
    fn a_thousand_keys_are_a_set() {
        let mut keys = vec![json!({}); MAX_KEYS - 1];
        keys.push(key("k", 1));
        assert_eq!(set(&keys, NOW).len(), 1);
    }

    #[test]
    fn two_keys_may_share_an_id() {
        assert_eq!(set(&[key("k", 1), key("k", 2)], NOW).with_id("k").len(), 2);
    }

    #[test]
    fn a_key_that_stays_is_the_same_key_and_lives_longer() {
        let old = set(&[key("stays", 1), key("goes", 2)], NOW);
        let (stays, goes) = (
            old.with_id("stays")[0].clone(),
            old.with_id("goes")[0].clone(),
        );
        let later = NOW + Duration::from_secs(50);
        let new = set(&[key("stays", 1), key("comes", 4)], later);
        let new = new.succeeding(&old);

        assert!(Arc::ptr_eq(&new.with_id("stays")[0], &stays));
        assert!(stays.is_trusted(NOW + Duration::from_secs(120)));
        assert!(
            !goes.is_trusted(NOW),
            "a key that left the set vouches for nothing"
        );
        assert!(new.with_id("comes")[0].is_trusted(later));
    }

    #[test]
    fn a_set_that_comes_back_brings_its_keys_back() {
        let one = set(&[key("a", 1)], NOW);
        let two = set(&[key("a", 1), key("b", 2)], NOW);
        let taken = two.succeeding(&one);
        let back = one.succeeding(&taken);
        assert!(!two.with_id("b")[0].is_trusted(NOW));
        let again = two.succeeding(&back);
        assert!(again.with_id("b")[0].is_trusted(NOW));
    }

    #[test]
    fn ks_09_a_key_that_was_listed_twice_is_withdrawn_whole() {
        let once = set(&[key("k", 1)], NOW);
        let first = once.with_id("k")[0].clone();
        let twice = set(&[key("k", 1), key("k", 1)], NOW).succeeding(&once);
        let all: Vec<_> = twice.with_id("k").to_vec();
        assert_eq!(all.len(), 2);
        let again = twice.succeeding(&once);
        assert!(again.with_id("k").iter().all(|key| key.is_trusted(NOW)));
        let once = set(&[key("k", 1)], NOW).succeeding(&again);
        assert!(Arc::ptr_eq(&once.with_id("k")[0], &first));
        set(&[key("another", 2)], NOW).succeeding(&once);
        for key in all.iter().chain([&first]) {
            assert!(!key.is_trusted(NOW));
        }
    }

    #[test]
    fn nothing_is_trusted_longer_than_the_maximum_age() {
        let set = set(&[key("k", 1)], NOW);
        let key = &set.with_id("k")[0];
        let (last, over) = (
            NOW + Duration::from_secs(99),
            NOW + Duration::from_secs(100),
        );
        assert!(set.is_trusted(last) && key.is_trusted(last));
        assert!(!set.is_trusted(over) && !key.is_trusted(over));
    }
}
