//! Signing keys: RSA pairs made at start, what is published of them, rotation and withdrawal.

mod certificate;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RsaEncoding, RsaKeyPair};
use aws_lc_rs::{digest, rand, signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::encoding::{base64url, pem};
use crate::token::signature::verifies;

/// A cryptographic operation of the emulator's own keys failed.
#[derive(Clone, Copy, Debug)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system's cryptography refused to make or use a signing key")
    }
}

impl std::error::Error for KeyError {}

/// One RSA pair of 2048 bits.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pair: RsaKeyPair,
    public_der: Vec<u8>,
    certificate: Vec<u8>,
    n: String,
    e: String,
    /// The one tenant it may sign for; `None` means all of them.
    tenant: Option<String>,
    /// The one application whose tokens it signs; `None` means all that have no key of their own.
    application: Option<String>,
}

impl SigningKey {
    pub(crate) fn generate(now: i64, tenant: Option<String>) -> Result<Self, KeyError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError)?;
        let public_der = pair.public_key().as_der().map_err(|_| KeyError)?;
        let public_der = public_der.as_ref().to_vec();
        let mut serial = [0; 16];
        rand::fill(&mut serial).map_err(|_| KeyError)?;
        let certificate = certificate::self_signed(&public_der, serial, now, |message| {
            sign_rsa(&pair, &signature::RSA_PKCS1_SHA256, message)
        })?;
        Self::new(pair, certificate, tenant)
    }

    fn new(
        pair: RsaKeyPair,
        certificate: Vec<u8>,
        tenant: Option<String>,
    ) -> Result<Self, KeyError> {
        let public = pair.public_key();
        let public_der = public.as_der().map_err(|_| KeyError)?.as_ref().to_vec();
        // Entra's key ids are the SHA-1 thumbprints of the certificates.
        let thumbprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &certificate);
        Ok(Self {
            kid: base64url(thumbprint),
            n: base64url(public.modulus().big_endian_without_leading_zero()),
            e: base64url(public.exponent().big_endian_without_leading_zero()),
            certificate,
            public_der,
            pair,
            tenant,
            application: None,
        })
    }

    /// The same for the tokens of one application, by its client id.
    fn of_application(self, client_id: &str) -> Self {
        let application = Some(client_id.to_ascii_lowercase());
        Self {
            application,
            ..self
        }
    }

    fn is_of(&self, client_id: Option<&str>) -> bool {
        match (&self.application, client_id) {
            (None, None) => true,
            (Some(own), Some(asked)) => own.eq_ignore_ascii_case(asked),
            _ => false,
        }
    }

    pub(crate) fn sign(
        &self,
        algorithm: &'static dyn RsaEncoding,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        sign_rsa(&self.pair, algorithm, message)
    }

    fn verifies(&self, message: &str, signature: &str) -> bool {
        DecodingKey::from_rsa_components(&self.n, &self.e)
            .is_ok_and(|key| verifies(Algorithm::RS256, &key, message, signature))
    }

    /// The certificate.
    pub(crate) fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The private key.
    pub(crate) fn pkcs8(&self) -> Result<Vec<u8>, KeyError> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| KeyError)?;
        Ok(der.as_ref().to_vec())
    }

    pub(crate) fn jwk(&self) -> Value {
        json!({
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "n": self.n,
            "e": self.e,
            "x5c": [STANDARD.encode(&self.certificate)],
        })
    }

    pub(crate) fn public_key_pem(&self) -> String {
        pem("PUBLIC KEY", &self.public_der)
    }

    pub(crate) fn may_sign_for(&self, tenant: &str) -> bool {
        self.tenant
            .as_ref()
            .is_none_or(|own| own.eq_ignore_ascii_case(tenant))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// All keys of one emulator.
#[derive(Debug)]
pub(crate) struct KeyRing {
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    current: Arc<SigningKey>,
    published: Vec<Arc<SigningKey>>,
    withdrawn: Vec<Arc<SigningKey>>,
    replacement: Option<Value>,
}

/// A key as it is kept in a file.
#[derive(Deserialize, Serialize)]
pub(crate) struct StoredKey {
    /// PKCS#8 in DER, in base64.
    private_key: String,
    /// X.509 in DER, in base64.
    certificate: String,
    tenant: Option<String>,
    /// A client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    application: Option<String>,
}

impl StoredKey {
    fn of(key: &SigningKey) -> Result<Self, KeyError> {
        Ok(Self {
            private_key: STANDARD.encode(key.pkcs8()?),
            certificate: STANDARD.encode(&key.certificate),
            tenant: key.tenant.clone(),
            application: key.application.clone(),
        })
    }

    fn restore(&self) -> Result<SigningKey, KeyError> {
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| KeyError);
        let pair = RsaKeyPair::from_pkcs8(&decode(&self.private_key)?).map_err(|_| KeyError)?;
        let key = SigningKey::new(pair, decode(&self.certificate)?, self.tenant.clone())?;
        Ok(match &self.application {
            Some(client_id) => key.of_application(client_id),
            None => key,
        })
    }
}

