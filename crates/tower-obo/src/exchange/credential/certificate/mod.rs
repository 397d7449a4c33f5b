//! A certificate whose key signs a client assertion for each token endpoint.
//!
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>

#[cfg(feature = "pfx")]
mod encrypted;
mod identity;
mod jwt;
mod pem;
#[cfg(feature = "pfx")]
mod pfx;
mod sections;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::rsa::KeyPair;
use quick_cache::sync::Cache;

use self::identity::Identity;
use super::{
    Audience, CredentialError, LEEWAY,
    watched::{Bad, Format, Parsed, Watched},
};
use crate::{Secret, Timestamp, digest::Digest};

/// A client certificate with its private key, in a file: PEM (key and certificate, with its chain if
/// wanted, in any order), or PFX. The key must be RSA, of 2048 bits or more. PFX files, and keys that a
/// password encrypts in a PEM file (PKCS#8, RFC 5958 §3), need the feature `pfx`.
///
/// See [`Credential::certificate`](crate::Credential::certificate).
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    path: PathBuf,
    #[cfg(feature = "pfx")]
    password: Option<Password>,
    send_chain: bool,
}

#[cfg(feature = "pfx")]
#[derive(Clone, Debug)]
enum Password {
    Value(Secret),
    File(PathBuf),
}

impl ClientCertificate {
    /// The file's path. It may be replaced at any time.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            #[cfg(feature = "pfx")]
            password: None,
            send_chain: false,
        }
    }

    /// The password of a PFX file, or of the encrypted key in a PEM file.
    #[cfg(feature = "pfx")]
    #[cfg_attr(docsrs, doc(cfg(feature = "pfx")))]
    #[must_use]
    pub fn with_password(mut self, password: impl Into<Secret>) -> Self {
        self.password = Some(Password::Value(password.into()));
        self
    }

    /// A file that holds this password; white space at either end is not part of it. It is read
    /// whenever the certificate's file is.
    #[cfg(feature = "pfx")]
    #[cfg_attr(docsrs, doc(cfg(feature = "pfx")))]
    #[must_use]
    pub fn with_password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.password = Some(Password::File(path.into()));
        self
    }

    /// Sends the certificate and its chain with each assertion (`x5c`), for registrations that trust
    /// a subject name and issuer instead of one certificate.
    #[must_use]
    pub fn send_chain(mut self) -> Self {
        self.send_chain = true;
        self
    }

    #[cfg(feature = "pfx")]
    fn parse_pfx(&self, bytes: &[u8]) -> Result<Identity, String> {
        let password = self.password()?;
        let password = password.as_ref().map_or("", Secret::expose);
        pfx::parse(bytes, password)
    }

    #[cfg(not(feature = "pfx"))]
    fn parse_pfx(&self, _: &[u8]) -> Result<Identity, String> {
        Err("is no PEM file; PFX files need the feature `pfx` of tower-obo".to_owned())
    }

    /// Opens the encrypted key of a PEM file.
    #[cfg(feature = "pfx")]
    fn open(&self, der: &[u8]) -> Result<KeyPair, String> {
        let Some(password) = self.password()? else {
            return Err("has an encrypted private key, and its password is not given".to_owned());
        };
        encrypted::open(der, password.expose())
    }

    #[cfg(not(feature = "pfx"))]
    fn open(&self, _: &[u8]) -> Result<KeyPair, String> {
        Err("has an encrypted private key, which needs the feature `pfx` of tower-obo".to_owned())
    }

    #[cfg(feature = "pfx")]
    fn password(&self) -> Result<Option<Secret>, String> {
        match &self.password {
            None => Ok(None),
            Some(Password::Value(password)) => Ok(Some(password.clone())),
            Some(Password::File(path)) => super::watched::read(path)
                .and_then(|bytes| super::secret::parse(&bytes))
                .map(Some)
                .map_err(|error| {
                    format!("cannot be opened: its password: {} {error}", path.display())
                }),
        }
    }
}

impl Format for ClientCertificate {
    type Value = Identity;

    fn parse(
        &self,
        bytes: &[u8],
        _: Option<&Identity>,
        now: Timestamp,
    ) -> Result<Parsed<Identity>, Bad> {
        let identity = if pem::is_pem(bytes) {
            pem::parse(bytes, |der| self.open(der))
        } else {
            self.parse_pfx(bytes)
        }?;
        if identity.not_after <= now {
            return Err("has a certificate that has expired".into());
        }
        if identity.not_before > now + LEEWAY {
            let from = identity.not_before.saturating_sub(LEEWAY);
            return Err(Bad::early("certificate", from, now));
        }
        Ok(Parsed {
            until: Some(identity.not_after),
            value: identity,
        })
    }

