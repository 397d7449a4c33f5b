//! What a shared store gets to see: names and sealed values.
//!
//! A value is sealed under a key made of the operator's key and the user's own token. Whoever has the
//! store and the operator's key still opens nothing; whoever has a user's token and the store cannot
//! even tell whether something is kept for it.

use std::{fmt, time::Duration};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    hkdf, hmac,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::{Zeroize, Zeroizing};

use crate::{Secret, Timestamp, digest::Digest, exchange::TokenResponse};

/// The version of everything here; it is part of the names, so that versions never meet.
const VERSION: u8 = 1;

/// The shortest key of an operator, in bytes.
pub(super) const MIN_KEY: usize = 32;

/// The keys of the operator: the first seals, all of them open.
pub(super) struct Keys(Vec<Key>);

struct Key {
    /// Names entries.
    names: hmac::Key,
    mark: Mark,
    /// The operator's half of the keys that seal.
    seals: hkdf::Salt,
}

/// By which others who have the key know that somebody uses it.
type Mark = [u8; 16];

/// Under which name something is kept: a keyed hash, in braces, by which a cluster keeps what belongs
/// together on one node.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Name(String);

/// Which of the values it is that stand under one name one after the other: its version and its nonce,
/// with which it begins.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(in crate::tokens) struct Stamp([u8; STAMP_LEN]);

/// How many bytes of a value are its stamp.
pub(super) const STAMP_LEN: usize = 1 + NONCE_LEN;

/// A downstream token with what its life is reckoned from.
#[derive(Clone, Debug)]
pub(in crate::tokens) struct Stored {
    pub(in crate::tokens) response: TokenResponse,
    /// When the authorization server gave it.
    pub(in crate::tokens) obtained: Timestamp,
    /// As which value it stands in the store, where it does.
    pub(in crate::tokens) stamp: Option<Stamp>,
}

impl Keys {
    pub(super) fn new(keys: &[Secret]) -> Self {
        Self(keys.iter().map(Key::new).collect())
    }

    /// The name of a token under each key, the key that seals first.
    pub(super) fn names(&self, token: &Digest) -> impl Iterator<Item = Name> {
        self.0.iter().map(|key| key.name(token))
    }

    /// By which others know the keys of this process.
    pub(super) fn marks(&self) -> Vec<u8> {
        self.0.iter().flat_map(|key| key.mark).collect()
    }

    /// Whether a process with these marks has one of our keys; `None` of what are no marks.
    pub(super) fn meet(&self, marks: &[u8]) -> Option<bool> {
        let (marks, []) = marks.as_chunks() else {
            return None;
        };
        let known = |mark: &Mark| self.0.iter().any(|key| key.mark == *mark);
        (!marks.is_empty()).then(|| marks.iter().any(known))
    }

    pub(super) fn seal(
        &self,
        token: &Digest,
        assertion: &Secret,
        stored: &Stored,
    ) -> Option<(Name, Vec<u8>)> {
        let key = self.0.first()?;
        let name = key.name(token);
        let sealed = key.seal(&name, assertion, &stored.to_bytes()).ok()?;
        Some((name, sealed))
    }

    /// What was sealed under this name for this user's token; `None` for anything else.
    pub(super) fn open(&self, name: &Name, assertion: &Secret, sealed: &[u8]) -> Option<Stored> {
        self.0
            .iter()
            .find_map(|key| key.open(name, assertion, sealed).ok())
            .and_then(|bytes| Stored::from_bytes(&bytes))
            .map(|stored| Stored {
                stamp: Stamp::of(sealed),
                ..stored
            })
    }
}

impl Key {
    fn new(key: &Secret) -> Self {
        let key = key.expose().as_bytes();
        let whole = hmac::Key::new(hmac::HMAC_SHA256, key);
        let naming = hmac::sign(&whole, b"tower-obo store 1: names");
        let marking = hmac::sign(&whole, b"tower-obo store 1: mark");
        Self {
            names: hmac::Key::new(hmac::HMAC_SHA256, naming.as_ref()),
            mark: marking.as_ref().first_chunk().copied().unwrap_or_default(),
            seals: hkdf::Salt::new(hkdf::HKDF_SHA256, key),
        }
    }

    fn name(&self, token: &Digest) -> Name {
        let tag = hmac::sign(&self.names, token.bytes());
        Name(format!(
            "obo:{VERSION}:{{{}}}",
            URL_SAFE_NO_PAD.encode(tag.as_ref())
        ))
    }

    fn cipher(&self, assertion: &Secret) -> Result<LessSafeKey, Unspecified> {
        let mut bytes = Zeroizing::new([0; 32]);
        self.seals
            .extract(assertion.expose().as_bytes())
            .expand(&[b"tower-obo store 1: values"], &AES_256_GCM)?
            .fill(&mut *bytes)?;
        UnboundKey::new(&AES_256_GCM, &*bytes).map(LessSafeKey::new)
    }

