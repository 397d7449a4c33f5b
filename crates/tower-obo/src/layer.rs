//! The layer.

use std::sync::Arc;

use http::HeaderName;
use tower_layer::Layer;

use crate::{
    AccessPolicy, BoundPolicy, ConfigError, ConfigErrors, Core, CoreBuilder, Credential,
    Downstream, Obo, Policy, ProblemResponse, Provider,
};

/// Wraps a service so that every request is validated, exchanged On-Behalf-Of and sent on with the
/// downstream token in place.
///
/// Made by [`OboLayer::builder`], or from a [`Core`] that several layers share by [`Core::layer`].
/// See the [crate's documentation](crate) for examples.
#[derive(Clone, Debug)]
pub struct OboLayer<R = ProblemResponse> {
    core: Core,
    policy: Arc<BoundPolicy>,
    respond: R,
}

impl OboLayer {
    /// Starts to build a layer with a core of its own, for the tokens of Entra ID ([`Entra`](crate::Entra)) or of
    /// another provider ([`Oidc`](crate::Oidc)).
    ///
    /// ```
    /// use tower_obo::{Credential, Downstream, OboLayer, Oidc};
    ///
    /// let layer = OboLayer::builder(Oidc::issuer("https://id.example.com/realms/shop"))
    ///     .client("shop-api", Credential::secret("…"))
    ///     .require_scope("orders")
    ///     .downstream(Downstream::token_exchange("stock").audience("stock-api"))
    ///     .build()?;
    /// # let _ = layer;
    /// # Ok::<_, tower_obo::ConfigErrors>(())
    /// ```
    pub fn builder(provider: impl Into<Provider>) -> OboLayerBuilder {
        OboLayerBuilder {
            core: Core::builder(provider),
            scopes: Vec::new(),
            access: None,
            downstreams: Policy::public(),
            has_main: false,
        }
    }

    /// Starts to build a layer from the variables that Azure's own SDKs read: `AZURE_TENANT_ID`,
    /// `AZURE_CLIENT_ID`, those of a credential ([`Credential::from_env`](crate::Credential::from_env)),
    /// and `AZURE_AUTHORITY_HOST` where it is set.
    ///
    /// # Errors
    ///
    /// Every variable that is missing.
    ///
    /// ```
    /// // Whatever looks variables up will do; `from_env` looks in the environment.
    /// let lookup = |name: &str| match name {
    ///     "AZURE_TENANT_ID" => Some("72f988bf-86f1-41af-91ab-2d7cd011db47".to_owned()),
    ///     _ => None,
    /// };
    /// let errors = tower_obo::OboLayer::from_lookup(lookup).unwrap_err();
    /// assert!(errors.to_string().contains("AZURE_CLIENT_ID"));
    /// ```
    pub fn from_env() -> Result<OboLayerBuilder, ConfigErrors> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// The same with variables from wherever `lookup` finds them.
    ///
    /// # Errors
    ///
    /// Every variable that is missing.
    pub fn from_lookup(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<OboLayerBuilder, ConfigErrors> {
        crate::env::builder(lookup)
    }

    pub(crate) fn new(core: Core, policy: Arc<BoundPolicy>) -> Self {
        Self {
            core,
            policy,
            respond: ProblemResponse,
        }
    }
}

impl<R> OboLayer<R> {
    /// Answers refusals with `respond` in place of problem+json; see
    /// [`RespondWith`](crate::RespondWith).
    #[must_use]
    pub fn respond_with<T>(self, respond: T) -> OboLayer<T> {
        OboLayer {
            core: self.core,
            policy: self.policy,
            respond,
        }
    }

    /// The core of the layer: for further layers with other policies, and for readiness.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }
}

impl<S, R: Clone> Layer<S> for OboLayer<R> {
    type Service = Obo<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Obo::new(
            inner,
            self.core.clone(),
            Arc::clone(&self.policy),
            self.respond.clone(),
        )
    }
}