impl KeyRing {
    /// The keys that are published, and the id of the one that signs, to be kept.
    pub(crate) fn stored(&self) -> Result<(String, Vec<StoredKey>), KeyError> {
        let state = self.read();
        let keys: Result<_, _> = state
            .published
            .iter()
            .map(|key| StoredKey::of(key))
            .collect();
        Ok((state.current.kid.clone(), keys?))
    }

    /// The keys that were kept.
    pub(crate) fn restore(keys: &[StoredKey], current: &str) -> Result<Self, KeyError> {
        let keys: Result<Vec<_>, _> = keys.iter().map(|key| key.restore().map(Arc::new)).collect();
        let published = keys?;
        let current = published.iter().find(|key| key.kid == current);
        let current = current.cloned().ok_or(KeyError)?;
        Ok(Self {
            state: RwLock::new(State {
                published,
                current,
                withdrawn: Vec::new(),
                replacement: None,
            }),
        })
    }

    /// Makes `count` keys (at least one) that are published; the first signs.
    pub(crate) fn generate(now: i64, count: usize) -> Result<Self, KeyError> {
        let current = Arc::new(SigningKey::generate(now, None)?);
        let mut published = vec![current.clone()];
        for _ in 1..count {
            published.push(Arc::new(SigningKey::generate(now, None)?));
        }
        Ok(Self {
            state: RwLock::new(State {
                published,
                current,
                withdrawn: Vec::new(),
                replacement: None,
            }),
        })
    }

    pub(crate) fn current(&self) -> Arc<SigningKey> {
        self.read().current.clone()
    }

    /// The key that signs the tokens of an application that has one of its own, made when it is first
    /// asked for.
    pub(crate) fn of_application(
        &self,
        client_id: &str,
        now: i64,
    ) -> Result<Arc<SigningKey>, KeyError> {
        let newest = |state: &State| {
            let mut keys = state.published.iter().rev();
            keys.find(|key| key.is_of(Some(client_id))).cloned()
        };
        let known = newest(&self.read());
        if let Some(key) = known {
            return Ok(key);
        }
        let made = SigningKey::generate(now, None)?.of_application(client_id);
        let mut state = self.write();
        // Another has made one meanwhile.
        if let Some(key) = newest(&state) {
            return Ok(key);
        }
        let made = Arc::new(made);
        state.published.push(made.clone());
        Ok(made)
    }

    pub(crate) fn has_of_application(&self, client_id: &str) -> bool {
        let state = self.read();
        state.published.iter().any(|key| key.is_of(Some(client_id)))
    }

    /// Any key that ever was, withdrawn ones too.
    pub(crate) fn find(&self, kid: &str) -> Option<Arc<SigningKey>> {
        let state = self.read();
        state
            .published
            .iter()
            .chain(&state.withdrawn)
            .find(|key| key.kid == kid)
            .cloned()
    }

    /// A new key signs from now on and is published; the others stay published.
    pub(crate) fn rotate(&self, now: i64) -> Result<String, KeyError> {
        let key = Arc::new(SigningKey::generate(now, None)?);
        let mut state = self.write();
        state.published.push(key.clone());
        state.current = key.clone();
        Ok(key.kid.clone())
    }

    /// A new key is published and signs only what asks for it by name.
    pub(crate) fn add(&self, now: i64, tenant: Option<String>) -> Result<String, KeyError> {
        let key = Arc::new(SigningKey::generate(now, tenant)?);
        let kid = key.kid.clone();
        self.write().published.push(key);
        Ok(kid)
    }

    /// Takes a key out of the published set. When it was the one in use, the newest of the others
    /// takes over, and with none left a new one is made.
    pub(crate) fn withdraw(&self, kid: &str, now: i64) -> Result<bool, KeyError> {
        let (found, orphaned) = {
            let mut state = self.write();
            let Some(at) = state.published.iter().position(|key| key.kid == kid) else {
                return Ok(false);
            };
            let key = state.published.remove(at);
            let was_current = state.current.kid == key.kid;
            state.withdrawn.push(key);
            if was_current {
                let successor = state
                    .published
                    .iter()
                    .rev()
                    .find(|key| key.tenant.is_none() && key.is_of(None))
                    .cloned();
                if let Some(successor) = successor {
                    state.current = successor;
                    (true, false)
                } else {
                    (true, true)
                }
            } else {
                (true, false)
            }
        };
        if orphaned {
            self.rotate(now)?;
        }
        Ok(found)
    }

