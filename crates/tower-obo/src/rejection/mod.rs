//! Refusals: what the caller gets in place of an answer.

mod kind;
mod problem;
mod respond;

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};

pub use self::{
    kind::{Actor, RejectionKind},
    respond::{ProblemResponse, RespondWith},
};
use crate::{
    Principal,
    bearer::BearerError,
    challenge::{Challenge, ChallengeContext},
    exchange::{ExchangeError, ExchangeErrorKind},
    validate::TokenDefect,
};

/// Why a request was not let through.
///
/// This is an opaque struct, so that it can carry more one day; match on [`kind`](Self::kind). The
/// layer answers with it and leaves it in the extensions of the response, where outer layers
/// (metrics, an access log) find it. It holds no token and no secret.
///
/// ```
/// use tower_obo::{Rejection, RejectionKind};
///
/// fn outcome(response: &http::Response<()>) -> &'static str {
///     match response.extensions().get::<Rejection>().map(Rejection::kind) {
///         Some(RejectionKind::MissingToken) => "anonymous",
///         Some(_) => "refused",
///         None => "passed",
///     }
/// }
/// # assert_eq!(outcome(&http::Response::new(())), "passed");
/// ```
#[derive(Clone)]
pub struct Rejection(Arc<Details>);

#[derive(Clone)]
struct Details {
    kind: RejectionKind,
    detail: &'static str,
    scope: Option<Arc<str>>,
    exchange: Option<ExchangeError>,
    retry_after: Option<Duration>,
    correlation_id: Box<str>,
    request_id: Option<Box<str>>,
    context: Arc<ChallengeContext>,
    grpc: bool,
    caller: Option<Principal>,
}

/// How long to wait where nobody says.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

impl Rejection {
    pub(crate) fn new(
        kind: RejectionKind,
        detail: &'static str,
        context: &Arc<ChallengeContext>,
    ) -> Self {
        Self(Arc::new(Details {
            kind,
            detail,
            scope: None,
            exchange: None,
            retry_after: kind.is_unavailable().then_some(DEFAULT_RETRY_AFTER),
            correlation_id: uuid::Uuid::new_v4().to_string().into(),
            request_id: None,
            context: Arc::clone(context),
            grpc: false,
            caller: None,
        }))
    }

    pub(crate) fn bearer(error: BearerError, context: &Arc<ChallengeContext>) -> Self {
        match error {
            BearerError::Missing => Self::new(
                RejectionKind::MissingToken,
                "the request has no bearer token",
                context,
            ),
            BearerError::Malformed(detail) => {
                Self::new(RejectionKind::InvalidRequest, detail, context)
            }
            BearerError::TooLarge => Self::token(TokenDefect::TooLarge, context),
        }
    }

    pub(crate) fn token(defect: TokenDefect, context: &Arc<ChallengeContext>) -> Self {
        Self::new(
            RejectionKind::InvalidToken(defect),
            defect.description(),
            context,
        )
    }

    pub(crate) fn insufficient(
        kind: RejectionKind,
        detail: &'static str,
        scope: Option<&Arc<str>>,
        context: &Arc<ChallengeContext>,
    ) -> Self {
        Self::new(kind, detail, context).edit(|details| details.scope = scope.cloned())
    }

    pub(crate) fn exchange(error: ExchangeError, context: &Arc<ChallengeContext>) -> Self {
        let (kind, detail) = of_exchange(error.kind());
        Self::new(kind, detail, context).edit(|details| {
            if kind.is_unavailable() {
                details.retry_after = error.retry_after().or(details.retry_after);
            }
            if let Some(id) = error.correlation_id() {
                details.correlation_id = id.into();
            }
            details.exchange = Some(error);
        })
    }

    /// Names the downstream scopes where consent to them is what is missing.
    pub(crate) fn naming_consent(self, scopes: impl FnOnce() -> String) -> Self {
        if self.kind() != RejectionKind::ConsentRequired {
            return self;
        }
        self.edit(|details| details.scope = Some(scopes().into()))
    }

    /// The answer has the form of gRPC, trailers only, if it is to a gRPC call, and else that of HTTP. What
    /// [`Core::decide`](crate::Core::decide) refuses goes by the request's content type; whoever knows that
    /// it came over HTTP/1, where there is no gRPC, says so here.
    #[must_use]
    pub fn for_grpc(self, grpc: bool) -> Self {
        if self.0.grpc == grpc {
            return self;
        }
        self.edit(|details| details.grpc = grpc)
    }

    /// Adds the id that a proxy around this library knows the request by, so that the answer can be
    /// joined to its log.
    #[must_use]
    pub fn with_request_id(self, id: &str) -> Self {
        self.edit(|details| details.request_id = Some(id.into()))
    }

    /// Says whose token it was that was found valid.
    pub(crate) fn of_caller(self, caller: &Principal) -> Self {
        self.edit(|details| details.caller = Some(caller.clone()))
    }

    fn edit(mut self, edit: impl FnOnce(&mut Details)) -> Self {
        edit(Arc::make_mut(&mut self.0));
        self
    }

