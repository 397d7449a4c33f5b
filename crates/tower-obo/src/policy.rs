//! What a route asks of its callers, and what it does for them.

use std::{fmt, sync::Arc};

use http::{HeaderName, header::AUTHORIZATION};
use smallvec::SmallVec;

use crate::{
    AccessPolicy, ExchangeError, GrantType, challenge::ChallengeContext, cloud, inject::Strip,
    provider::ProviderKind, tokens::DownstreamTokens,
};

/// A downstream API: what it is called here, and the scopes of the tokens for it.
///
/// ```
/// use tower_obo::Downstream;
///
/// let arm = Downstream::azure_resource_manager();
/// let graph = Downstream::new("graph", ["https://graph.microsoft.com/User.Read"]);
/// assert_eq!((arm.name(), graph.name()), ("arm", "graph"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Downstream {
    name: Arc<str>,
    target: Arc<Target>,
    /// The scope is that of Azure Resource Manager, whichever cloud it will be in.
    of_cloud: bool,
}

/// What tokens of a downstream are asked for with, beside the caller's: two downstreams with the same
/// share them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    pub(crate) grant: GrantType,
    pub(crate) scopes: Arc<[Box<str>]>,
    pub(crate) audiences: Arc<[Box<str>]>,
    pub(crate) resources: Arc<[Box<str>]>,
}

impl Target {
    /// Everything that it says, so that no two say the same in other words.
    pub(crate) fn write<'a>(&'a self, fields: &mut SmallVec<[&'a [u8]; 12]>) {
        // Each with its kind in front of it, so that a scope never reads as an audience.
        for (kind, list) in [
            (&b"scope"[..], &self.scopes),
            (b"audience", &self.audiences),
            (b"resource", &self.resources),
        ] {
            for item in &**list {
                fields.push(kind);
                fields.push(item.as_bytes());
            }
        }
    }
}

impl Downstream {
    /// A downstream of that name, whose tokens are those of the user who calls. All the scopes must be
    /// of one resource.
    #[must_use]
    pub fn new<S: Into<Box<str>>>(
        name: impl Into<Arc<str>>,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::by(GrantType::OnBehalfOf, name, scopes)
    }

    /// A downstream that is called as the application itself (RFC 6749 §4.4), whoever the caller is:
    /// for callers that are applications, for jobs, and for what no user has a right to.
    ///
    /// **Every caller whom the policy lets in has what the application may do**, so let in only those
    /// who may. It is what the policy says and nothing else: a user's token that is refused never leads
    /// to one of the application's. The token is that of the caller's tenant; it is kept once for all
    /// callers of that tenant, in this process alone.
    ///
    /// Entra ID wants the one scope `<resource>/.default` here; a policy with another lets nobody in.
    ///
    /// ```
    /// use tower_obo::{AccessPolicy, Downstream, Policy};
    ///
    /// let nightly = Policy::new(AccessPolicy::any_role(["Jobs.Run"]).require_app_only()).downstream(
    ///     Downstream::client_credentials("graph", ["https://graph.microsoft.com/.default"]),
    /// );
    /// # let _ = nightly;
    /// ```
    #[must_use]
    pub fn client_credentials<S: Into<Box<str>>>(
        name: impl Into<Arc<str>>,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::by(GrantType::ClientCredentials, name, scopes)
    }

    fn by<S: Into<Box<str>>>(
        grant: GrantType,
        name: impl Into<Arc<str>>,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut scopes: Vec<Box<str>> = scopes.into_iter().map(Into::into).collect();
        scopes.sort();
        scopes.dedup();
        Self {
            name: name.into(),
            target: Arc::new(Target {
                grant,
                scopes: scopes.into(),
                audiences: [].into(),
                resources: [].into(),
            }),
            of_cloud: false,
        }
    }

    /// A downstream whose tokens the caller's is exchanged for by RFC 8693: at a provider that is not
    /// Entra ID (see [`Oidc`](crate::Oidc)). What it is for is said with [`audience`](Self::audience),
    /// [`resource`](Self::resource) and [`scope`](Self::scope), as the provider wants it.
    ///
    /// The answer must hold an access token (`issued_token_type`), a bearer's (`token_type`), and say
    /// how long it lives (`expires_in`, which the RFC only recommends).
    ///
    /// ```
    /// use tower_obo::Downstream;
    ///
    /// let orders = Downstream::token_exchange("orders")
    ///     .audience("orders-api")
    ///     .scope("orders.read");
    /// assert!(orders.scopes().eq(["orders.read"]));
    /// ```
    #[must_use]
    pub fn token_exchange(name: impl Into<Arc<str>>) -> Self {
        Self::by::<Box<str>>(GrantType::TokenExchange, name, [])
    }