/// Collects what an [`OboLayer`] needs.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct OboLayerBuilder {
    core: CoreBuilder,
    scopes: Vec<Box<str>>,
    access: Option<AccessPolicy>,
    /// Its downstreams; who may call is said in the end.
    downstreams: Policy,
    /// Whether one of them has `Authorization`.
    has_main: bool,
}

impl OboLayerBuilder {
    /// The app registration of this API; see [`CoreBuilder::client`].
    pub fn client(mut self, client_id: impl Into<String>, credential: Credential) -> Self {
        self.core = self.core.client(client_id, credential);
        self
    }

    /// Lets the authority be plain `http` on a loopback address: for development against an
    /// emulator. Any other authority has to be https all the same.
    pub fn allow_http_loopback(mut self, allow: bool) -> Self {
        self.core = self.core.allow_http_loopback(allow);
        self
    }

    /// Lets in users whose token has this scope, or another that is named so.
    pub fn require_scope(mut self, scope: impl Into<Box<str>>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Lets in whom `access` lets in, in place of [`require_scope`](Self::require_scope).
    pub fn access(mut self, access: AccessPolicy) -> Self {
        self.access = Some(access);
        self
    }

    /// Exchanges the caller's token for one of this downstream. The first that is named so goes into
    /// `Authorization`, and is the one that a handler gets who asks for a
    /// [`DownstreamToken`](crate::DownstreamToken) without a name, whatever else is named before it;
    /// all of them are there for the handler by name. Without any, tokens are validated and not
    /// exchanged.
    pub fn downstream(mut self, downstream: Downstream) -> Self {
        self.downstreams = match self.has_main {
            false => self.downstreams.downstream(downstream),
            true => self.downstreams.downstream_for_handler(downstream),
        };
        self.has_main = true;
        self
    }

    /// The same with a header of one's choice; see [`Policy::downstream_in`].
    pub fn downstream_in(mut self, downstream: Downstream, header: HeaderName) -> Self {
        self.downstreams = self.downstreams.downstream_in(downstream, header);
        self
    }

    /// Lets the handler have a token of this downstream when it asks for one; see
    /// [`Policy::downstream_on_demand`].
    pub fn downstream_on_demand(mut self, downstream: Downstream) -> Self {
        self.downstreams = self.downstreams.downstream_on_demand(downstream);
        self
    }

    /// Everything else that a core can be told.
    pub fn configure(mut self, configure: impl FnOnce(CoreBuilder) -> CoreBuilder) -> Self {
        self.core = configure(self.core);
        self
    }

    /// Builds the layer and, on a Tokio runtime, begins to load the signing keys.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, all at once. A layer that asks for no scope, role or other access
    /// is wrong too: whoever means that any user may call says so with
    /// [`AccessPolicy::any_user`].
    pub fn build(self) -> Result<OboLayer, ConfigErrors> {
        let mut problems = self.problems();
        let access = self.access;
        let access = access.unwrap_or_else(|| AccessPolicy::any_scope(self.scopes));
        let policy = Policy {
            access: Some(access),
            ..self.downstreams
        };
        problems.extend(policy.problems(self.core.kind()));
        let core = match self.core.build() {
            Ok(core) if problems.is_empty() => core,
            Ok(_) => return Err(ConfigErrors::from(problems)),
            Err(errors) => return Err(ConfigErrors::from(problems).and(errors)),
        };
        let layer = core.layer(policy)?;
        if tokio::runtime::Handle::try_current().is_ok() {
            core.start();
        }
        Ok(layer)
    }

    fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let mut wrong = |setting, problem: &str| {
            problems.push(ConfigError {
                setting,
                problem: problem.to_owned(),
            });
        };
        match (&self.access, &self.scopes[..]) {
            (None, []) => wrong(
                "access",
                "nothing is asked of callers: name a scope with require_scope",
            ),
            (Some(_), [_, ..]) => wrong(
                "access",
                "both access and require_scope are given: put the scope into access",
            ),
            _ => {}
        }
        if self.scopes.iter().any(|scope| scope.is_empty()) {
            wrong("access", "a required scope is empty");
        }
        problems
    }
}
