//! Why an exchange failed, and to whom that matters.

mod answer;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::http_client::CallError;

/// A failed exchange. Opaque, cheap to clone (all who waited for the exchange share it), and free
/// of tokens, secrets and of the text that the authorization server wrote for the operator.
///
/// A [`TokenExchange`](crate::TokenExchange) of one's own says with it what went wrong, so that the
/// caller gets the right answer and the caches do the right thing:
///
/// ```
/// use std::time::Duration;
/// use tower_obo::{ExchangeError, ExchangeErrorKind};
///
/// fn failed(status: u16, error: &str) -> ExchangeError {
///     match (status, error) {
///         (429, _) => ExchangeError::new(ExchangeErrorKind::Throttled, "the broker asks to slow down")
///             .with_retry_after(Duration::from_secs(30)),
///         (_, "invalid_grant") => {
///             ExchangeError::new(ExchangeErrorKind::AssertionRefused, "the broker refuses the token")
///                 .with_oauth_error(error)
///         }
///         _ => ExchangeError::new(ExchangeErrorKind::Unavailable, "the broker is down"),
///     }
/// }
///
/// assert!(failed(503, "").is_transient());
/// assert_eq!(failed(400, "invalid_grant").oauth_error(), Some("invalid_grant"));
/// ```
#[derive(Clone)]
pub struct ExchangeError(Arc<Details>);

/// What went wrong, by who has to act.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ExchangeErrorKind {
    /// The account may not use the application.
    AccountRefused,
    /// The token stands for an application, not for a user.
    AppOnly,
    /// The authorization server refuses the caller's token.
    AssertionRefused,
    /// A policy blocks the user, and there is nothing to be done about it at sign-in.
    ConditionalAccess,
    /// Consent is missing.
    ConsentRequired,
    /// Our own credential is not there at present.
    CredentialUnavailable,
    /// The user has to satisfy the claims that [`ExchangeError::claims`] has.
    InsufficientClaims,
    /// The user has to sign in again; the authorization server does not say with which claims.
    InteractionRequired,
    /// Our configuration, registration or credential is wrong.
    Misconfigured,
    /// The authorization server asks us to slow down.
    Throttled,
    /// No answer in time.
    Timeout,
    /// The certificate of the authorization server cannot be trusted.
    UntrustedServer,
    /// The authorization server is down or cannot be reached.
    Unavailable,
    /// The answer cannot be used.
    UnusableAnswer,
}

#[derive(Clone)]
struct Details {
    kind: ExchangeErrorKind,
    credential_refused: bool,
    aadsts: Option<u32>,
    error: Option<Box<str>>,
    suberror: Option<Box<str>>,
    claims: Option<Box<str>>,
    correlation_id: Option<Box<str>>,
    trace_id: Option<Box<str>>,
    retry_after: Option<Duration>,
    reason: &'static str,
    credential: Option<Box<str>>,
}

/// Entra ID's code for an assertion that is no JWT, whosever it is.
pub(super) const MALFORMED: u32 = 50027;

impl ExchangeError {
    /// An error of that kind, with a fixed sentence for the log.
    #[must_use]
    pub fn new(kind: ExchangeErrorKind, reason: &'static str) -> Self {
        Self(Arc::new(Details {
            kind,
            credential_refused: false,
            aadsts: None,
            error: None,
            suberror: None,
            claims: None,
            correlation_id: None,
            trace_id: None,
            retry_after: None,
            reason,
            credential: None,
        }))
    }

    /// Adds the claims request (JSON) that the user has to satisfy.
    #[must_use]
    pub fn with_claims(self, claims: impl Into<Box<str>>) -> Self {
        self.edit(|details| details.claims = Some(claims.into()))
    }

    /// Adds the AADSTS code of Entra ID's answer.
    #[must_use]
    pub fn with_aadsts(self, code: u32) -> Self {
        self.edit(|details| details.aadsts = Some(code))
    }

    /// Adds `error` of the answer (RFC 6749 §5.2), which `invalid_client` for one makes a refusal of
    /// this service itself: nobody asks again for some seconds then. What is more than a short word is
    /// left out.
    #[must_use]
    pub fn with_oauth_error(self, error: impl Into<Box<str>>) -> Self {
        self.edit(|details| details.error = plain(error.into()))
    }

    /// Adds Entra ID's `suberror`, likewise.
    #[must_use]
    pub fn with_suberror(self, suberror: impl Into<Box<str>>) -> Self {
        self.edit(|details| details.suberror = plain(suberror.into()))
    }

