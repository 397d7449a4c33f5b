//! What the layer leaves in a request, for tests of the handlers that take it.

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use crate::{
    AccessPolicy, Admitted, Clock as _, Core, Credential, Downstream, DownstreamToken, Entra,
    ExchangeError, ExchangeRequest, Exchanging, KeySet, KeySource, Policy, Principal,
    RefreshReason, Refreshed, Secret, SystemClock, Timestamp, TokenExchange, TokenResponse,
    admitted::Tokens,
    core::{OnDemand, Standing},
    principal::Claims,
    tokens::CachedToken,
};

/// Who calls, in a test of a handler: what a handler gets from the layer, without a layer, a token or an
/// identity provider.
///
/// With the feature `test-util`, which is for `[dev-dependencies]` alone. A handler is called with its
/// arguments, or its router with [`admitted`](Self::admitted) in the request's extensions:
///
/// ```
/// use tower_obo::{DownstreamToken, Principal, TestCaller};
///
/// fn greeting(user: &Principal, arm: &DownstreamToken) -> String {
///     format!("{} with {}", user.object_id().unwrap_or("?"), arm.name())
/// }
///
/// let alice = TestCaller::user("alice").downstream("arm", "a-token");
/// assert_eq!(greeting(&alice.principal(), &alice.downstream_token()), "alice with arm");
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(alice.admitted());
/// ```
#[derive(Debug)]
#[must_use = "a caller does nothing until something is asked of it"]
pub struct TestCaller {
    tenant: Box<str>,
    id: Box<str>,
    client: Box<str>,
    scopes: Vec<Box<str>>,
    roles: Vec<Box<str>>,
    is_app_only: bool,
    claims_capable: bool,
    kept: Vec<(Arc<str>, Box<str>)>,
    downstreams: Vec<(Box<str>, Answer)>,
}

/// What the handler gets for a downstream.
type Answer = Result<Secret, ExchangeError>;

const TENANT: &str = "00000000-0000-4000-8000-00000000000a";
const CLIENT: &str = "00000000-0000-4000-8000-00000000000b";

impl TestCaller {
    /// A user with this object id, which is the subject too, and without a scope.
    pub fn user(object_id: impl Into<Box<str>>) -> Self {
        Self {
            tenant: TENANT.into(),
            id: object_id.into(),
            client: CLIENT.into(),
            scopes: Vec::new(),
            roles: Vec::new(),
            is_app_only: false,
            claims_capable: false,
            kept: Vec::new(),
            downstreams: Vec::new(),
        }
    }

    /// An application without a user, with this object id of its service principal.
    pub fn application(object_id: impl Into<Box<str>>) -> Self {
        Self {
            is_app_only: true,
            ..Self::user(object_id)
        }
    }

