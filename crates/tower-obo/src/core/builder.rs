//! How a core is made. Everything that can be wrong is said at once, here, and not at the first
//! request.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::{ConfigError, ConfigErrors, Core, Inner};
use crate::{
    Algorithm, Clock, Credential, KeySource, Observer, RemoteKeysBuilder, Spawner, TokenExchange,
    Validator,
    admission::Admissions,
    challenge::ChallengeContext,
    entra::Tenants,
    exchange::TokenEndpoint,
    provider::{ProviderKind, Which},
    tokens::DownstreamTokens,
    validate::is_guid,
};

/// Collects what a [`Core`] needs.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct CoreBuilder {
    pub(super) source: RemoteKeysBuilder,
    algorithms: Vec<Algorithm>,
    audience_lists: bool,
    pub(super) client: Option<(String, Credential)>,
    audiences: Vec<String>,
    keep: Vec<String>,
    leeway: Duration,
    realm: String,
    resource_metadata: Option<String>,
    pub(super) max_bytes: u64,
    max_exchanges: usize,
    pub(super) keys: Option<Arc<dyn KeySource>>,
    exchange: Option<Arc<dyn TokenExchange>>,
    max_token_bytes: usize,
    pub(super) key_wait: Duration,
    claims_challenges: bool,
    deny: crate::DenyList,
    #[cfg(feature = "redis")]
    shared: Option<crate::RedisStore>,
}

/// The longest leeway that makes sense: what Microsoft's own libraries take.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// The claims request that declares the client capability `cp1`.
const CP1: &str = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#;

impl CoreBuilder {
    pub(super) fn new(source: RemoteKeysBuilder) -> Self {
        Self {
            source,
            algorithms: vec![Algorithm::Rs256],
            audience_lists: false,
            client: None,
            audiences: Vec::new(),
            keep: Vec::new(),
            leeway: Duration::from_secs(60),
            realm: String::new(),
            resource_metadata: None,
            max_bytes: 256 * 1024 * 1024,
            max_exchanges: 128,
            keys: None,
            exchange: None,
            max_token_bytes: 16 * 1024,
            key_wait: Duration::from_secs(2),
            claims_challenges: false,
            deny: crate::DenyList::default(),
            #[cfg(feature = "redis")]
            shared: None,
        }
    }

    /// The app registration of this API: its client id, a GUID, and the credential with which it
    /// exchanges tokens. Its tokens have the client id or `api://` and the client id as audience.
    pub fn client(mut self, client_id: impl Into<String>, credential: Credential) -> Self {
        self.client = Some((client_id.into(), credential));
        self
    }

    /// Lets the authority be plain `http` on a loopback address; see
    /// [`Entra::allow_http_loopback`](crate::Entra::allow_http_loopback).
    pub fn allow_http_loopback(mut self, allow: bool) -> Self {
        let provider = self.source.provider;
        self.source.provider = provider.allow_http_loopback(allow);
        self
    }

    /// Accepts tokens for this audience besides the client id and `api://` and the client id: the
    /// registration's Application ID URI, if it is another.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Accepts a list of audiences in a token if ours is among them. Entra ID never issues one, so by
    /// default a list is refused.
    pub fn accept_audience_lists(mut self) -> Self {
        self.audience_lists = true;
        self
    }

    /// Replaces the signature algorithms that tokens may have (RS256, with which Entra ID signs).
    pub fn with_algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Keeps a further claim of tokens, if it is a string, for
    /// [`Principal::claim`](crate::Principal::claim).
    pub fn keep_claim(mut self, name: impl Into<String>) -> Self {
        self.keep.push(name.into());
        self
    }

    /// Refuses who is on this list, whatever their tokens say. It can be changed later.
    pub fn deny_list(mut self, deny: crate::DenyList) -> Self {
        self.deny = deny;
        self
    }

    /// Tells Entra ID that claims challenges of downstream APIs are answered here (client capability
    /// `cp1`): it then issues tokens that live longer and are revoked by a challenge (continuous
    /// access evaluation). Only for services that call
    /// [`DownstreamToken::challenged`](crate::DownstreamToken::challenged) on every 401.
    pub fn answer_claims_challenges(mut self) -> Self {
        self.claims_challenges = true;
        self
    }