    /// Asks for a token for this audience: the name by which the provider knows a service (RFC 8693
    /// §2.1). Of token exchange alone.
    #[must_use]
    pub fn audience(self, audience: impl Into<Box<str>>) -> Self {
        self.edit(|target| add(&mut target.audiences, audience.into()))
    }

    /// Asks for a token for the service at this URL (RFC 8707 §2). Of token exchange alone.
    #[must_use]
    pub fn resource(self, resource: impl Into<Box<str>>) -> Self {
        self.edit(|target| add(&mut target.resources, resource.into()))
    }

    /// Asks for this scope, besides others.
    #[must_use]
    pub fn scope(self, scope: impl Into<Box<str>>) -> Self {
        self.edit(|target| add(&mut target.scopes, scope.into()))
    }

    fn edit(mut self, edit: impl FnOnce(&mut Target)) -> Self {
        edit(Arc::make_mut(&mut self.target));
        self
    }

    /// Azure Resource Manager (`arm`), as the user may use it: of the public cloud, unless the core
    /// whose policy it gets into has the authority of another.
    #[must_use]
    pub fn azure_resource_manager() -> Self {
        Self {
            of_cloud: true,
            ..Self::azure_resource_manager_of("")
        }
    }

    /// Azure Resource Manager (`arm`) of the cloud with this authority; the public cloud's, if it is
    /// none of Microsoft's.
    ///
    /// ```
    /// use tower_obo::Downstream;
    ///
    /// let arm = Downstream::azure_resource_manager_of("https://login.microsoftonline.us");
    /// let scopes = ["https://management.usgovcloudapi.net/user_impersonation"];
    /// assert!(arm.scopes().eq(scopes));
    /// ```
    #[must_use]
    pub fn azure_resource_manager_of(authority: &str) -> Self {
        Self::new("arm", [cloud::resource_manager_scope(authority)])
    }

    /// The same for a core with this authority.
    pub(crate) fn at(self, authority: &str) -> Self {
        match self.of_cloud {
            true => Self::azure_resource_manager_of(authority),
            false => self,
        }
    }

    /// What it is called here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The scopes that are asked for.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.target.scopes.iter().map(AsRef::as_ref)
    }

    /// By which grant its tokens are asked for, and so whose they are.
    #[must_use]
    pub fn grant(&self) -> GrantType {
        self.target.grant
    }

    /// What the scopes are of: all before the last `/` of one. Empty for those of Microsoft Graph that are
    /// written without it. A resource that ends in `/` has two in its `//.default`.
    pub(crate) fn throttled_as(&self) -> &str {
        let scope = self.scopes().next().unwrap_or_default();
        let resource = scope.rsplit_once('/').map_or("", |(resource, _)| resource);
        resource.trim_end_matches('/')
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) const fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// What of it the provider would refuse whatever the caller's token is.
    fn defect(&self, provider: ProviderKind) -> Option<&'static str> {
        let target = &self.target;
        if self.grant() != GrantType::TokenExchange
            && !(target.audiences.is_empty() && target.resources.is_empty())
        {
            return Some("an audience or a resource is asked for without token exchange");
        }
        match (provider, self.grant()) {
            (ProviderKind::Oidc, GrantType::OnBehalfOf) => {
                return Some("On-Behalf-Of is a grant of Entra ID; exchange the token instead");
            }
            (ProviderKind::Entra, GrantType::TokenExchange) => {
                return Some("Entra ID has no token exchange; it has On-Behalf-Of");
            }
            (ProviderKind::Entra, _) => {}
            _ => return None,
        }
        let is_default = |scope: &str| scope.ends_with("/.default");
        let scopes = &self.target.scopes;
        match self.grant() {
            GrantType::ClientCredentials if scopes.len() != 1 || !self.scopes().all(is_default) => {
                Some("client credentials take one scope, that ends in /.default")
            }
            _ => None,
        }
    }
}

/// Adds an item to a list that has each once, in an order of its own: two that say the same are equal.
fn add(list: &mut Arc<[Box<str>]>, item: Box<str>) {
    let mut items = list.to_vec();
    items.push(item);
    items.sort();
    items.dedup();
    *list = items.into();
}

