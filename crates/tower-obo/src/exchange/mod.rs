//! Who asks the authorization server for a downstream token, and how.

pub(crate) mod aadsts;
pub(crate) mod claims;
mod credential;
mod endpoint;
mod error;
mod grant;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

pub(crate) use self::endpoint::TokenEndpoint;
pub use self::{
    aadsts::{Aadsts, Answer as AadstsAnswer, Who as AadstsWho},
    credential::{ClientCertificate, Credential, ManagedIdentity},
    error::{ExchangeError, ExchangeErrorKind},
    grant::GrantType,
};
use crate::Secret;

/// What is asked for: a token for `scopes`, for the user of `assertion` or for the application itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExchangeRequest {
    /// By which grant, and so for whom.
    pub grant: GrantType,
    /// The caller's tenant, a GUID: the exchange goes there and never to `common`. Empty where the
    /// provider is another than Entra ID.
    pub tenant: Arc<str>,
    /// The caller's own access token, which has been validated; `None` where the token is to be the
    /// application's own (see [`GrantType::has_subject`]).
    pub assertion: Option<Secret>,
    /// The scopes of one downstream resource.
    pub scopes: Arc<[Box<str>]>,
    /// For whom the token is to be, by logical names; of token exchange alone (RFC 8693 §2.1).
    pub audiences: Arc<[Box<str>]>,
    /// For whom it is to be, by URLs; of token exchange alone.
    pub resources: Arc<[Box<str>]>,
    /// A claims request (JSON) that the answer must satisfy, or `None`.
    pub claims: Option<Arc<str>>,
    /// An id that both sides log, so that one can be asked about the other.
    pub correlation_id: Box<str>,
}

/// A downstream token, as the authorization server gave it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenResponse {
    /// The token; opaque to us.
    pub access_token: Secret,
    /// How long it is valid from now on.
    pub expires_in: Duration,
    /// When the server would like it to be renewed.
    pub refresh_in: Option<Duration>,
}

impl TokenResponse {
    /// A token that is valid for that long.
    #[must_use]
    pub const fn new(access_token: Secret, expires_in: Duration) -> Self {
        Self {
            access_token,
            expires_in,
            refresh_in: None,
        }
    }

    /// Adds when it should be renewed, counted from now on; without it, at four fifths of its life.
    #[must_use]
    pub const fn with_refresh_in(mut self, refresh_in: Duration) -> Self {
        self.refresh_in = Some(refresh_in);
        self
    }
}

/// The result of an exchange, later.
pub type Exchanging = Pin<Box<dyn Future<Output = Result<TokenResponse, ExchangeError>> + Send>>;

/// Gets downstream tokens: exchanges a user's token for one, or asks for the application's own.
///
/// [`Core`](crate::Core) has one that asks Entra ID; another can be given with
/// [`CoreBuilder::with_exchange`](crate::CoreBuilder::with_exchange):
///
/// ```
/// use std::time::Duration;
/// use tower_obo::{ExchangeRequest, Exchanging, Secret, TokenExchange, TokenResponse};
///
/// #[derive(Debug)]
/// struct Canned;
///
/// impl TokenExchange for Canned {
///     fn exchange(&self, _: ExchangeRequest) -> Exchanging {
///         let token = Secret::from("downstream");
///         Box::pin(async { Ok(TokenResponse::new(token, Duration::from_secs(3600))) })
///     }
/// }
/// ```
pub trait TokenExchange: fmt::Debug + Send + Sync + 'static {
    /// Asks for a token. Called once for all who wait for the same one.
    fn exchange(&self, request: ExchangeRequest) -> Exchanging;
}