    /// Replaces the leeway for clocks that differ (60 s, at most 300 s).
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets the realm of challenges (empty by default, as Entra ID's own APIs have it).
    pub fn with_realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Names the metadata document of the API in every challenge (RFC 9728 §5.1).
    pub fn with_resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// Replaces the bound of all caches together (256 MiB), in bytes. A few mebibytes come on top,
    /// whatever the number of callers: the HTTP client, and what is remembered of refusals.
    pub fn cache_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Replaces the number of exchanges that may be under way at once (128).
    pub fn max_exchanges(mut self, exchanges: usize) -> Self {
        self.max_exchanges = exchanges;
        self
    }

    /// Replaces the time limit of one call of the authority (10 s).
    pub fn with_http_timeout(mut self, timeout: Duration) -> Self {
        self.source = self.source.with_http_timeout(timeout);
        self
    }

    /// Replaces how soon a token that names an unknown key may cause another fetch of the keys (5 min,
    /// at least 1 s); see [`RemoteKeysBuilder::with_unknown_key_cool_down`].
    pub fn with_unknown_key_cool_down(mut self, cool_down: Duration) -> Self {
        self.source = self.source.with_unknown_key_cool_down(cool_down);
        self
    }

    /// Replaces how long the last good keys serve while no fetch succeeds (24 h, at least 10 min); see
    /// [`RemoteKeysBuilder::with_key_max_age`].
    pub fn with_key_max_age(mut self, age: Duration) -> Self {
        self.source = self.source.with_key_max_age(age);
        self
    }

    /// Replaces how large a caller's token may be (16 KiB), in bytes. A larger one is refused before
    /// anything of it is looked at.
    pub fn with_max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Replaces how long a request waits for a fetch of keys that others may have begun (2 s).
    pub fn with_key_wait(mut self, wait: Duration) -> Self {
        self.key_wait = wait;
        self
    }

    /// Takes the time from somewhere else than the operating system.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.source = self.source.with_clock(clock);
        self
    }

    /// Runs the network work somewhere else than on the runtime that is current at
    /// [`build`](Self::build).
    pub fn spawner(mut self, spawner: impl Spawner) -> Self {
        self.source = self.source.spawner(spawner);
        self
    }

    /// Tells everything that happens to `observer`.
    pub fn observer(self, observer: impl Observer) -> Self {
        self.shared_observer(Arc::new(observer))
    }

