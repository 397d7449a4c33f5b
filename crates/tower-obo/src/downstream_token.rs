//! A token for a downstream API, as a handler or a proxy has it.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderValue};

use crate::{
    BoundPolicy, ExchangeError, ExchangeErrorKind, GrantType, Rejection, Timestamp, challenge,
    tokens::CachedToken,
};

/// A token for a downstream API: of the user who calls, or of the application itself, as the grant of
/// its [`Downstream`](crate::Downstream) says.
///
/// ```
/// # fn call(arm: &tower_obo::DownstreamToken) -> http::Result<http::Request<()>> {
/// http::Request::get("https://management.azure.com/subscriptions?api-version=2022-12-01")
///     .header(http::header::AUTHORIZATION, arm.header())
///     .body(())
/// # }
/// ```
#[derive(Clone)]
pub struct DownstreamToken {
    pub(crate) name: Arc<str>,
    pub(crate) grant: GrantType,
    pub(crate) token: Arc<CachedToken>,
    pub(crate) policy: Arc<BoundPolicy>,
    pub(crate) grpc: bool,
}

impl DownstreamToken {
    pub(crate) const fn cached(&self) -> &Arc<CachedToken> {
        &self.token
    }

    /// What the downstream is called here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `Bearer …`, marked sensitive, for the `Authorization` of a request to the downstream.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.token.header().clone()
    }

    /// The token itself. It belongs into a request to the downstream and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        let header = self.token.header().to_str().unwrap_or_default();
        header.strip_prefix("Bearer ").unwrap_or_default()
    }

    /// When it expires, or the caller's right to use it does.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.token.expires_at()
    }

    /// What to answer the caller after the downstream has answered 401 with these headers, if it
    /// wants the user to satisfy claims (continuous access evaluation, multi-factor
    /// authentication).
    ///
    /// The token is dropped at once, so that nobody is served with it again; one that has taken its
    /// place in the meantime stays. For 30 s the same caller's token gets the same challenge without
    /// an exchange: a user who has done what was asked comes with a new one.
    ///
    /// After a 401 without claims it is dropped too, but at most once a minute for the same caller and
    /// downstream: an API that says 401 for reasons of its own must not turn every request into an
    /// exchange. Then there is nothing to add to its answer.
    ///
    /// Claims that it wants of the application's own token (client credentials) are nothing that a
    /// caller could satisfy: that token is dropped in the same way as after a 401 without claims, and
    /// the answer is 502.
    ///
    /// The answer to a gRPC call has the form of gRPC, as the layer's own refusals have it.
    ///
    /// ```
    /// # use tower_obo::{DownstreamToken, Rejection};
    /// # use http::{Response, StatusCode};
    /// fn answer(arm: &DownstreamToken, from_arm: Response<bytes::Bytes>) -> Response<bytes::Bytes> {
    ///     if from_arm.status() == StatusCode::UNAUTHORIZED
    ///         && let Some(challenge) = arm.challenged(from_arm.headers())
    ///     {
    ///         return challenge.to_response(); // 401 insufficient_claims, for the caller's client
    ///     }
    ///     from_arm
    /// }
    /// ```
    #[must_use]
    pub fn challenged(&self, headers: &HeaderMap) -> Option<Rejection> {
        let store = &self.policy.store;
        match challenge::claims(headers) {
            Some(_) if !self.grant.has_subject() => {
                let was_alive = store.is_alive(&self.token);
                store.revoke_once_a_minute(&self.token);
                if was_alive && !store.is_alive(&self.token) {
                    let downstream = self.name();
                    tracing::error!(
                        downstream,
                        "a downstream wants claims of the application itself"
                    );
                }
                let error = ExchangeError::new(
                    ExchangeErrorKind::Misconfigured,
                    "the downstream wants claims of the application itself",
                );
                Some(self.refuse(error))
            }
            claims => Some(self.refuse(self.drop_after(claims)?)),
        }
    }

    /// Drops the user's token after a 401 of its downstream, with these claims or without; what its
    /// user is told.
    pub(crate) fn drop_after(&self, claims: Option<String>) -> Option<ExchangeError> {
        let Some(claims) = claims else {
            self.drop_once_a_minute();
            return None;
        };
        let challenge = ExchangeError::challenge(claims);
        self.policy.store.challenge(&self.token, &challenge);
        Some(challenge)
    }

    pub(crate) fn drop_once_a_minute(&self) {
        self.policy.store.revoke_once_a_minute(&self.token);
    }

    fn refuse(&self, error: ExchangeError) -> Rejection {
        let rejection = Rejection::exchange(error, &self.policy.challenge);
        self.policy.store.report(rejection.for_grpc(self.grpc))
    }
}

impl fmt::Debug for DownstreamToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownstreamToken")
            .field("name", &self.name)
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}
