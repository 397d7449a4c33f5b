//! Microsoft Entra ID, as a client of it: discovery, authorization requests, tokens, sign-out.

mod discovery;
mod error;
mod id_token;
mod token;

use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use oauth2::basic::BasicTokenIntrospectionResponse;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    Scope, StandardRevocableToken, TokenUrl,
};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;
use url::Url;

pub(crate) use self::discovery::Provider;
pub(crate) use self::error::EntraError;
pub(crate) use self::id_token::{User, may_be_issuer};
pub(crate) use self::token::{Age, Tokens};

use self::error::TokenError;
use self::token::TokenAnswer;
use crate::config::Settings;
use crate::http_client::{self, HttpError};

/// How long a discovery document is used before it is fetched again.
const REDISCOVER: Duration = Duration::from_secs(3600);

/// Longest answer of the token endpoint, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// What is asked for next to the API's scope: an ID token with the name, and a refresh token.
const OPENID: [&str; 3] = ["openid", "profile", "offline_access"];

type OAuthClient = Client<
    TokenError,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    oauth2::basic::BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// One registration at one authority.
#[derive(Debug)]
pub(crate) struct Entra {
    settings: Arc<Settings>,
    http: reqwest::Client,
    provider: RwLock<Option<(Arc<Provider>, Instant)>>,
}

/// What a sign-in keeps until its answer comes.
#[derive(Debug)]
pub(crate) struct Proofs {
    /// Names this sign-in in the answer.
    pub(crate) state: CsrfToken,
    verifier: PkceCodeVerifier,
    nonce: CsrfToken,
}

impl Proofs {
    /// Proofs that were kept somewhere.
    pub(crate) fn restored(state: CsrfToken, verifier: PkceCodeVerifier, nonce: CsrfToken) -> Self {
        Self {
            state,
            verifier,
            nonce,
        }
    }

    /// The PKCE verifier and the nonce.
    pub(crate) fn secrets(&self) -> (&str, &str) {
        (self.verifier.secret(), self.nonce.secret())
    }
}

impl Entra {
    pub(crate) fn new(settings: Arc<Settings>, http: reqwest::Client) -> Self {
        Self {
            settings,
            http,
            provider: RwLock::default(),
        }
    }

