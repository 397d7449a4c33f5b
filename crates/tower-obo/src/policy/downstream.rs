//! A downstream API, and what its tokens are asked for with.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{GrantType, cloud, provider::ProviderKind};

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
    /// Entra ID wants the one scope `<resource>/.default` here; another is an error when the policy is
    /// bound.
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

    /// What the scopes are of: all before the last `/` of one, or what Entra ID knows it as by whatever name.
    /// Empty for those of Microsoft Graph that are written without it. A resource that ends in `/` has two in
    /// its `//.default`.
    pub(crate) fn throttled_as(&self) -> &str {
        let scope = self.scopes().next().unwrap_or_default();
        let resource = scope.rsplit_once('/').map_or("", |(resource, _)| resource);
        cloud::resource_of_many_names(resource.trim_end_matches('/'))
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) const fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// What of it cannot be meant, or the provider would refuse whatever the caller's token is.
    pub(super) fn problems(&self, provider: ProviderKind) -> Vec<&'static str> {
        use {GrantType as G, ProviderKind as P};
        let target = &self.target;
        let mut problems = Vec::new();
        if self.grant() != G::TokenExchange
            && !(target.audiences.is_empty() && target.resources.is_empty())
        {
            problems.push("an audience or a resource is for token exchange; this grant has scopes");
        }
        // A provider may well know what a token exchange is for without being told.
        let needs_scope = self.grant() != G::TokenExchange;
        if needs_scope && target.scopes.is_empty() || self.scopes().any(str::is_empty) {
            problems.push("it has no scope, or an empty one: name the scopes of its tokens");
        }
        match (provider, self.grant()) {
            (P::Oidc, G::OnBehalfOf) => {
                problems.push("On-Behalf-Of is a grant of Entra ID; exchange the token instead");
            }
            (P::Entra, G::TokenExchange) => {
                problems.push("Entra ID has no token exchange; it has On-Behalf-Of");
            }
            (P::Entra, G::ClientCredentials) => {
                let is_default = |scope: &str| scope.ends_with("/.default");
                if target.scopes.len() > 1 || !self.scopes().all(is_default) {
                    problems.push("client credentials take one scope, that ends in /.default");
                }
            }
            _ => {}
        }
        problems
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

#[cfg(test)]
mod tests {
    use super::Downstream;

    const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
    const RESOURCE_MANAGER: &str = "797f4846-ba00-4fd7-ba43-dac1f8f63013";

    #[test]
    fn the_scopes_of_one_resource_have_it_in_common() {
        for (scopes, resource) in [
            (&["https://graph.microsoft.com/User.Read"][..], GRAPH),
            (
                &[
                    "https://graph.microsoft.com/Mail.Read",
                    "https://graph.microsoft.com/User.Read",
                ],
                GRAPH,
            ),
            (&["https://management.azure.com/.default"], RESOURCE_MANAGER),
            (
                &["https://management.azure.com//.default"],
                RESOURCE_MANAGER,
            ),
            (
                &["https://management.azure.com//user_impersonation"],
                RESOURCE_MANAGER,
            ),
            (&["api://0000/a/b"], "api://0000/a"),
            (&["0000/.default"], "0000"),
            (
                &["https://management.core.windows.net//.default"],
                RESOURCE_MANAGER,
            ),
            (
                &["https://MANAGEMENT.usgovcloudapi.net/.default"],
                RESOURCE_MANAGER,
            ),
            (
                &["https://management.azure.com.example/.default"],
                "https://management.azure.com.example",
            ),
            (
                &["https://management.azure.com/x/.default"],
                "https://management.azure.com/x",
            ),
            (&["User.Read"], GRAPH),
            (&["00000003-0000-0000-C000-000000000000/.default"], GRAPH),
            (&["https://graph.microsoft.us/.default"], GRAPH),
            (&[], GRAPH),
        ] {
            let downstream = Downstream::new("d", scopes.iter().copied());
            assert_eq!(downstream.throttled_as(), resource, "{scopes:?}");
        }
    }
}