    /// Adds the id that Entra ID's support asks for.
    #[must_use]
    pub fn with_trace_id(self, id: impl Into<Box<str>>) -> Self {
        self.edit(|details| details.trace_id = plain(id.into()))
    }

    /// Adds how long to wait before the next attempt.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.edit(|details| details.retry_after = Some(wait))
    }

    /// Adds the id that the authorization server's log knows the exchange by.
    #[must_use]
    pub fn with_correlation_id(self, id: impl Into<Box<str>>) -> Self {
        self.edit(|details| details.correlation_id = plain(id.into()))
    }

    /// Says what is wrong with our own credential.
    pub(super) fn of_credential(self, problem: String) -> Self {
        self.edit(|details| details.credential = Some(problem.into()))
    }

    /// The same with that id, unless it has one.
    pub(crate) fn or_correlation_id(self, id: &str) -> Self {
        if self.0.correlation_id.is_some() {
            return self;
        }
        self.with_correlation_id(id)
    }

    /// The same for others than the one whose exchange failed: its ids would join nothing of theirs.
    pub(crate) fn without_ids(self) -> Self {
        self.edit(|details| {
            details.correlation_id = None;
            details.trace_id = None;
        })
    }

    fn edit(mut self, edit: impl FnOnce(&mut Details)) -> Self {
        edit(Arc::make_mut(&mut self.0));
        self
    }

    /// A downstream API refused its token until the user satisfies these claims (JSON).
    pub(crate) fn challenge(claims: String) -> Self {
        let reason = "the downstream wants the user to satisfy claims";
        Self::new(ExchangeErrorKind::InsufficientClaims, reason).with_claims(claims)
    }

    /// The same where the token was to be the application's own. Nothing that the caller does could
    /// help then, so that what would be asked of a user is a fault of the application's set-up.
    pub(crate) fn of_application(self) -> Self {
        if !self.refuses_caller() {
            return self;
        }
        self.edit(|details| {
            details.kind = ExchangeErrorKind::Misconfigured;
            details.claims = None;
        })
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ExchangeErrorKind {
        match self.0.kind {
            // A challenge that names no claims is one that nobody can answer.
            ExchangeErrorKind::InsufficientClaims if self.0.claims.is_none() => {
                ExchangeErrorKind::InteractionRequired
            }
            kind => kind,
        }
    }

    /// The first AADSTS code of the answer.
    #[must_use]
    pub fn aadsts(&self) -> Option<u32> {
        self.0.aadsts
    }

    /// `error` of RFC 6749 §5.2.
    #[must_use]
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.error.as_deref()
    }

    /// Entra ID's `suberror`.
    #[must_use]
    pub fn suberror(&self) -> Option<&str> {
        self.0.suberror.as_deref()
    }

    /// The claims request (JSON) that the user has to satisfy.
    #[must_use]
    pub fn claims(&self) -> Option<&str> {
        self.0.claims.as_deref()
    }

    /// The id that Entra ID's logs know the exchange by.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_deref()
    }

    /// The id that Entra ID's support asks for.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    /// What is wrong with our own credential, where nothing could be asked for its sake: which file, or
    /// what the platform said of a managed identity. For whoever runs the service, and no caller.
    #[must_use]
    pub fn credential_problem(&self) -> Option<&str> {
        self.0.credential.as_deref()
    }

    /// How long to wait before the next attempt, if the server says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same request may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use ExchangeErrorKind as K;
        matches!(
            self.kind(),
            K::CredentialUnavailable | K::Throttled | K::Timeout | K::Unavailable
        )
    }

    /// Whether only the user can mend it.
    #[must_use]
    pub fn needs_user(&self) -> bool {
        use ExchangeErrorKind as K;
        matches!(
            self.kind(),
            K::AccountRefused
                | K::ConditionalAccess
                | K::ConsentRequired
                | K::InsufficientClaims
                | K::InteractionRequired
        )
    }

    /// Whether the authorization server refuses this caller, so that a token it gave before is one
    /// that it would not give now. Such errors are remembered for a short while.
    pub(crate) fn refuses_caller(&self) -> bool {
        use ExchangeErrorKind as K;
        self.needs_user() || matches!(self.kind(), K::AppOnly | K::AssertionRefused)
    }

    /// Whether the server refuses this service itself, so that the same would come for every caller: by the
    /// error that is meant for it (RFC 6749 §5.2), or by what is known of this server (Keycloak says 401
    /// `unauthorized_client` of a wrong secret).
    pub(crate) fn refuses_client(&self) -> bool {
        let is_known = match self.oauth_error() {
            Some("invalid_client") => true,
            Some("unauthorized_client") => self.0.credential_refused,
            // What may be about one caller's token is no word about all.
            _ => self.0.credential_refused && self.aadsts().is_some_and(|code| code != MALFORMED),
        };
        self.kind() == ExchangeErrorKind::Misconfigured && is_known
    }

    /// The same error, where somebody else has made our client assertion: the caller's token was read and found
    /// valid before, so that one is taken for what is no JWT.
    pub(super) fn of_our_assertion(self) -> Self {
        self.edit(|details| {
            details.kind = ExchangeErrorKind::Misconfigured;
            details.credential_refused = true;
            details.reason = "the client assertion is not a well-formed JWT";
        })
    }

    /// Whether the server refused our assertion or certificate, so that reading it again may help.
    pub(super) fn refuses_credential(&self) -> bool {
        self.0.credential_refused
    }

    pub(super) fn from_call(error: CallError) -> Self {
        use ExchangeErrorKind as K;
        let kind = match error {
            CallError::Timeout => K::Timeout,
            CallError::Unreachable => K::Unavailable,
            CallError::Tls => K::UntrustedServer,
            CallError::BadBody => K::UnusableAnswer,
        };
        Self::new(
            kind,
            match error {
                CallError::Timeout => "the token endpoint did not answer in time",
                CallError::Unreachable => "the token endpoint cannot be reached",
                CallError::Tls => "the token endpoint's certificate cannot be trusted",
                CallError::BadBody => "the token endpoint's answer is too large or broke off",
            },
        )
    }
}