    /// The same with an observer that others hold too.
    pub fn shared_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.source.observer = observer;
        self
    }

    /// Takes the signing keys from somewhere else than the authority's discovery documents.
    pub fn with_keys(mut self, keys: impl KeySource) -> Self {
        self.keys = Some(Arc::new(keys));
        self
    }

    /// Exchanges tokens in another way than at the authority's token endpoint.
    pub fn with_exchange(mut self, exchange: impl TokenExchange) -> Self {
        self.exchange = Some(Arc::new(exchange));
        self
    }

    /// Shares the downstream tokens with other processes, so that a user's token is exchanged once
    /// for all of them.
    #[cfg(feature = "redis")]
    pub fn shared_store(mut self, store: crate::RedisStore) -> Self {
        self.shared = Some(store);
        self
    }

    /// Builds the core. Nothing is fetched yet; see [`Core::start`].
    ///
    /// # Errors
    ///
    /// Everything that is wrong, all at once.
    pub fn build(mut self) -> Result<Core, ConfigErrors> {
        let problems = self.problems();
        let http = self.source.http(&problems)?;
        let Some((client_id, credential)) = self.client.clone() else {
            return Err(ConfigErrors::from(problems));
        };
        if !problems.is_empty() {
            return Err(ConfigErrors::from(problems));
        }
        let validator = self.validator(&client_id);
        let kind = self.kind();
        let challenge = Arc::new(self.challenge());
        let (origin, claims) = (self.origin_of_keys(), self.claims());
        let spawner = self.source.shared_spawner();
        let given = self.keys;
        let keys =
            given.unwrap_or_else(|| Arc::new(self.source.keys(http.clone(), Arc::clone(&spawner))));
        let RemoteKeysBuilder {
            provider,
            clock,
            observer,
            ..
        } = self.source;
        let exchange = self.exchange.unwrap_or_else(|| {
            Arc::new(TokenEndpoint::new(
                provider.clone(),
                &client_id,
                credential,
                http,
                Arc::clone(&clock),
            ))
        });
        #[cfg(feature = "redis")]
        let shared = self.shared.as_ref().and_then(|store| {
            let whose =
                crate::digest::Digest::of(&[provider.name().as_bytes(), client_id.as_bytes()]);
            store.open(
                &whose,
                Arc::clone(&clock),
                Arc::clone(&spawner),
                Arc::clone(&observer),
            )
        });
        #[cfg_attr(
            not(feature = "redis"),
            expect(unused_mut, reason = "nothing is shared")
        )]
        let mut tokens = DownstreamTokens::new(
            exchange,
            Arc::clone(&clock),
            spawner,
            Arc::clone(&observer),
            self.max_bytes / 2,
            self.max_exchanges,
        );
        #[cfg(feature = "redis")]
        if let Some(shared) = shared {
            tokens.share(shared);
        }
        let claims: Option<Arc<str>> = claims.map(Into::into);
        let authority = provider.name();
        Ok(Core(Arc::new(Inner {
            validator,
            keys,
            origin_of_keys: origin,
            seen_keys: Arc::default(),
            key_waiters: Arc::new(tokio::sync::Semaphore::new(super::MAX_KEY_WAITERS)),
            first_key_waiters: Arc::new(tokio::sync::Semaphore::new(super::MAX_FIRST_KEY_WAITERS)),
            admissions: Arc::new(Admissions::new(self.max_bytes / 2)),
            tokens: Arc::new(tokens),
            authority: authority.into(),
            kind,
            tenants: provider.entra().map(|entra| entra.tenants.clone()),
            client: Arc::new([
                authority.into(),
                client_id.into(),
                claims.as_deref().unwrap_or_default().into(),
                provider.given_token_endpoint().into(),
            ]),
            token_endpoint: match &provider.0 {
                Which::Entra(_) => None,
                Which::Oidc(oidc) => Some(Arc::clone(&oidc.token_endpoint)),
            },
            claims,
            key_wait: self.key_wait,
            challenge,
            clock,
            observer,
            downstreams: Arc::default(),
            started: AtomicBool::new(false),
            deny: self.deny,
        })))
    }

    /// What challenges say, refusals apart.
    pub(super) fn challenge(&self) -> ChallengeContext {
        let authorization_uri = self.source.provider.entra().map(|entra| {
            let authority = self.source.provider.name();
            let tenant = entra.discovery_tenant();
            format!("{authority}/{tenant}/oauth2/v2.0/authorize")
        });
        ChallengeContext {
            realm: self.realm.as_str().into(),
            authorization_uri: authorization_uri.map(Into::into),
            resource_metadata: self.resource_metadata.as_deref().map(Into::into),
        }
    }

    /// The claims request of every exchange.
    pub(super) const fn claims(&self) -> Option<&'static str> {
        if self.claims_challenges {
            Some(CP1)
        } else {
            None
        }
    }

    /// Where the keys come from, so that those of another core are known to be the same; `None` where
    /// they were given.
    pub(super) fn origin_of_keys(&self) -> Option<String> {
        self.keys.is_none().then(|| self.source.origin())
    }

    /// Whose grants there are.
    pub(crate) const fn kind(&self) -> ProviderKind {
        match self.exchange {
            Some(_) => ProviderKind::Custom,
            None => self.source.provider.kind(),
        }
    }

    pub(super) fn validator(&self, client_id: &str) -> Validator {
        let mut validator = Validator::builder()
            .audience(client_id)
            .with_algorithms(self.algorithms.iter().copied())
            .with_leeway(self.leeway)
            .with_max_token_bytes(self.max_token_bytes);
        for audience in &self.audiences {
            validator = validator.audience(audience.as_str());
        }
        if self.audience_lists {
            validator = validator.accept_audience_lists();
        }
        for name in &self.keep {
            validator = validator.keep_claim(name.as_str());
        }
        let entra = match &self.source.provider.0 {
            Which::Entra(entra) => entra,
            Which::Oidc(oidc) => return validator.oidc(oidc).build(),
        };
        validator = validator.audience(format!("api://{client_id}"));
        for tenant in entra.named_tenants() {
            validator = validator.tenant(tenant.as_str());
        }
        if matches!(entra.tenants, Tenants::Any) {
            validator = validator.any_tenant();
        }
        validator.build()
    }

    pub(super) fn problems(&mut self) -> Vec<ConfigError> {
        if let (Some((client_id, _)), Some(_)) = (&mut self.client, self.source.provider.entra()) {
            client_id.make_ascii_lowercase();
        }
        let mut problems = self.source.problems();
        let is_entra = self.source.provider.entra().is_some();
        if let Which::Oidc(oidc) = &self.source.provider.0
            && self.keys.is_some()
            && !oidc.has_endpoint()
            && self.exchange.is_none()
        {
            let problem = "keys from elsewhere leave the token endpoint unknown: name it";
            problems.push(ConfigError {
                setting: "token_endpoint",
                problem: problem.to_owned(),
            });
        }
        let mut wrong = |setting, problem: String| problems.push(ConfigError { setting, problem });
        match &self.client {
            Some((client_id, _)) if client_id.is_empty() => {
                wrong("client_id", "the client id is empty".to_owned());
            }
            None => wrong(
                "client_id",
                "the app registration's client id and credential are missing".to_owned(),
            ),
            Some((client_id, _)) if is_entra && !is_guid(client_id) => wrong(
                "client_id",
                format!("{client_id:?} is no client id: give the app registration's GUID"),
            ),
            Some((_, credential)) => {
                if let Some(problem) = credential.problem() {
                    wrong("credential", problem);
                }
                if !is_entra && self.exchange.is_none() && credential.is_for_entra_id() {
                    let problem = "a managed identity's tokens are for Entra ID, which would take one for the application \
                         from whoever was shown it: another provider needs a secret or a certificate";
                    wrong("credential", problem.to_owned());
                }
            }
        }
        if !self.realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            wrong("realm", "the realm is more than printable ASCII".to_owned());
        }
        if let Some(url) = &self.resource_metadata
            && url
                .parse::<http::Uri>()
                .map_or(true, |uri| uri.scheme().is_none())
        {
            wrong("resource_metadata", format!("{url:?} is no URL"));
        }
        if self.audiences.iter().any(String::is_empty) {
            wrong("audience", "an audience is empty".to_owned());
        }
        if self.algorithms.is_empty() {
            let problem = "no signature at all would be accepted: name RS256, which Entra ID uses";
            wrong("algorithms", problem.to_owned());
        }
        if self.leeway > MAX_LEEWAY {
            wrong("leeway", "the leeway is longer than 300 s".to_owned());
        }
        #[cfg(feature = "redis")]
        for problem in self.shared.iter().flat_map(crate::RedisStore::problems) {
            wrong("shared_store", problem);
        }
        if self.max_exchanges == 0 {
            wrong("max_exchanges", "no exchange at all could run".to_owned());
        }
        if self.max_exchanges > tokio::sync::Semaphore::MAX_PERMITS {
            let problem = "more exchanges than can be counted: name those that may run at once";
            wrong("max_exchanges", problem.to_owned());
        }
        if self.max_token_bytes == 0 {
            let problem = "no token would be short enough: 16 KiB is usual";
            wrong("max_token_bytes", problem.to_owned());
        }
        if self.max_bytes < 1024 * 1024 {
            wrong(
                "cache_max_bytes",
                "the cache is smaller than 1 MiB".to_owned(),
            );
        }
        problems
    }
}
