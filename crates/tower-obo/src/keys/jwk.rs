//! One key of a JWK set (RFC 7517), or the reason why it is not used.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;

use super::algorithm::{Algorithm, Verifier};
use crate::{Timestamp, validate::jose};

/// A signing key of the identity provider.
///
/// Admissions hold the key that vouched for them: when it leaves the set, or the set grows too
/// old, [`is_trusted`](Self::is_trusted) turns false for exactly them.
pub struct Key {
    kid: Box<str>,
    issuer: Option<Box<str>>,
    verifiers: Box<[Verifier]>,
    /// Two keys with one kid are told apart by what they are.
    thumbprint: [u8; 32],
    trusted_until: AtomicU64,
}

impl Key {
    /// The id that tokens name it by.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one issuer it may sign for, if the set says so; may hold `{tenantid}`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether the key is for this algorithm.
    #[must_use]
    pub fn supports(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|v| v.algorithm == algorithm)
    }

    /// Whether the key signed `message`.
    #[must_use]
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.verifiers
            .iter()
            .find(|verifier| verifier.algorithm == algorithm)
            .is_some_and(|verifier| verifier.verify(message, signature))
    }

    /// Whether the key may still vouch for a token.
    #[must_use]
    pub fn is_trusted(&self, now: Timestamp) -> bool {
        now.as_unix() < self.trusted_until.load(Ordering::Relaxed)
    }

    pub(super) fn trust_until(&self, until: Timestamp) {
        self.trusted_until.store(until.as_unix(), Ordering::Relaxed);
    }

    pub(super) fn withdraw(&self) {
        self.trusted_until.store(0, Ordering::Relaxed);
    }

    /// Whether both are one key, named and bound in the same way.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.thumbprint == other.thumbprint
    }
}

/// Which key it is; the key itself would fill pages.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms = self.verifiers.iter().map(|verifier| verifier.algorithm);
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("issuer", &self.issuer)
            .field("algorithms", &algorithms.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A JWK as it is written. Members that do not matter are passed over.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    issuer: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

/// Reads a key.
///
/// # Errors
///
/// A fixed sentence that says why the key is of no use; the others of its set are not affected.
pub(super) fn parse(json: &serde_json::value::RawValue) -> Result<Key, &'static str> {
    let jwk: Jwk =
        serde_json::from_str(json.get()).map_err(|_| "it is not a JWK as RFC 7517 has it")?;
    let kid: Box<str> = match jwk.kid.as_deref() {
        Some(kid) if !kid.is_empty() => kid.into(),
        _ => return Err("it has no kid"),
    };
    if jwk.d.is_some() {
        return Err("it holds a private key");
    }
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Err("its use is not sig");
    }
    if let Some(operations) = &jwk.key_ops
        && !operations.iter().any(|operation| operation == "verify")
    {
        return Err("its key_ops do not hold verify");
    }
    let declared = match jwk.alg.as_deref() {
        None => None,
        Some(name) => Some(Algorithm::from_name(name).ok_or("its alg is not supported")?),
    };
    let (verifiers, material) = match jwk.kty.as_str() {
        "RSA" => rsa(&jwk, declared)?,
        "EC" => ec(&jwk, declared)?,
        _ => return Err("its kty is not RSA or EC"),
    };
    let mut identity = Vec::new();
    for field in [
        kid.as_bytes(),
        jwk.issuer.as_deref().unwrap_or_default().as_bytes(),
        jwk.alg.as_deref().unwrap_or_default().as_bytes(),
        &material,
    ] {
        identity.extend_from_slice(&(field.len() as u64).to_be_bytes());
        identity.extend_from_slice(field);
    }
    let mut thumbprint = [0; 32];
    thumbprint.copy_from_slice(digest(&SHA256, &identity).as_ref());
    Ok(Key {
        kid,
        issuer: jwk.issuer.map(Into::into),
        verifiers,
        thumbprint,
        trusted_until: AtomicU64::new(0),
    })
}

type Verifiers = (Box<[Verifier]>, Vec<u8>);

fn rsa(jwk: &Jwk, declared: Option<Algorithm>) -> Result<Verifiers, &'static str> {
    let (n, e) = (part(jwk.n.as_deref())?, part(jwk.e.as_deref())?);
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if bits < 2048 {
        return Err("its modulus has fewer than 2048 bits");
    }
    if bits > 8192 {
        return Err("its modulus has more than 8192 bits");
    }
    let verifiers: Box<[_]> = Algorithm::rsa()
        .filter(|(algorithm, _)| declared.is_none_or(|declared| declared == *algorithm))
        .filter_map(|(algorithm, parameters)| Verifier::rsa(algorithm, parameters, &n, &e))
        .collect();
    if verifiers.is_empty() {
        return Err("it is no RSA key, or its alg does not fit one");
    }
    Ok((verifiers, [n, e].concat()))
}

