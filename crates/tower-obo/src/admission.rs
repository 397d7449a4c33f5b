//! Tokens that have been validated: the one look-up of the hot path.

use std::{cell::RefCell, sync::Arc};

use arc_swap::ArcSwapOption;
use quick_cache::{Weighter, sync::Cache};
use smallvec::SmallVec;

use crate::{
    Principal, Timestamp,
    digest::{AsIs, Digest},
    keys::Key,
    tokens::CachedToken,
    usage::{CacheUsage, Evictions},
    validate::Validated,
};

/// A validated token: whom it stands for, how long, which key vouches for it, and the downstream
/// tokens that are ready for it.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) principal: Principal,
    pub(crate) valid_until: Timestamp,
    key: Arc<Key>,
    /// One per downstream of the core, by its number. Only a front: the tokens belong to
    /// [`DownstreamTokens`](crate::tokens::DownstreamTokens). Most cores have one, which lies here: with
    /// many callers each further step on the way to a token is a wait for memory.
    slots: SmallVec<[ArcSwapOption<CachedToken>; 1]>,
    /// The bytes that the entry is counted with. Fixed: the cache asks again when it lets it go.
    weight: usize,
}

impl Admission {
    pub(crate) fn new(valid: Validated, downstreams: usize) -> Self {
        Self {
            weight: weight(&valid.principal, downstreams, downstreams.min(1) * TOKEN),
            principal: valid.principal,
            valid_until: valid.valid_until,
            key: valid.key,
            slots: (0..downstreams).map(|_| ArcSwapOption::empty()).collect(),
        }
    }

    /// The same admission counted with what its tokens really take, if that is more than was
    /// reserved for them.
    fn outgrown(&self) -> Option<Self> {
        let token = |slot: &ArcSwapOption<CachedToken>| {
            let token = slot.load();
            token.as_ref().map_or(0, |token| token.weight().max(TOKEN))
        };
        let tokens = self.slots.iter().map(token).sum();
        let weight = weight(&self.principal, self.slots.len(), tokens);
        (weight > self.weight).then(|| Self {
            principal: self.principal.clone(),
            valid_until: self.valid_until,
            key: Arc::clone(&self.key),
            slots: self
                .slots
                .iter()
                .map(|slot| ArcSwapOption::new(slot.load_full()))
                .collect(),
            weight,
        })
    }

    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        now < self.valid_until && self.key.is_trusted(now)
    }

    /// The downstream token in the slot with that number.
    pub(crate) fn token(&self, downstream: usize) -> Option<Arc<CachedToken>> {
        self.slots.get(downstream)?.load_full()
    }

    /// All downstream tokens that are in slots.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = Arc<CachedToken>> {
        self.slots.iter().filter_map(ArcSwapOption::load_full)
    }

    /// Puts a downstream token into its slot. A downstream that came after the admission has none,
    /// and is found by content instead. Whether there is a slot; [`Admissions::weigh`] then counts it.
    pub(crate) fn set_token(&self, downstream: usize, token: Arc<CachedToken>) -> bool {
        let slot = self.slots.get(downstream);
        if let Some(slot) = slot {
            slot.store(Some(token));
        }
        slot.is_some()
    }
}

/// Under what an admission is found: by the very bytes of the token, and only by validators of the
/// same rules as the one that made it.
pub(crate) fn key(validator: [u8; 8], token: &[u8]) -> Digest {
    Digest::of_two(validator, token)
}

/// The admissions of a core, bounded by bytes.
#[derive(Debug)]
pub(crate) struct Admissions {
    cache: Cache<Digest, Arc<Admission>, ByBytes, AsIs, Evictions>,
    evictions: Evictions,
}

#[derive(Clone, Copy, Debug)]
struct ByBytes;

/// What an entry takes beside its strings: the entry itself, its `Arc`s, its place in the table.
const OVERHEAD: usize = 320;

/// A downstream token is kept alive by its slot even when the store has let it go. The usual size of one is
/// reserved from the start; of a core with many downstreams a caller has the tokens of few, so the others are
/// counted when they come.
const TOKEN: usize = 2_048;

const SLOT: usize = size_of::<ArcSwapOption<CachedToken>>();

fn weight(principal: &Principal, slots: usize, tokens: usize) -> usize {
    OVERHEAD + principal.weight() + slots * SLOT + tokens
}

impl Weighter<Digest, Arc<Admission>> for ByBytes {
    fn weight(&self, _: &Digest, admission: &Arc<Admission>) -> u64 {
        admission.weight as u64
    }
}

impl Admissions {
    pub(crate) fn new(max_bytes: u64) -> Self {
        let evictions = Evictions::default();
        Self {
            cache: Cache::with(
                usize::try_from(max_bytes / 4_096).unwrap_or(usize::MAX),
                max_bytes,
                ByBytes,
                AsIs::default(),
                evictions.clone(),
            ),
            evictions,
        }
    }

