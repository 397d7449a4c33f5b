//! How the middle tier proves to the authorization server who it is. One kind of credential, one
//! file.

mod callback;
mod certificate;
mod federated;
mod managed_identity;
mod ordered;
mod secret;
mod watched;

use std::{error::Error, fmt, path::PathBuf, sync::Arc, time::Duration};

use self::{
    callback::Callback,
    certificate::{Certificate, Signed},
    federated::FederatedToken,
    managed_identity::Identity,
    secret::SecretText,
    watched::Watched,
};
pub use self::{certificate::ClientCertificate, managed_identity::ManagedIdentity};
use super::{ExchangeError, ExchangeErrorKind, grant::Form};
use crate::{Clock as _, ConfigErrors, Secret, SystemClock, Timestamp};

/// The credential of the app registration whose API is called.
///
/// ```
/// use tower_obo::Credential;
///
/// let credential = Credential::secret("never in an argument or in source code");
/// assert_eq!(format!("{credential:?}"), "Credential(client secret)");
/// ```
///
/// Those that live in files are read when a token is asked for, by one exchange at a time, and again
/// when the file has changed, or a minute later at the latest; meanwhile the others go on with what
/// there is, and after a second so does the one that reads. A file that has become unusable, or is not
/// valid yet (by more than a minute), leaves the last good credential in use while that is valid, with
/// one warning for each change.
#[derive(Clone)]
pub struct Credential {
    kind: Arc<Kind>,
    /// The variable that told of it.
    variable: Option<&'static str>,
}

enum Kind {
    Secret(Secret),
    SecretFile(Arc<Watched<SecretText>>),
    Certificate(Arc<Certificate>),
    Federated(Arc<Watched<FederatedToken>>),
    ManagedIdentity(Arc<Identity>),
    Assertion(Callback),
}

/// To whom the client proves itself.
#[derive(Clone, Debug)]
pub(super) struct Audience {
    pub(super) token_endpoint: Arc<str>,
    pub(super) client_id: Arc<str>,
    pub(super) now: Timestamp,
    /// Whether an assertion may be shown once only, as OpenID Connect Core has it (§9).
    pub(super) single_use: bool,
}

/// What goes into the token request.
pub(super) enum Proof {
    Secret(Secret),
    /// A client assertion (RFC 7523 §2.2).
    Assertion(Secret),
    /// One that a certificate's key has signed.
    Signed(Arc<Signed>),
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

/// What is not valid yet is taken as valid this long before: clocks differ.
const LEEWAY: Duration = Duration::from_secs(60);

impl Credential {
    /// A client secret.
    #[must_use]
    pub fn secret(secret: impl Into<Secret>) -> Self {
        Kind::Secret(secret.into()).into()
    }

    /// A client secret in a file. The file is read for each exchange, unless it is being read, so a
    /// new secret is used at once; while it is empty or cannot be read, the last good secret serves.
    /// White space at either end is not part of the secret.
    ///
    /// Register the new secret before it stands in the file, and take the old one away afterwards. A
    /// secret that Entra ID calls wrong is not tried a second time; the file is read again, and the
    /// exchange is made once more where it holds another one by then. Put the new file in place whole, by
    /// renaming it or as Kubernetes does: whatever text a file holds is a secret, half of one too.
    #[must_use]
    pub fn secret_file(path: impl Into<PathBuf>) -> Self {
        Kind::SecretFile(Arc::new(Watched::new(path.into(), SecretText))).into()
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
        Kind::Certificate(Arc::new(Certificate::new(certificate.into()))).into()
    }

    /// The token of another issuer in a file, for an application that has it registered as a
    /// federated credential: workload identity. The file is read again when it changes, and each time
    /// when less than five minutes are left of the token. The last good token serves while it is
    /// valid. Where that was for `api://AzureADTokenExchange`, one for another audience does not take
    /// its place.
    #[must_use]
    pub fn federated_token_file(path: impl Into<PathBuf>) -> Self {
        Kind::Federated(Arc::new(Watched::new(path.into(), FederatedToken))).into()
    }

    /// A managed identity of Azure that is registered as a federated credential of the application.
    ///
    /// ```
    /// use tower_obo::{Credential, ManagedIdentity};
    ///
    /// let none = |_: &str| None;
    /// let identity = ManagedIdentity::from_lookup(none)
    ///     .client_id("11111111-0000-4000-8000-000000000001");
    /// assert_eq!(
    ///     Credential::managed_identity(identity).describe(),
    ///     "managed identity 11111111-0000-4000-8000-000000000001 of http://169.254.169.254",
    /// );
    /// ```
    #[must_use]
    pub fn managed_identity(identity: ManagedIdentity) -> Self {
        Kind::ManagedIdentity(Arc::new(Identity::new(identity))).into()
    }