/// What a route asks of its callers, which downstream tokens it gives them, and which headers it
/// puts them and their identity into.
///
/// Bound to a core with [`Core::bind`](crate::Core::bind) or [`Core::layer`](crate::Core::layer).
///
/// ```
/// use http::HeaderName;
/// use tower_obo::{AccessPolicy, Downstream, Policy};
///
/// let subscriptions = Policy::new(AccessPolicy::any_scope(["access_as_user"]))
///     .downstream(Downstream::azure_resource_manager())
///     .identity_header("oid", HeaderName::from_static("x-obo-oid"));
/// let health = Policy::public();
/// # let _ = (subscriptions, health);
/// ```
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) access: Option<AccessPolicy>,
    pub(crate) downstreams: Vec<(Downstream, Option<HeaderName>)>,
    pub(crate) on_demand: Vec<Downstream>,
    pub(crate) identity_headers: Vec<(Box<str>, HeaderName)>,
    pub(crate) strip: Strip,
    pub(crate) pass_caller_token: bool,
}

impl Policy {
    /// Lets in the callers that `access` lets in.
    #[must_use]
    pub fn new(access: AccessPolicy) -> Self {
        Self {
            access: Some(access),
            ..Self::public()
        }
    }

    /// Lets everybody in, without a look at any token. Tokens and identity headers of the caller
    /// are stripped all the same.
    #[must_use]
    pub fn public() -> Self {
        Self {
            access: None,
            downstreams: Vec::new(),
            on_demand: Vec::new(),
            identity_headers: Vec::new(),
            strip: Strip::default(),
            pass_caller_token: false,
        }
    }

    /// Exchanges the caller's token for one of this downstream, and puts it into `Authorization`.
    #[must_use]
    pub fn downstream(self, downstream: Downstream) -> Self {
        self.downstream_in(downstream, AUTHORIZATION)
    }

    /// The same with another header than `Authorization`, so that one request can carry the tokens
    /// of several downstreams. Two of them in one header, or one in a header that belongs to the
    /// connection, make a policy that lets nobody in.
    ///
    /// The one in `Authorization` is the policy's first downstream, in whichever order they are
    /// named; see [`Admitted::first_downstream`](crate::Admitted::first_downstream).
    #[must_use]
    pub fn downstream_in(mut self, downstream: Downstream, header: HeaderName) -> Self {
        self.strip.add(&header);
        let at = match header == AUTHORIZATION {
            true => 0,
            false => self.downstreams.len(),
        };
        self.downstreams.insert(at, (downstream, Some(header)));
        self
    }

    /// Exchanges the caller's token for one of this downstream, for the handler alone: it goes into
    /// no header.
    #[must_use]
    pub fn downstream_for_handler(mut self, downstream: Downstream) -> Self {
        self.downstreams.push((downstream, None));
        self
    }

    /// Lets the handler have a token of this downstream when it asks for one, with
    /// [`Downstreams::get`](crate::Downstreams::get): requests that do without cost no exchange, and
    /// a refusal of this downstream refuses none of them.
    #[must_use]
    pub fn downstream_on_demand(mut self, downstream: Downstream) -> Self {
        self.on_demand.push(downstream);
        self
    }

    /// Tells the service who calls: puts a claim of the validated token into a header,
    /// percent-encoded where it is more than plain ASCII, and strips that header of the caller. A
    /// claim that the token lacks, or that is longer than 1,024 bytes so, leaves the header out.
    ///
    /// Known are `oid`, `tid`, `sub`, `azp`, `uti`, `scp`, `roles` and the claims that the core
    /// keeps.
    #[must_use]
    pub fn identity_header(mut self, claim: impl Into<Box<str>>, header: HeaderName) -> Self {
        self.strip.add(&header);
        self.identity_headers.push((claim.into(), header));
        self
    }

    /// Strips a further header of the caller, with the names that an upstream may fold into it.
    #[must_use]
    pub fn strip_header(mut self, header: &HeaderName) -> Self {
        self.strip.add(header);
        self
    }

    /// Leaves the caller's own token in the request, once it has been validated: a public policy
    /// strips it all the same. The service behind can then act as the user
    /// towards this API; a downstream token is nearly always what is wanted instead.
    #[must_use]
    pub fn pass_caller_token(mut self) -> Self {
        self.pass_caller_token = true;
        self
    }