    fn reads_always(&self, _: Option<Timestamp>, _: Timestamp) -> bool {
        false
    }

    fn beside(&self) -> Option<&Path> {
        #[cfg(feature = "pfx")]
        if let Some(Password::File(path)) = &self.password {
            return Some(path);
        }
        None
    }
}

impl From<&str> for ClientCertificate {
    fn from(path: &str) -> Self {
        Self::file(path)
    }
}

impl From<String> for ClientCertificate {
    fn from(path: String) -> Self {
        Self::file(path)
    }
}

impl From<&Path> for ClientCertificate {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<PathBuf> for ClientCertificate {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

/// A new assertion is signed when less than this is left of the old one.
const MARGIN: Duration = Duration::from_secs(120);
/// Assertions that are kept: one for each tenant whose users call.
const MAX_ASSERTIONS: usize = 256;

/// The certificate at work.
pub(super) struct Certificate {
    file: Arc<Watched<ClientCertificate>>,
    /// By token endpoint and client: an assertion is good for one of each.
    assertions: Cache<Digest, Arc<Signed>>,
}

/// An assertion.
pub(in super::super) struct Signed {
    pub(in super::super) assertion: Secret,
    expires: Timestamp,
    /// By which certificate. After a rotation the old one's assertions are of no use.
    by: Arc<Identity>,
}

impl Certificate {
    pub(super) fn new(settings: ClientCertificate) -> Self {
        Self {
            file: Arc::new(Watched::new(settings.path.clone(), settings)),
            assertions: Cache::new(MAX_ASSERTIONS),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    #[cfg(test)]
    pub(super) fn settings(&self) -> &ClientCertificate {
        self.file.format()
    }

    pub(super) async fn assertion(
        self: &Arc<Self>,
        audience: &Audience,
    ) -> Result<Arc<Signed>, CredentialError> {
        let identity = self.file.current(audience.now).await?;
        let key = key(audience);
        if !audience.single_use
            && let Some(signed) = self.assertions.get(&key)
            && Arc::ptr_eq(&signed.by, &identity)
            && signed.expires > audience.now + MARGIN
        {
            return Ok(signed);
        }
        let (this, audience) = (Arc::clone(self), audience.clone());
        // A signature takes longer than others should wait for.
        let signing = tokio::task::spawn_blocking(move || this.sign(key, identity, &audience));
        let broke_off = |_| CredentialError::Unavailable("signing broke off".to_owned());
        signing.await.map_err(broke_off)?
    }

    fn sign(
        &self,
        key: Digest,
        by: Arc<Identity>,
        audience: &Audience,
    ) -> Result<Arc<Signed>, CredentialError> {
        let expires = audience.now + jwt::lifetime(audience);
        let assertion = jwt::sign(&by, audience, self.file.format().send_chain)
            .map_err(|error| format!("{} {error}", self.path().display()))
            .map_err(CredentialError::Unusable)?;
        let signed = Arc::new(Signed {
            assertion,
            expires,
            by,
        });
        if !audience.single_use {
            self.assertions.insert(key, Arc::clone(&signed));
        }
        Ok(signed)
    }

    /// When the one in use ends.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.file.good_until()
    }

    pub(super) fn check(&self, now: Timestamp) -> Result<(), CredentialError> {
        self.file.check(now)
    }

    /// That assertion is not used again, and its certificate only after the file was looked at anew: of several
    /// that were signed at the same time one is kept, but any of them may be the one that is refused.
    pub(super) fn refused(&self, audience: &Audience, refused: &Arc<Signed>) {
        let is_it = |kept: &Arc<Signed>| Arc::ptr_eq(kept, refused);
        self.assertions.remove_if(&key(audience), is_it);
        self.file
            .refused(|identity| Arc::ptr_eq(identity, &refused.by));
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signed(…)")
    }
}

fn key(audience: &Audience) -> Digest {
    Digest::of(&[
        audience.token_endpoint.as_bytes(),
        audience.client_id.as_bytes(),
    ])
}

#[cfg(test)]
mod tests;