    pub(crate) fn replace_published(&self, jwks: Option<Value>) {
        self.write().replacement = jwks;
    }

    /// The keys document: of an application, if it has keys of its own, or of everybody else. `issuer` is
    /// given for v2: each key then names who it signs for.
    pub(crate) fn jwks(
        &self,
        application: Option<&str>,
        issuer: Option<impl Fn(Option<&str>) -> String>,
    ) -> Value {
        let state = self.read();
        if let Some(replacement) = &state.replacement {
            return replacement.clone();
        }
        let keys: Vec<Value> = state
            .published
            .iter()
            .filter(|key| key.is_of(application))
            .map(|key| {
                let mut jwk = key.jwk();
                if let Some(issuer) = &issuer {
                    jwk["issuer"] = issuer(key.tenant.as_deref()).into();
                }
                jwk
            })
            .collect();
        json!({ "keys": keys })
    }

    /// Whether a published key that may sign for `tenant` made this RS256 signature.
    pub(crate) fn check(
        &self,
        kid: &str,
        tenant: &str,
        message: &str,
        signature: &str,
    ) -> Result<(), SignatureProblem> {
        let key = self
            .read()
            .published
            .iter()
            .find(|key| key.kid == kid)
            .cloned()
            .ok_or(SignatureProblem::UnknownKey)?;
        if !key.may_sign_for(tenant) {
            return Err(SignatureProblem::ForeignKey);
        }
        if key.verifies(message, signature) {
            Ok(())
        } else {
            Err(SignatureProblem::Invalid)
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a signature doesn't count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SignatureProblem {
    UnknownKey,
    ForeignKey,
    Invalid,
}

fn sign_rsa(
    pair: &RsaKeyPair,
    algorithm: &'static dyn RsaEncoding,
    message: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let mut out = vec![0; pair.public_modulus_len()];
    pair.sign(algorithm, &rand::SystemRandom::new(), message, &mut out)
        .map_err(|_| KeyError)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawn_key_no_longer_vouches() {
        let ring = KeyRing::generate(0, 2).unwrap();
        let key = ring.current();
        let signature = base64url(key.sign(&signature::RSA_PKCS1_SHA256, b"m").unwrap());
        assert_eq!(ring.check(&key.kid, "t", "m", &signature), Ok(()));
        assert_eq!(
            ring.check(&key.kid, "t", "n", &signature),
            Err(SignatureProblem::Invalid)
        );

        assert!(ring.withdraw(&key.kid, 0).unwrap());
        assert_ne!(ring.current().kid, key.kid);
        assert_eq!(
            ring.check(&key.kid, "t", "m", &signature),
            Err(SignatureProblem::UnknownKey)
        );
    }

    #[test]
    fn a_key_of_one_tenant_signs_for_no_other() {
        let ring = KeyRing::generate(0, 2).unwrap();
        let kid = ring.add(0, Some("one".to_owned())).unwrap();
        let key = ring.find(&kid).unwrap();
        let signature = base64url(key.sign(&signature::RSA_PKCS1_SHA256, b"m").unwrap());
        assert_eq!(ring.check(&kid, "one", "m", &signature), Ok(()));
        assert_eq!(
            ring.check(&kid, "two", "m", &signature),
            Err(SignatureProblem::ForeignKey)
        );
        let jwks = ring.jwks(
            None,
            Some(|tenant: Option<&str>| tenant.unwrap_or("all").to_owned()),
        );
        let issuers: Vec<_> = jwks["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["issuer"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(issuers, ["all", "all", "one"]);
    }

    #[test]
    fn a_key_of_an_application_is_in_its_document_alone_and_never_takes_over() {
        let ring = KeyRing::generate(0, 1).unwrap();
        let own = ring.of_application("APP", 0).unwrap();
        assert_eq!(ring.of_application("app", 0).unwrap().kid, own.kid);
        let kids = |of: Option<&str>| {
            let jwks = ring.jwks(of, None::<fn(Option<&str>) -> String>);
            let keys = jwks["keys"].as_array().unwrap().iter();
            keys.map(|key| key["kid"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let usual = ring.current().kid.clone();
        assert_eq!(kids(Some("App")), std::slice::from_ref(&own.kid));
        assert_eq!(kids(None), std::slice::from_ref(&usual));

        assert!(ring.withdraw(&usual, 0).unwrap());
        assert_ne!(ring.current().kid, own.kid);
        let (current, stored) = ring.stored().unwrap();
        let restored = KeyRing::restore(&stored, &current).unwrap();
        assert_eq!(restored.of_application("app", 0).unwrap().kid, own.kid);
    }
}