    /// What of its downstreams cannot be meant. A policy with any of it lets nobody in.
    pub(crate) fn defects(&self, provider: ProviderKind) -> Vec<&'static str> {
        let of_headers = self.downstreams.iter().map(|(downstream, _)| downstream);
        let names = of_headers.chain(&self.on_demand).map(Downstream::name);
        let tokens = self
            .downstreams
            .iter()
            .filter_map(|(_, header)| header.as_ref());
        let identity = self.identity_headers.iter().map(|(_, header)| header);
        let all = self.downstreams.iter().map(|(downstream, _)| downstream);
        let mut defects: Vec<_> = all
            .chain(&self.on_demand)
            .filter_map(|downstream| downstream.defect(provider))
            .collect();
        if has_repeated(names) {
            defects.push("two downstreams have one name");
        }
        if tokens.clone().any(is_reserved) {
            defects.push("a downstream's header belongs to the connection, or to the message");
        }
        if (identity.clone()).any(|header| is_reserved(header) || *header == AUTHORIZATION) {
            defects
                .push("a claim's header belongs to the connection, to the message, or to a token");
        }
        if has_repeated(tokens.clone()) {
            defects.push("the tokens of two downstreams go into one header");
        } else if has_repeated(tokens.chain(identity)) {
            defects.push("a token and a claim go into one header, or two claims do");
        }
        defects
    }
}

fn has_repeated<T: PartialEq>(mut items: impl Iterator<Item = T> + Clone) -> bool {
    while let Some(item) = items.next() {
        if items.clone().any(|other| other == item) {
            return true;
        }
    }
    false
}

/// Headers that say where a message ends and whom it is for; a token there would break it, or be
/// taken out on the way.
fn is_reserved(header: &HeaderName) -> bool {
    const RESERVED: [&str; 11] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    RESERVED.contains(&header.as_str())
}

/// A [`Policy`] that belongs to a core.
pub struct BoundPolicy {
    pub(crate) access: Option<AccessPolicy>,
    pub(crate) downstreams: Box<[BoundDownstream]>,
    /// Those whose tokens the handler asks for.
    pub(crate) on_demand: Box<[BoundDownstream]>,
    /// Why nobody is let in: what the policy says cannot be meant.
    pub(crate) defect: Option<&'static str>,
    pub(crate) identity_headers: Box<[(Box<str>, HeaderName)]>,
    pub(crate) strip: Strip,
    pub(crate) pass_caller_token: bool,
    /// The store of the core it belongs to: the numbers of downstreams mean nothing to another.
    pub(crate) store: Arc<DownstreamTokens>,
    /// What challenges say, also those that a downstream API causes.
    pub(crate) challenge: Arc<ChallengeContext>,
}

/// A downstream as the core knows it.
#[derive(Clone, Debug)]
pub(crate) struct BoundDownstream {
    pub(crate) downstream: Downstream,
    /// Its slot in an admission. Given by content, never twice, so that a reload that moves things
    /// about never finds a token of something else.
    pub(crate) slot: usize,
    pub(crate) header: Option<HeaderName>,
}

impl BoundDownstream {
    /// Whether its tokens are those of the user who calls.
    pub(crate) fn has_subject(&self) -> bool {
        self.downstream.grant().has_subject()
    }

    /// What the failure to get a token means for the caller.
    pub(crate) fn judge(&self, error: ExchangeError) -> ExchangeError {
        match self.has_subject() {
            true => error,
            false => error.of_application(),
        }
    }
}

impl fmt::Debug for BoundPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundPolicy")
            .field("access", &self.access)
            .field("downstreams", &self.downstreams)
            .field("on_demand", &self.on_demand)
            .finish_non_exhaustive()
    }
}

impl BoundPolicy {
    /// Whether a token is asked for that only a user can have.
    pub(crate) fn needs_user(&self) -> bool {
        self.downstreams.iter().any(BoundDownstream::has_subject)
    }

    /// Whether everybody is let in.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        self.access.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::Downstream;

    #[test]
    fn the_scopes_of_one_resource_have_it_in_common() {
        for (scopes, resource) in [
            (
                &["https://graph.microsoft.com/User.Read"][..],
                "https://graph.microsoft.com",
            ),
            (
                &[
                    "https://graph.microsoft.com/Mail.Read",
                    "https://graph.microsoft.com/User.Read",
                ],
                "https://graph.microsoft.com",
            ),
            (
                &["https://management.azure.com/.default"],
                "https://management.azure.com",
            ),
            (
                &["https://management.azure.com//.default"],
                "https://management.azure.com",
            ),
            (
                &["https://management.azure.com//user_impersonation"],
                "https://management.azure.com",
            ),
            (&["api://0000/a/b"], "api://0000/a"),
            (&["0000/.default"], "0000"),
            (&["User.Read"], ""),
            (&[], ""),
        ] {
            let downstream = Downstream::new("d", scopes.iter().copied());
            assert_eq!(downstream.throttled_as(), resource, "{scopes:?}");
        }
    }
}
