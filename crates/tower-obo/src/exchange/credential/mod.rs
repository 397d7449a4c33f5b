//! How the middle tier proves to the authorization server who it is. One kind of credential, one
//! file.

mod certificate;
mod secret;
mod watched;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

pub use self::certificate::ClientCertificate;
use self::{certificate::Certificate, secret::SecretFile};
use super::{ExchangeError, ExchangeErrorKind, grant::Form};
use crate::{Secret, Timestamp};

/// The credential of the app registration whose API is called.
///
/// ```
/// use tower_obo::Credential;
///
/// let credential = Credential::secret("never in an argument or in source code");
/// assert_eq!(format!("{credential:?}"), "Credential(client secret)");
/// ```
///
/// Those that live in files are read when a token is asked for, away from the requests that wait
/// for nothing, and again when the file has changed. A file that has become unusable leaves the last
/// good credential in use, with one warning for each change.
#[derive(Clone)]
pub struct Credential(Arc<Kind>);

enum Kind {
    Secret(Secret),
    SecretFile(SecretFile),
    Certificate(Certificate),
}

/// To whom the client proves itself.
#[derive(Clone, Debug)]
pub(super) struct Audience {
    pub(super) token_endpoint: Arc<str>,
    pub(super) client_id: Arc<str>,
    pub(super) now: Timestamp,
}

/// What goes into the token request.
pub(super) enum Proof {
    Secret(Secret),
    /// A client assertion (RFC 7523 §2.2).
    Assertion(Secret),
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Why a credential cannot be used. The text is for the operator's log alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum CredentialError {
    /// Somebody has to mend it.
    Unusable(String),
    /// It may come back by itself.
    Unavailable(String),
}

/// How long a file may take to be read. File systems of the network hang.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

impl Credential {
    /// A client secret.
    #[must_use]
    pub fn secret(secret: impl Into<Secret>) -> Self {
        Kind::Secret(secret.into()).into()
    }

    /// A client secret in a file. The file is read for each exchange, so a new secret is used at
    /// once; while it is empty or cannot be read, the last good secret serves. White space at
    /// either end is not part of the secret.
    #[must_use]
    pub fn secret_file(path: impl Into<PathBuf>) -> Self {
        Kind::SecretFile(SecretFile::new(path.into())).into()
    }

    /// A certificate whose public half is registered: each token is asked for with an assertion that
    /// is signed with its key (PS256), and the key itself goes nowhere.
    ///
    /// ```
    /// use tower_obo::{ClientCertificate, Credential};
    ///
    /// let plain = Credential::certificate("/run/certificates/api.pem");
    /// assert_eq!(plain.describe(), "certificate in /run/certificates/api.pem");
    /// let file = ClientCertificate::file("/run/certificates/api.pem");
    /// let with_chain = Credential::certificate(file.send_chain());
    /// # let _ = with_chain;
    /// ```
    #[must_use]
    pub fn certificate(certificate: impl Into<ClientCertificate>) -> Self {
        Kind::Certificate(Certificate::new(certificate.into())).into()
    }

    /// Which credential it is, for a log: never what it holds.
    #[must_use]
    pub fn describe(&self) -> String {
        match &*self.0 {
            Kind::Secret(_) => "client secret".to_owned(),
            Kind::SecretFile(file) => format!("client secret in {}", file.path().display()),
            Kind::Certificate(certificate) => {
                format!("certificate in {}", certificate.path().display())
            }
        }
    }

    /// What is wrong with it for certain. A file may be filled later.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        match &*self.0 {
            Kind::Secret(secret) if secret.expose().trim().is_empty() => {
                Some("the client secret is empty")
            }
            Kind::Secret(_) | Kind::SecretFile(_) | Kind::Certificate(_) => None,
        }
    }

    /// Proves to `audience` who the client is.
    pub(super) async fn prove(&self, audience: &Audience) -> Result<Proof, CredentialError> {
        match &*self.0 {
            Kind::Secret(secret) => Ok(Proof::Secret(secret.clone())),
            Kind::SecretFile(_) | Kind::Certificate(_) => self.prove_from_file(audience).await,
        }
    }

    /// Files are read, and keys used, where that blocks nobody.
    async fn prove_from_file(&self, audience: &Audience) -> Result<Proof, CredentialError> {
        let (kind, audience) = (Arc::clone(&self.0), audience.clone());
        let reading = tokio::task::spawn_blocking(move || match &*kind {
            Kind::Secret(secret) => Ok(Proof::Secret(secret.clone())),
            Kind::SecretFile(file) => file.secret().map(Proof::Secret),
            Kind::Certificate(certificate) => {
                certificate.assertion(&audience).map(Proof::Assertion)
            }
        });
        let unavailable = |reason| CredentialError::Unavailable(format!("{self:?}: {reason}"));
        match tokio::time::timeout(READ_TIMEOUT, reading).await {
            Ok(Ok(proof)) => proof,
            Ok(Err(_)) => Err(unavailable("the reader broke off")),
            Err(_) => Err(unavailable("the file could not be read in time")),
        }
    }

    /// The authorization server refused the assertion: the next one is made from what the file holds
    /// by then.
    pub(super) fn refused(&self) {
        match &*self.0 {
            Kind::Secret(_) | Kind::SecretFile(_) => {}
            Kind::Certificate(certificate) => certificate.forget(),
        }
    }
}

impl Proof {
    /// Adds the client authentication to a token request.
    pub(super) fn write(&self, form: &mut Form) {
        match self {
            Self::Secret(secret) => form.push("client_secret", secret.expose()),
            Self::Assertion(assertion) => {
                form.push("client_assertion_type", JWT_BEARER);
                form.push("client_assertion", assertion.expose());
            }
        }
    }
}

impl From<Kind> for Credential {
    fn from(kind: Kind) -> Self {
        Self(Arc::new(kind))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.describe())
    }
}

impl CredentialError {
    /// What the callers learn: that it is our own affair.
    pub(super) fn into_exchange_error(self) -> ExchangeError {
        match self {
            Self::Unusable(error) => {
                tracing::error!(%error, "the client credential cannot be used");
                ExchangeError::new(
                    ExchangeErrorKind::Misconfigured,
                    "the client credential cannot be used",
                )
            }
            Self::Unavailable(error) => {
                tracing::error!(%error, "the client credential is not there at present");
                ExchangeError::new(
                    ExchangeErrorKind::Unavailable,
                    "the client credential is not there at present",
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