fn ec(jwk: &Jwk, declared: Option<Algorithm>) -> Result<Verifiers, &'static str> {
    let (algorithm, parameters, length) = jwk
        .crv
        .as_deref()
        .and_then(Algorithm::ec)
        .ok_or("its crv is not P-256 or P-384")?;
    if declared.is_some_and(|declared| declared != algorithm) {
        return Err("its alg does not fit its crv");
    }
    let (x, y) = (part(jwk.x.as_deref())?, part(jwk.y.as_deref())?);
    if x.len() != length || y.len() != length {
        return Err("its coordinates have a wrong length");
    }
    // Uncompressed form of SEC 1 §2.3.3.
    let point = [&[4], &x[..], &y[..]].concat();
    let verifier =
        Verifier::ec(algorithm, parameters, &point).ok_or("it is no point of its crv")?;
    Ok((Box::new([verifier]), point))
}

fn part(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    text.and_then(|text| jose::decode(text).ok())
        .filter(|bytes| !bytes.is_empty())
        .ok_or("a part of it is missing or not base64url")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::{json, value::to_raw_value};

    fn parse_value(value: &serde_json::Value) -> Result<Key, &'static str> {
        parse(&to_raw_value(value).unwrap())
    }

    fn rsa_jwk(bits: usize) -> serde_json::Value {
        let mut n = vec![0xff; bits / 8];
        n[0] = 0x80;
        json!({"kty": "RSA", "kid": "k", "use": "sig",
            "n": URL_SAFE_NO_PAD.encode(n), "e": "AQAB"})
    }

    #[test]
    fn a_key_without_alg_is_for_every_algorithm_of_its_type() {
        let key = parse_value(&rsa_jwk(2048)).unwrap();
        assert!(key.supports(Algorithm::Rs256) && key.supports(Algorithm::Ps512));
        assert!(!key.supports(Algorithm::Es256));
    }

    #[test]
    fn a_key_with_alg_is_for_that_one_only() {
        let mut jwk = rsa_jwk(2048);
        jwk["alg"] = "RS256".into();
        let key = parse_value(&jwk).unwrap();
        assert!(key.supports(Algorithm::Rs256) && !key.supports(Algorithm::Ps256));
    }

    #[test]
    fn keys_of_no_use_say_why() {
        for (member, value, reason) in [
            ("kty", json!("oct"), "its kty is not RSA or EC"),
            ("kty", json!("EC"), "its crv is not P-256 or P-384"),
            ("kid", json!(null), "it has no kid"),
            ("kid", json!(""), "it has no kid"),
            ("use", json!("enc"), "its use is not sig"),
            ("d", json!("AQAB"), "it holds a private key"),
            ("alg", json!("HS256"), "its alg is not supported"),
            (
                "alg",
                json!("ES256"),
                "it is no RSA key, or its alg does not fit one",
            ),
            ("n", json!("=="), "a part of it is missing or not base64url"),
            (
                "key_ops",
                json!(["encrypt"]),
                "its key_ops do not hold verify",
            ),
        ] {
            let mut jwk = rsa_jwk(2048);
            jwk[member] = value;
            assert_eq!(parse_value(&jwk).err(), Some(reason), "{member}");
        }
        assert_eq!(
            parse_value(&rsa_jwk(1024)).err(),
            Some("its modulus has fewer than 2048 bits")
        );
    }

    #[test]
    fn rsa_keys_have_2048_to_8192_bits() {
        for bits in [2048, 3072, 8192] {
            assert!(parse_value(&rsa_jwk(bits)).is_ok(), "{bits}");
        }
        assert_eq!(
            parse_value(&rsa_jwk(8200)).err(),
            Some("its modulus has more than 8192 bits")
        );
        let mut jwk = rsa_jwk(2048);
        jwk["n"] = URL_SAFE_NO_PAD.encode([0x7f; 256]).into();
        assert_eq!(
            parse_value(&jwk).err(),
            Some("its modulus has fewer than 2048 bits")
        );
    }

    #[test]
    fn ec_keys_have_the_alg_and_the_length_of_their_curve() {
        // RFC 7517 §A.1.
        let good = json!({"kty": "EC", "kid": "k", "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
        let key = parse_value(&good).unwrap();
        assert!(key.supports(Algorithm::Es256) && !key.supports(Algorithm::Es384));
        for (member, value, reason) in [
            ("alg", "ES384", "its alg does not fit its crv"),
            ("alg", "RS256", "its alg does not fit its crv"),
            ("crv", "P-521", "its crv is not P-256 or P-384"),
            ("crv", "P-384", "its coordinates have a wrong length"),
            ("x", "AA", "its coordinates have a wrong length"),
            ("y", "AA", "its coordinates have a wrong length"),
            (
                "y",
                "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyA",
                "it is no point of its crv",
            ),
        ] {
            let mut jwk = good.clone();
            jwk[member] = value.into();
            assert_eq!(parse_value(&jwk).err(), Some(reason), "{member} {value}");
        }
    }

    #[test]
    fn keys_are_the_same_only_if_all_that_matters_is() {
        let key = parse_value(&rsa_jwk(2048)).unwrap();
        assert!(key.is_same(&parse_value(&rsa_jwk(2048)).unwrap()));
        for (member, value) in [("issuer", "https://a"), ("kid", "other"), ("alg", "RS256")] {
            let mut jwk = rsa_jwk(2048);
            jwk[member] = value.into();
            assert!(!key.is_same(&parse_value(&jwk).unwrap()), "{member}");
        }
    }
}