    /// Replaces the tenant.
    pub fn tenant(mut self, tenant: impl Into<Box<str>>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Replaces the id of the application that asked for the token.
    pub fn client(mut self, client_id: impl Into<Box<str>>) -> Self {
        self.client = client_id.into();
        self
    }

    /// Adds a delegated permission.
    pub fn scope(mut self, scope: impl Into<Box<str>>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Adds an app role.
    pub fn role(mut self, role: impl Into<Box<str>>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// Adds a claim that the core would keep.
    pub fn claim(mut self, name: impl Into<Arc<str>>, value: impl Into<Box<str>>) -> Self {
        self.kept.push((name.into(), value.into()));
        self
    }

    /// Its client can answer claims challenges.
    pub fn answers_claims_challenges(mut self) -> Self {
        self.claims_capable = true;
        self
    }

    /// Adds a downstream with its token. The first is the one that a handler gets who asks for a
    /// [`DownstreamToken`] without a name.
    pub fn downstream(mut self, name: impl Into<Box<str>>, token: impl Into<Secret>) -> Self {
        self.downstreams.push((name.into(), Ok(token.into())));
        self
    }

    /// Adds a downstream whose token the handler does not get:
    /// [`Downstreams::get`](crate::Downstreams::get) refuses as it does after this failure of an
    /// exchange.
    pub fn refused(mut self, name: impl Into<Box<str>>, error: ExchangeError) -> Self {
        self.downstreams.push((name.into(), Err(error)));
        self
    }

    /// Who calls.
    #[must_use]
    pub fn principal(&self) -> Principal {
        let id = Some(self.id.clone());
        Principal::new(Claims {
            issuer: format!("https://login.microsoftonline.com/{}/v2.0", self.tenant).into(),
            tenant_id: (*self.tenant).into(),
            object_id: id.clone(),
            subject: id,
            client_id: Some((*self.client).into()),
            scopes: self.scopes.clone().into(),
            roles: self.roles.clone().into(),
            app_only: self.is_app_only,
            claims_capable: self.claims_capable,
            token_id: None,
            expires_at: SystemClock.now() + LIFETIME,
            kept: self.kept.clone().into(),
        })
    }

    /// The token of the first downstream.
    ///
    /// # Panics
    ///
    /// Where no downstream has a token, and as [`admitted`](Self::admitted) does.
    #[must_use]
    #[expect(clippy::expect_used, reason = "of a test that is wrong")]
    pub fn downstream_token(&self) -> DownstreamToken {
        let token = self.admitted().first_downstream();
        token.expect("TestCaller::downstream gives a token")
    }

    /// What the layer leaves in the extensions of a request. Whatever a handler can do with it works:
    /// [`Admitted::downstreams`] gives the tokens and the refusals by name, and a token that is
    /// [`challenged`](DownstreamToken::challenged) is dropped.
    ///
    /// # Panics
    ///
    /// Where two downstreams have one name, or a token is more than a header takes.
    #[must_use]
    #[expect(clippy::expect_used, reason = "of a test that is wrong")]
    pub fn admitted(&self) -> Admitted {
        let principal = self.principal();
        let mut policy = Policy::new(AccessPolicy::any_user());
        for (name, answer) in &self.downstreams {
            let downstream = Downstream::new(&**name, [name.clone()]);
            policy = match answer {
                Ok(_) => policy.downstream_for_handler(downstream),
                Err(_) => policy.downstream_on_demand(downstream),
            };
        }
        let exchange = Canned(self.downstreams.clone());
        let core = Core::builder(Entra::tenant(TENANT))
            .client(CLIENT, Credential::secret("unused"))
            .with_keys(NoKeys)
            .with_exchange(exchange)
            .build();
        let core = core.expect("the caller is one that can be");
        let policy = core
            .bind(policy)
            .expect("each downstream has a name of its own");
        let now = SystemClock.now();
        let assertion = Secret::from("the caller's token");
        let tokens: Tokens = policy
            .downstreams
            .iter()
            .map(|bound| {
                let answer = Canned::answer(&self.downstreams, bound.downstream.name());
                let token = answer.expect("it is one with a token");
                let key = core.token_key(&principal, bound, assertion.expose().as_bytes());
                let token = CachedToken::new(&token, key, now, Timestamp::MAX);
                Arc::new(token.expect("a header takes the token"))
            })
            .collect::<SmallVec<_>>();
        let standing = Standing {
            principal: principal.clone(),
            token: assertion,
        };
        let on_demand = OnDemand::without_request(&core, standing);
        let valid_until = principal.expires_at();
        Admitted::new(
            &policy,
            principal,
            valid_until,
            tokens,
            Some(on_demand),
            false,
        )
    }
}

const LIFETIME: Duration = Duration::from_secs(3600);

/// Has each downstream's token, or why there is none.
#[derive(Debug)]
struct Canned(Vec<(Box<str>, Answer)>);

impl Canned {
    fn answer(answers: &[(Box<str>, Answer)], name: &str) -> Result<TokenResponse, ExchangeError> {
        let answer = answers.iter().find(|(known, _)| **known == *name);
        let answer = answer.map(|(_, answer)| answer.clone());
        let unknown = || ExchangeError::new(crate::ExchangeErrorKind::Misconfigured, "no such one");
        let token = answer.unwrap_or_else(|| Err(unknown()))?;
        Ok(TokenResponse::new(token, LIFETIME))
    }
}

impl TokenExchange for Canned {
    fn exchange(&self, request: ExchangeRequest) -> Exchanging {
        let name = request
            .scopes
            .first()
            .map(AsRef::as_ref)
            .unwrap_or_default();
        let answer = Self::answer(&self.0, name);
        Box::pin(async { answer })
    }
}

#[derive(Debug)]
struct NoKeys;

impl KeySource for NoKeys {
    fn current(&self) -> Option<Arc<KeySet>> {
        None
    }

    fn refresh(&self, _: RefreshReason) -> Option<Refreshed> {
        None
    }
}