impl fmt::Debug for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeError")
            .field("kind", &self.0.kind)
            .field("aadsts", &self.0.aadsts)
            .field("error", &self.0.error)
            .field("suberror", &self.0.suberror)
            .field("correlation_id", &self.0.correlation_id)
            .field("retry_after", &self.0.retry_after)
            .field("reason", &self.0.reason)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.reason)?;
        if let Some(code) = self.0.aadsts {
            write!(f, " (AADSTS{code})")?;
        }
        Ok(())
    }
}

impl Error for ExchangeError {}

/// Identifiers are passed on only if they look like some.
fn plain(text: Box<str>) -> Option<Box<str>> {
    let fits = !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExchangeErrorKind as K;

    #[test]
    fn a_challenge_without_claims_asks_for_a_new_sign_in() {
        let bare = ExchangeError::new(K::InsufficientClaims, "");
        assert_eq!(bare.kind(), K::InteractionRequired);
        assert_eq!(bare.with_claims("{}").kind(), K::InsufficientClaims);
    }

    #[test]
    fn what_is_said_of_an_answer_is_kept_where_it_is_a_short_word() {
        let error = |text: &str| {
            ExchangeError::new(K::Misconfigured, "no")
                .with_aadsts(7_000_215)
                .with_oauth_error(text)
                .with_suberror(text)
                .with_trace_id(text)
        };
        let good = error("invalid_client");
        assert_eq!(good.aadsts(), Some(7_000_215));
        assert_eq!(good.oauth_error(), Some("invalid_client"));
        assert_eq!(good.suberror(), good.oauth_error());
        assert_eq!(good.trace_id(), good.oauth_error());
        assert!(good.refuses_client());
        for bad in ["", "a secret: \"s\"", "two\nlines", &"x".repeat(65)] {
            let bad = error(bad);
            let kept = [bad.oauth_error(), bad.suberror(), bad.trace_id()];
            assert_eq!(kept, [None; 3]);
        }
    }

    #[test]
    fn only_faults_that_pass_by_themselves_are_transient() {
        for (kind, transient) in [
            (K::AccountRefused, false),
            (K::AppOnly, false),
            (K::AssertionRefused, false),
            (K::ConditionalAccess, false),
            (K::ConsentRequired, false),
            (K::InsufficientClaims, false),
            (K::InteractionRequired, false),
            (K::Misconfigured, false),
            (K::Throttled, true),
            (K::Timeout, true),
            (K::Unavailable, true),
            (K::CredentialUnavailable, true),
            (K::UntrustedServer, false),
            (K::UnusableAnswer, false),
        ] {
            assert_eq!(
                ExchangeError::new(kind, "").is_transient(),
                transient,
                "{kind:?}"
            );
        }
    }
}