    /// What pages call it, at the beginning of a sentence. Nobody is to take an emulator for Microsoft's own.
    pub(crate) fn name(&self) -> &'static str {
        if self.settings.is_emulated() {
            "The emulated Entra ID"
        } else {
            "Microsoft Entra ID"
        }
    }

    /// The host name for pages that say who could not be reached.
    pub(crate) fn host(&self) -> String {
        let authority = &self.settings.authority;
        let host = authority.host_str().unwrap_or_default();
        match authority.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// The discovery document: fetched when first needed, and again every hour. While it can't be
    /// fetched again, the last one serves.
    pub(crate) async fn provider(&self) -> Result<Arc<Provider>, EntraError> {
        let known = self.known();
        if let Some((provider, fetched)) = &known
            && fetched.elapsed() < REDISCOVER
        {
            return Ok(Arc::clone(provider));
        }
        match discovery::fetch(&self.http, &self.settings).await {
            Ok(provider) => {
                let provider = Arc::new(provider);
                *self
                    .provider
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) =
                    Some((Arc::clone(&provider), Instant::now()));
                Ok(provider)
            }
            Err(error) => known.map(|(provider, _)| provider).ok_or(error),
        }
    }

    /// Where the browser is sent for a sign-out, if a discovery document has been seen.
    pub(crate) fn known_end_session(&self) -> Option<Url> {
        self.known()?.0.end_session_endpoint.clone()
    }

    /// The URL that begins a sign-in (OpenID Connect Core §3.1.2.1), and what to keep for its end.
    pub(crate) async fn authorize(
        &self,
        claims: Option<&str>,
        login_hint: Option<&str>,
        prompt: Option<&str>,
    ) -> Result<(Url, Proofs), EntraError> {
        let client = self.client(&*self.provider().await?)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random();
        let mut request = client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(self.scopes())
            .set_pkce_challenge(challenge)
            .add_extra_param("nonce", nonce.secret())
            .add_extra_param("response_mode", "query");
        if let Some(claims) = claims {
            request = request.add_extra_param("claims", claims);
        }
        if let Some(login_hint) = login_hint {
            request = request.add_extra_param("login_hint", login_hint);
        }
        if let Some(prompt) = prompt {
            request = request.add_extra_param("prompt", prompt);
        }
        let (url, state) = request.url();
        let proofs = Proofs {
            state,
            verifier,
            nonce,
        };
        Ok((url, proofs))
    }

    /// Redeems the code of a sign-in and checks whom it is about.
    pub(crate) async fn redeem(
        &self,
        code: String,
        proofs: Proofs,
        claims: Option<&str>,
    ) -> Result<(User, Tokens), EntraError> {
        let provider = self.provider().await?;
        let client = self.client(&provider)?;
        let mut request = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(proofs.verifier)
            .add_extra_param("scope", self.scope());
        if let Some(claims) = claims {
            request = request.add_extra_param("claims", claims);
        }
        let answer = request.request_async(&self.transport()).await?;
        let user = id_token::check(
            answer.extra_fields().id_token()?,
            &provider.issuer,
            &self.settings.client_id,
            proofs.nonce.secret(),
        )?;
        Ok((user, Tokens::new(&answer, None)))
    }

    /// How long [`refresh`](Self::refresh) may take: it may have to fetch the discovery document first. A day
    /// at most: nobody waits longer.
    pub(crate) fn longest_refresh(&self) -> Duration {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        self.settings.timeout.saturating_mul(2).min(DAY)
    }

    /// New tokens for a user who is signed in.
    pub(crate) async fn refresh(&self, token: &RefreshToken) -> Result<Tokens, EntraError> {
        let client = self.client(&*self.provider().await?)?;
        let answer = client
            .exchange_refresh_token(token)
            .add_scopes(self.scopes())
            .request_async(&self.transport())
            .await?;
        // An answer without a refresh token means that the old one stays (RFC 6749 §6).
        Ok(Tokens::new(&answer, Some(token)))
    }

    fn known(&self) -> Option<(Arc<Provider>, Instant)> {
        self.provider
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn scopes(&self) -> impl Iterator<Item = Scope> {
        let own = self.settings.scopes.iter().cloned();
        own.chain(OPENID.map(str::to_owned)).map(Scope::new)
    }

    fn scope(&self) -> String {
        let scopes: Vec<_> = self.scopes().map(|scope| scope.to_string()).collect();
        scopes.join(" ")
    }

    fn client(&self, provider: &Provider) -> Result<OAuthClient, EntraError> {
        let unusable = |_| EntraError::Unusable("an endpoint in the discovery document");
        let auth = AuthUrl::new(provider.authorization_endpoint.to_string()).map_err(unusable)?;
        let token = TokenUrl::new(provider.token_endpoint.to_string()).map_err(unusable)?;
        let redirect =
            RedirectUrl::new(self.settings.redirect_uri.to_string()).map_err(unusable)?;
        let secret = self.settings.client_secret.expose_secret().to_owned();
        Ok(Client::new(ClientId::new(self.settings.client_id.clone()))
            .set_client_secret(ClientSecret::new(secret))
            .set_auth_uri(auth)
            .set_token_uri(token)
            .set_redirect_uri(redirect)
            .set_auth_type(AuthType::RequestBody))
    }

    /// The HTTP client in the form that `oauth2` takes.
    fn transport(&self) -> impl Fn(oauth2::HttpRequest) -> Exchange + use<> {
        let http = self.http.clone();
        move |request| Box::pin(exchange(http.clone(), request))
    }
}

type Exchange = Pin<Box<dyn Future<Output = Result<oauth2::HttpResponse, HttpError>> + Send>>;

async fn exchange(
    http: reqwest::Client,
    request: oauth2::HttpRequest,
) -> Result<oauth2::HttpResponse, HttpError> {
    let request =
        reqwest::Request::try_from(request).map_err(|_malformed| HttpError::Unreachable)?;
    let answer = http_client::send(&http, request, MAX_ANSWER)
        .await?
        .not_busy()?;
    let mut response = oauth2::HttpResponse::new(answer.body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}