    /// What kind of refusal this is.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.0.kind
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.kind.status()
    }

    /// Who has to act before the request can succeed.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.0.kind.actor()
    }

    /// A fixed sentence that says what is wrong, for people.
    #[must_use]
    pub fn detail(&self) -> &'static str {
        self.0.detail
    }

    /// The AADSTS code, where Entra ID gave one.
    #[must_use]
    pub fn aadsts(&self) -> Option<u32> {
        self.0.exchange.as_ref().and_then(ExchangeError::aadsts)
    }

    /// The failed exchange behind the refusal, if there was one.
    #[must_use]
    pub fn exchange_error(&self) -> Option<&ExchangeError> {
        self.0.exchange.as_ref()
    }

    /// Who was refused: the caller of a token that was found valid. `None` where there was no such token.
    /// For a log of decisions; the answer does not tell it.
    ///
    /// ```
    /// use tower_obo::Rejection;
    ///
    /// fn audit(rejection: &Rejection) -> String {
    ///     let object_id = rejection.caller().and_then(|caller| caller.object_id());
    ///     format!("{} {}", object_id.unwrap_or("nobody"), rejection.kind().name())
    /// }
    /// ```
    #[must_use]
    pub fn caller(&self) -> Option<&Principal> {
        self.0.caller.as_ref()
    }

    /// The id that joins this answer, our log and, after an exchange, Entra ID's log.
    #[must_use]
    pub fn correlation_id(&self) -> &str {
        &self.0.correlation_id
    }

    /// The id that was given with [`with_request_id`](Self::with_request_id).
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long the caller should wait, for refusals that pass by themselves.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The challenge that tells the caller what to bring; `None` where a better token would not
    /// help.
    #[must_use]
    pub fn www_authenticate(&self) -> Option<HeaderValue> {
        use RejectionKind as K;
        let details = &*self.0;
        let challenge = Challenge::new(&details.context);
        let challenge = match details.kind {
            K::MissingToken => challenge,
            K::InvalidRequest => challenge.error("invalid_request", Some(details.detail)),
            K::InvalidToken(_) | K::AssertionRefused | K::InteractionRequired => {
                challenge.error("invalid_token", Some(details.detail))
            }
            K::InsufficientScope | K::AppOnlyNotAllowed | K::ClientNotAllowed => {
                let challenge = challenge.error("insufficient_scope", None);
                match &details.scope {
                    Some(scope) => challenge.scope(scope),
                    None => challenge,
                }
            }
            K::InsufficientClaims => challenge
                .error("insufficient_claims", None)
                .claims(&details.context, self.claims().unwrap_or_default()),
            _ => return None,
        };
        challenge.into_header()
    }

    /// The claims request (JSON) that the user has to satisfy at sign-in.
    #[must_use]
    pub fn claims(&self) -> Option<&str> {
        self.0.exchange.as_ref().and_then(ExchangeError::claims)
    }
}

/// What a failed exchange is to the caller.
const fn of_exchange(kind: ExchangeErrorKind) -> (RejectionKind, &'static str) {
    use {ExchangeErrorKind as E, RejectionKind as K};
    match kind {
        E::AccountRefused => (
            K::AccountRefused,
            "this account may not use the application",
        ),
        E::AppOnly => (
            K::AppOnlyNotAllowed,
            "an app-only token cannot be exchanged for a user's token",
        ),
        E::AssertionRefused => (
            K::AssertionRefused,
            "the identity provider refuses the token",
        ),
        E::ConditionalAccess => (
            K::ConditionalAccess,
            "a Conditional Access policy blocks the access",
        ),
        E::ConsentRequired => (
            K::ConsentRequired,
            "consent to the downstream permissions has not been given",
        ),
        E::CredentialUnavailable => (
            K::CredentialUnavailable,
            "this service's own credential is not available",
        ),
        E::InsufficientClaims => (
            K::InsufficientClaims,
            "the user has to satisfy the claims in WWW-Authenticate",
        ),
        E::InteractionRequired => (K::InteractionRequired, "the user has to sign in again"),
        E::Misconfigured => (
            K::Misconfigured,
            "this service is not set up correctly at the identity provider",
        ),
        E::Throttled => (K::Throttled, "the identity provider asks to slow down"),
        E::Timeout => (
            K::IdentityProviderTimeout,
            "the identity provider did not answer in time",
        ),
        E::UntrustedServer => (
            K::UnusableIdentityProvider,
            "the identity provider cannot be trusted",
        ),
        E::Unavailable => (
            K::IdentityProviderUnavailable,
            "the identity provider is not available",
        ),
        E::UnusableAnswer => (
            K::UnusableIdentityProvider,
            "the identity provider gave an answer that cannot be used",
        ),
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("kind", &self.0.kind)
            .field("detail", &self.0.detail)
            .field("exchange", &self.0.exchange)
            .field("correlation_id", &self.0.correlation_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.detail)
    }
}

impl std::error::Error for Rejection {}