    /// `version | nonce | sealed`. A nonce at random is enough: a key belongs to one user's token and
    /// seals a few values in its life.
    fn seal(&self, name: &Name, assertion: &Secret, plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce)?;
        let cipher = self.cipher(assertion)?;
        // It is sealed where it stands: had it to move for want of room, it would stay behind in the clear.
        let tag_len = AES_256_GCM.tag_len();
        let mut sealed = Vec::with_capacity(STAMP_LEN + plain.len() + tag_len);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let body = sealed.get_mut(STAMP_LEN..).ok_or(Unspecified)?;
        let tag = cipher.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(bound_to(name)),
            body,
        );
        match tag {
            Ok(tag) => sealed.extend_from_slice(tag.as_ref()),
            Err(error) => {
                sealed.zeroize();
                return Err(error);
            }
        }
        Ok(sealed)
    }

    fn open(
        &self,
        name: &Name,
        assertion: &Secret,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let (&version, rest) = sealed.split_first().ok_or(Unspecified)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(Unspecified)?;
        if version != VERSION {
            return Err(Unspecified);
        }
        let mut body = Zeroizing::new(body.to_vec());
        let length = self
            .cipher(assertion)?
            .open_in_place(
                Nonce::try_assume_unique_for_key(nonce)?,
                Aad::from(bound_to(name)),
                &mut body,
            )?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

/// A value opens under its own name only, and only as what it was sealed as.
fn bound_to(name: &Name) -> Vec<u8> {
    let mut aad = vec![VERSION];
    aad.extend_from_slice(name.0.as_bytes());
    aad
}

impl Name {
    /// A name of the marks of the keys that are in use for an application.
    pub(super) fn of_marks(whose: &Digest, part: u8) -> Self {
        let (whose, _) = whose.bytes().split_at(16);
        Self(format!(
            "obo:{VERSION}:keys:{}:{part}",
            URL_SAFE_NO_PAD.encode(whose)
        ))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of what says that somebody is exchanging for it.
    pub(super) fn claim(&self) -> Self {
        Self(format!("{}:claim", self.0))
    }
}

impl Stamp {
    /// `None` of what is too short to be a value.
    pub(super) fn of(sealed: &[u8]) -> Option<Self> {
        sealed.first_chunk().copied().map(Self)
    }

    /// One that nothing else has.
    pub(super) fn random() -> Self {
        let mut stamp = [0; STAMP_LEN];
        // Should the system have none left, another's claim may be taken for ours: that costs an exchange.
        let _ = aws_lc_rs::rand::fill(&mut stamp);
        Self(stamp)
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Stored {
    /// What the authorization server gave at that time.
    pub(in crate::tokens) const fn new(response: TokenResponse, obtained: Timestamp) -> Self {
        Self {
            response,
            obtained,
            stamp: None,
        }
    }

    /// `obtained | expires_in | refresh_in | token`, the numbers in seconds, eight bytes each.
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let token = self.response.access_token.expose().as_bytes();
        let refresh_in = self.response.refresh_in.map_or(u64::MAX, |d| d.as_secs());
        let mut bytes = Zeroizing::new(Vec::with_capacity(24 + token.len()));
        for number in [
            self.obtained.as_unix(),
            self.response.expires_in.as_secs(),
            refresh_in,
        ] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(token);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (obtained, rest) = bytes.split_first_chunk()?;
        let (expires_in, rest) = rest.split_first_chunk()?;
        let (refresh_in, token) = rest.split_first_chunk()?;
        let expires_in = Duration::from_secs(u64::from_be_bytes(*expires_in));
        let token = Secret::from(std::str::from_utf8(token).ok()?);
        let mut response = TokenResponse::new(token, expires_in);
        let refresh_in = u64::from_be_bytes(*refresh_in);
        response.refresh_in = (refresh_in != u64::MAX).then(|| Duration::from_secs(refresh_in));
        let obtained = Timestamp::from_unix(u64::from_be_bytes(*obtained));
        Some(Self::new(response, obtained))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an operator's key of at least 32 bytes";
    const NEW: &str = "a newer operator's key of 32 bytes or more";

    fn keys(keys: &[&str]) -> Keys {
        Keys::new(
            &keys
                .iter()
                .map(|key| Secret::from(*key))
                .collect::<Vec<_>>(),
        )
    }

    fn stored(token: &str) -> Stored {
        let mut response = TokenResponse::new(Secret::from(token), Duration::from_secs(3_600));
        response.refresh_in = Some(Duration::from_secs(1_800));
        Stored::new(response, Timestamp::from_unix(10_000))
    }

    fn token() -> Digest {
        Digest::of(&[b"alice"])
    }

    fn alice() -> Secret {
        Secret::from("alice's token")
    }

    #[test]
    fn what_is_sealed_opens_with_its_times() {
        let keys = keys(&[OLD]);
        let (name, sealed) = keys.seal(&token(), &alice(), &stored("t")).unwrap();
        let opened = keys.open(&name, &alice(), &sealed).unwrap();
        assert_eq!(opened.response.access_token.expose(), "t");
        assert_eq!(opened.response.expires_in, Duration::from_secs(3_600));
        assert_eq!(opened.response.refresh_in, Some(Duration::from_secs(1_800)));
        assert_eq!(opened.obtained, Timestamp::from_unix(10_000));
        let mut plain = stored("t");
        plain.response.refresh_in = None;
        let (name, sealed) = keys.seal(&token(), &alice(), &plain).unwrap();
        let opened = keys.open(&name, &alice(), &sealed).unwrap();
        assert_eq!(opened.response.refresh_in, None);
    }

    #[test]
    fn ca_08_nothing_opens_but_the_value_itself_under_its_own_name_for_its_own_user() {
        let keys = keys(&[OLD]);
        let (name, sealed) = keys.seal(&token(), &alice(), &stored("t")).unwrap();
        let other = keys.names(&Digest::of(&[b"bob"])).next().unwrap();
        assert!(keys.open(&other, &alice(), &sealed).is_none(), "name");
        let bob = Secret::from("bob's token");
        assert!(keys.open(&name, &bob, &sealed).is_none(), "user");
        let wrong = self::keys(&[NEW]);
        assert!(wrong.open(&name, &alice(), &sealed).is_none(), "key");
        for length in 0..sealed.len() {
            assert!(keys.open(&name, &alice(), &sealed[..length]).is_none());
        }
        for at in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(keys.open(&name, &alice(), &flipped).is_none(), "bit {at}");
        }
        let mut longer = sealed;
        longer.push(0);
        assert!(keys.open(&name, &alice(), &longer).is_none());
        for plain in [&b"t"[..], b"eyJhbGciOiJub25lIn0.e30.", &[VERSION; 200]] {
            assert!(keys.open(&name, &alice(), plain).is_none());
        }
    }

    #[test]
    fn the_operator_s_key_alone_opens_nothing() {
        let keys = keys(&[OLD]);
        let (name, sealed) = keys.seal(&token(), &alice(), &stored("t")).unwrap();
        assert!(keys.open(&name, &Secret::from(""), &sealed).is_none());
    }

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let (name, sealed) = keys(&[OLD]).seal(&token(), &alice(), &stored("t")).unwrap();
        let rotated = keys(&[NEW, OLD]);
        assert!(rotated.open(&name, &alice(), &sealed).is_some());
        assert_eq!(rotated.names(&token()).nth(1), Some(name));
        let (name, sealed) = rotated.seal(&token(), &alice(), &stored("t")).unwrap();
        assert!(keys(&[NEW]).open(&name, &alice(), &sealed).is_some());
        assert!(keys(&[OLD]).open(&name, &alice(), &sealed).is_none());
    }

    /// A buffer that grows leaves what it held behind.
    #[test]
    fn what_is_sealed_has_never_moved() {
        let keys = keys(&[OLD]);
        for length in 0..200 {
            let token_text = "t".repeat(length);
            let (_, sealed) = keys.seal(&token(), &alice(), &stored(&token_text)).unwrap();
            assert_eq!(sealed.capacity(), sealed.len(), "{length}");
        }
    }

    /// In the middle of a rotation some have one key and some have two.
    #[test]
    fn keys_meet_where_one_is_common_and_marks_tell_nothing_else() {
        let meet = |ours: &[&str], theirs: &[&str]| keys(ours).meet(&keys(theirs).marks());
        for (ours, theirs, common) in [
            (&[OLD][..], &[OLD][..], true),
            (&[OLD], &[NEW], false),
            (&[OLD], &[NEW, OLD], true),
            (&[NEW, OLD], &[OLD], true),
            (&[OLD, NEW], &[NEW, OLD], true),
        ] {
            assert_eq!(meet(ours, theirs), Some(common), "{ours:?} {theirs:?}");
        }
        let marks = keys(&[OLD]).marks();
        assert_eq!(marks.len(), 16);
        for garbage in [
            &b""[..],
            b"OK",
            &marks[1..],
            &[marks.clone(), vec![0]].concat(),
        ] {
            assert_eq!(keys(&[OLD]).meet(garbage), None, "{garbage:?}");
        }
        // Nothing of what names or seals.
        let name = keys(&[OLD]).names(&token()).next().unwrap();
        assert!(
            !name
                .as_str()
                .contains(&URL_SAFE_NO_PAD.encode(&marks)[..20])
        );
    }

    #[test]
    fn a_name_tells_nothing_without_the_key_and_a_value_is_never_the_same_twice() {
        let one = keys(&[OLD]);
        let names = |keys: &Keys| keys.names(&token()).next().unwrap();
        assert_ne!(names(&one), names(&keys(&[NEW])));
        let seal = || one.seal(&token(), &alice(), &stored("t")).unwrap().1;
        assert_ne!(seal(), seal());
    }
}