    /// The admission of a token, while it holds.
    pub(crate) fn get(&self, key: &Digest, now: Timestamp) -> Option<Arc<Admission>> {
        let admission = self.cache.get(key)?;
        if admission.holds(now) {
            return Some(admission);
        }
        self.cache.remove(key);
        None
    }

    /// Counts an admission anew after its tokens have been filled in. Whoever holds one that is not the
    /// kept one any more, a long stream for one, changes nothing: what has taken its place may have more
    /// tokens than it, and what was purged stays out.
    pub(crate) fn weigh(&self, key: Digest, admission: &Admission) {
        let is_kept = |kept: Arc<Admission>| std::ptr::eq(&*kept, admission);
        if let Some(heavier) = admission.outgrown()
            && self.cache.get(&key).is_some_and(is_kept)
        {
            self.cache.insert(key, Arc::new(heavier));
        }
    }

    pub(crate) fn insert(&self, key: Digest, admission: Admission) -> Arc<Admission> {
        let admission = Arc::new(admission);
        self.cache.insert(key, Arc::clone(&admission));
        admission
    }

    /// Takes out those of principals that are meant.
    pub(crate) fn purge(&self, meant: impl Fn(&Principal) -> bool) -> Vec<Arc<Admission>> {
        let purged = RefCell::default();
        self.cache.retain(|_, admission| {
            let stays = !meant(&admission.principal);
            if !stays {
                Vec::push(&mut purged.borrow_mut(), Arc::clone(admission));
            }
            stays
        });
        purged.into_inner()
    }

    /// Lets all of them go.
    pub(crate) fn clear(&self) {
        self.cache.clear();
    }

    pub(crate) fn usage(&self) -> CacheUsage {
        CacheUsage {
            entries: self.cache.len() as u64,
            bytes: self.cache.weight(),
            evictions: self.evictions.count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Issuers, KeySet, Secret, TokenResponse, principal::Claims};

    const NOW: Timestamp = Timestamp::from_unix(1_000);

    fn admission(slots: usize) -> Admission {
        let vectors = include_bytes!("../tests/vectors/rfc7520.json");
        let vectors: serde_json::Value = serde_json::from_slice(vectors).unwrap();
        let keys: Vec<_> = (vectors["examples"].as_array().unwrap().iter())
            .map(|example| example["key"].clone())
            .collect();
        let jwks = serde_json::json!({ "keys": keys }).to_string();
        let issuers = Issuers::new("https://login.example/{tenantid}/v2.0");
        let day = Duration::from_secs(24 * 3600);
        let keys = KeySet::parse(jwks.as_bytes(), issuers, NOW, day).unwrap();
        let claims = Claims {
            issuer: "i".into(),
            tenant_id: "t".into(),
            object_id: Some("o".into()),
            subject: None,
            client_id: None,
            scopes: [].into(),
            roles: [].into(),
            app_only: false,
            claims_capable: false,
            token_id: None,
            expires_at: NOW,
            kept: Box::default(),
        };
        let valid = Validated {
            principal: Principal::new(claims),
            valid_until: NOW + Duration::from_secs(1_000),
            key: Arc::clone(&keys.with_id("bilbo.baggins@hobbiton.example")[0]),
        };
        Admission::new(valid, slots)
    }

    /// One that takes more than was reserved for it.
    fn token(name: &str) -> Arc<CachedToken> {
        let text = format!("{name}{}", "x".repeat(2 * TOKEN));
        let response = TokenResponse::new(Secret::from(&*text), Duration::from_secs(1_000));
        let token = CachedToken::new(&response, key([0; 8], b""), NOW, Timestamp::MAX);
        Arc::new(token.unwrap())
    }

    /// A stream that began long ago gets another API's token; others have come since.
    #[test]
    fn who_holds_an_old_admission_takes_nothing_from_the_one_that_is_kept() {
        let (admissions, key) = (Admissions::new(1 << 20), key([0; 8], b"token"));
        let old = admissions.insert(key, admission(2));
        let since = admissions.insert(key, admission(2));
        assert!(since.set_token(1, token("since")));
        admissions.weigh(key, &since);
        let since = admissions.get(&key, NOW).unwrap();

        assert!(old.set_token(0, token("old")));
        admissions.weigh(key, &old);
        let kept = admissions.get(&key, NOW).unwrap();
        assert!(Arc::ptr_eq(&kept, &since));
        assert!(kept.token(1).is_some());

        // Nor does it bring back what was purged.
        assert_eq!(admissions.purge(|_| true).len(), 1);
        admissions.weigh(key, &old);
        assert!(admissions.get(&key, NOW).is_none());
    }

    #[test]
    fn an_admission_that_has_outgrown_its_weight_is_counted_anew() {
        let (admissions, key) = (Admissions::new(1 << 20), key([0; 8], b"token"));
        let kept = admissions.insert(key, admission(1));
        let before = admissions.usage().bytes;
        assert!(kept.set_token(0, token("a")));
        admissions.weigh(key, &kept);
        assert!(admissions.usage().bytes > before + TOKEN as u64);
        assert!(admissions.get(&key, NOW).unwrap().token(0).is_some());
    }
}
