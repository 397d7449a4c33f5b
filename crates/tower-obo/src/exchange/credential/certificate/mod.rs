//! A certificate whose key signs a client assertion for each token endpoint.
//!
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>

mod identity;
mod jwt;
mod pem;
#[cfg(feature = "pfx")]
mod pfx;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use quick_cache::sync::Cache;

use self::identity::Identity;
use super::{
    Audience, CredentialError, LEEWAY,
    watched::{Bad, Format, Parsed, Watched},
};
use crate::{Secret, Timestamp, digest::Digest};

/// A client certificate with its private key, in a file: PEM (key and certificate, with its chain if
/// wanted, in any order), or PFX with the feature `pfx`. The key must be RSA, of 2048 bits or more.
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

    /// The password of a PFX file.
    #[cfg(feature = "pfx")]
    #[cfg_attr(docsrs, doc(cfg(feature = "pfx")))]
    #[must_use]
    pub fn with_password(mut self, password: impl Into<Secret>) -> Self {
        self.password = Some(Password::Value(password.into()));
        self
    }

    /// A file that holds the password of the PFX file; white space at either end is not part of it.
    /// It is read whenever the PFX file is.
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
        let read;
        let password = match &self.password {
            None => "",
            Some(Password::Value(password)) => password.expose(),
            Some(Password::File(path)) => {
                read = super::watched::read(path)
                    .and_then(|bytes| super::secret::parse(&bytes))
                    .map_err(|error| {
                        format!("cannot be opened: its password: {} {error}", path.display())
                    })?;
                read.expose()
            }
        };
        pfx::parse(bytes, password)
    }

    #[cfg(not(feature = "pfx"))]
    fn parse_pfx(&self, _: &[u8]) -> Result<Identity, String> {
        Err("is no PEM file; PFX files need the feature `pfx` of tower-obo".to_owned())
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
            pem::parse(bytes)
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

struct Signed {
    assertion: Secret,
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

    pub(super) async fn assertion(
        self: &Arc<Self>,
        audience: &Audience,
    ) -> Result<Secret, CredentialError> {
        let identity = self.file.current(audience.now).await?;
        let key = key(audience);
        if let Some(signed) = self.assertions.get(&key)
            && Arc::ptr_eq(&signed.by, &identity)
            && signed.expires > audience.now + MARGIN
        {
            return Ok(signed.assertion.clone());
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
    ) -> Result<Secret, CredentialError> {
        let expires = audience.now + jwt::LIFETIME;
        let assertion = jwt::sign(&by, audience, self.file.format().send_chain)
            .map_err(|error| format!("{} {error}", self.path().display()))
            .map_err(CredentialError::Unusable)?;
        self.assertions.insert(
            key,
            Arc::new(Signed {
                assertion: assertion.clone(),
                expires,
                by,
            }),
        );
        Ok(assertion)
    }

    pub(super) fn check(&self, now: Timestamp) -> Result<(), CredentialError> {
        self.file.check(now)
    }

    /// That assertion is not used again, and its certificate only after the file was looked at anew.
    pub(super) fn refused(&self, audience: &Audience, assertion: &Secret) {
        let key = key(audience);
        let refused = |signed: &Arc<Signed>| signed.assertion.expose() == assertion.expose();
        if let Some((_, signed)) = self.assertions.remove_if(&key, refused) {
            self.file
                .refused(|identity| Arc::ptr_eq(identity, &signed.by));
        }
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