    /// Client assertions (RFC 7523) from wherever `assertion` gets them. It is called for every
    /// exchange, and once more after a refusal, so it should keep what can be kept; its error goes
    /// into the log.
    ///
    /// ```
    /// use tower_obo::{Credential, Secret};
    ///
    /// let credential = Credential::assertion(|| async { Ok(Secret::from("a.b.c")) });
    /// # let _ = credential;
    /// ```
    #[must_use]
    pub fn assertion<F, A>(assertion: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Secret, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        Kind::Assertion(Callback::new(assertion)).into()
    }

    /// The first credential that the environment tells of, in the order of Azure's own libraries:
    ///
    /// 1. `AZURE_CLIENT_SECRET`;
    /// 2. `AZURE_CLIENT_CERTIFICATE_PATH`, with `AZURE_CLIENT_CERTIFICATE_PASSWORD` and
    ///    `AZURE_CLIENT_SEND_CERTIFICATE_CHAIN`;
    /// 3. `AZURE_FEDERATED_TOKEN_FILE`;
    /// 4. a managed identity, where `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`, or
    ///    `AZURE_POD_IDENTITY_AUTHORITY_HOST`, say that there is one; `AZURE_CLIENT_ID` names it among
    ///    several. (For [`OboLayer::from_env`](crate::OboLayer::from_env) that variable names the API:
    ///    an identity with a name is given as
    ///    [`Credential::managed_identity`] there.)
    ///
    /// `AZURE_TOKEN_CREDENTIALS` narrows that down: to `EnvironmentCredential` (1 and 2),
    /// `WorkloadIdentityCredential` (3), `ManagedIdentityCredential` (4, and without any variable
    /// that of the virtual machine), or `prod` (all, in order, with the virtual machine's last).
    ///
    /// # Errors
    ///
    /// The environment tells of none.
    pub fn from_env() -> Result<Self, ConfigErrors> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// The same with variables from wherever `lookup` finds them.
    ///
    /// # Errors
    ///
    /// The variables tell of none.
    ///
    /// ```
    /// use tower_obo::Credential;
    ///
    /// let lookup = |name: &str| match name {
    ///     "AZURE_FEDERATED_TOKEN_FILE" => Some("/var/run/secrets/token".to_owned()),
    ///     _ => None,
    /// };
    /// assert_eq!(
    ///     Credential::from_lookup(lookup)?.describe(),
    ///     "federated token in /var/run/secrets/token (AZURE_FEDERATED_TOKEN_FILE)",
    /// );
    /// # Ok::<_, tower_obo::ConfigErrors>(())
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        ordered::first(lookup)
    }

    fn told_by(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    /// Which credential it is, for a log: never what it holds.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = match &*self.kind {
            Kind::Secret(_) => "client secret".to_owned(),
            Kind::SecretFile(file) => format!("client secret in {}", file.path().display()),
            Kind::Certificate(certificate) => {
                format!("certificate in {}", certificate.path().display())
            }
            Kind::Federated(file) => format!("federated token in {}", file.path().display()),
            Kind::ManagedIdentity(identity) => identity.to_string(),
            Kind::Assertion(_) => "client assertion".to_owned(),
        };
        if let Some(variable) = self.variable {
            text = format!("{text} ({variable})");
        }
        text
    }

    /// When the certificate in use ends, if it is one and has been read: by an exchange, or by
    /// [`check`](Self::check).
    ///
    /// ```
    /// use tower_obo::Credential;
    ///
    /// assert_eq!(Credential::secret("a secret has no end that it tells of").certificate_expires(), None);
    /// ```
    #[must_use]
    pub fn certificate_expires(&self) -> Option<Timestamp> {
        match &*self.kind {
            Kind::Certificate(certificate) => certificate.expires(),
            _ => None,
        }
    }

    /// Reads its files, as an exchange would, and says what is wrong with them: for those who want to
    /// know before a request comes. Blocks. A managed identity and a closure are not asked.
    ///
    /// # Errors
    ///
    /// What is wrong, for the operator.
    ///
    /// ```
    /// use tower_obo::Credential;
    ///
    /// let problem = Credential::secret_file("/nowhere").check().unwrap_err();
    /// assert!(problem.starts_with("/nowhere cannot be read"));
    /// ```
    pub fn check(&self) -> Result<(), String> {
        let now = SystemClock.now();
        let looked = match &*self.kind {
            Kind::SecretFile(file) => file.check(now),
            Kind::Certificate(certificate) => certificate.check(now),
            Kind::Federated(file) => file.check(now),
            Kind::Secret(_) | Kind::ManagedIdentity(_) | Kind::Assertion(_) => Ok(()),
        };
        looked.map_err(|error| error.text().to_owned())?;
        self.problem().map_or(Ok(()), Err)
    }

    /// What is wrong with it for certain. A file may be filled later.
    pub(crate) fn problem(&self) -> Option<String> {
        match &*self.kind {
            Kind::Secret(secret) if secret.expose().trim().is_empty() => {
                Some("the client secret is empty".to_owned())
            }
            Kind::ManagedIdentity(identity) => identity.problem(),
            _ => None,
        }
    }

    /// Whether what it proves with is taken by Entra ID, whoever shows it.
    pub(crate) fn is_for_entra_id(&self) -> bool {
        matches!(*self.kind, Kind::ManagedIdentity(_))
    }

    /// Proves to `audience` who the client is.
    pub(super) async fn prove(&self, audience: &Audience) -> Result<Proof, CredentialError> {
        match &*self.kind {
            Kind::Secret(secret) => Ok(Proof::Secret(secret.clone())),
            Kind::SecretFile(file) => {
                let secret = file.current(audience.now).await?;
                Ok(Proof::Secret(Secret::clone(&secret)))
            }
            Kind::Certificate(certificate) => {
                certificate.assertion(audience).await.map(Proof::Signed)
            }
            Kind::Federated(file) => {
                let token = file.current(audience.now).await?;
                Ok(Proof::Assertion(token.jwt.clone()))
            }
            Kind::ManagedIdentity(identity) => {
                identity.assertion(audience).await.map(Proof::Assertion)
            }
            Kind::Assertion(callback) => callback.assertion().await.map(Proof::Assertion),
        }
    }

    /// The authorization server refused what was proved to `audience` with `proof`: that is not used
    /// again, and what the file holds by then goes into the next. Whoever is refused after others were
    /// changes nothing: the next is made already.
    pub(super) fn refused(&self, audience: &Audience, proof: &Proof) {
        match (&*self.kind, proof) {
            (Kind::SecretFile(file), Proof::Secret(refused)) => {
                file.refused(|secret| secret.expose() == refused.expose());
            }
            (Kind::Certificate(certificate), Proof::Signed(refused)) => {
                certificate.refused(audience, refused);
            }
            (Kind::Federated(file), Proof::Assertion(refused)) => {
                file.refused(|token| token.jwt.expose() == refused.expose());
            }
            (Kind::ManagedIdentity(identity), Proof::Assertion(refused)) => {
                identity.refused(refused, audience.now);
            }
            _ => {}
        }
    }
}

impl Proof {
    /// Adds the client authentication to a token request.
    pub(super) fn write(&self, form: &mut Form) {
        match self {
            Self::Secret(secret) => form.push("client_secret", secret.expose()),
            Self::Assertion(assertion) => write_assertion(assertion, form),
            Self::Signed(signed) => write_assertion(&signed.assertion, form),
        }
    }

    /// Whether this is a secret, and another one than `before`.
    pub(super) fn is_another_secret_than(&self, before: &Self) -> bool {
        matches!((self, before), (Self::Secret(new), Self::Secret(old)) if new.expose() != old.expose())
    }
}

fn write_assertion(assertion: &Secret, form: &mut Form) {
    form.push("client_assertion_type", JWT_BEARER);
    form.push("client_assertion", assertion.expose());
}

impl From<Kind> for Credential {
    fn from(kind: Kind) -> Self {
        Self {
            kind: Arc::new(kind),
            variable: None,
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.describe())
    }
}

impl CredentialError {
    fn text(&self) -> &str {
        match self {
            Self::Unusable(text) | Self::Unavailable(text) => text,
        }
    }

    /// What the callers learn: that it is our own affair.
    pub(super) fn into_exchange_error(self) -> ExchangeError {
        match self {
            Self::Unusable(error) => {
                tracing::error!(%error, "the client credential cannot be used");
                ExchangeError::new(
                    ExchangeErrorKind::Misconfigured,
                    "the client credential cannot be used",
                )
                .of_credential(error)
            }
            Self::Unavailable(error) => {
                tracing::error!(%error, "the client credential is not there at present");
                ExchangeError::new(
                    ExchangeErrorKind::CredentialUnavailable,
                    "the client credential is not there at present",
                )
                .of_credential(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
