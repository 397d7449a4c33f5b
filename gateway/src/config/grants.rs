//! `downstream.<name>.grant`: whose tokens a downstream gets.

use tower_obo::{Downstream, GrantType};

use super::{
    downstreams::DownstreamApi,
    resolve::Resolver,
    settings::{DownstreamTable, Given, RouteTable},
};

impl DownstreamApi {
    /// The same for the library.
    pub(crate) fn for_library(&self, name: &str) -> Downstream {
        let scopes = self.scopes.iter().cloned();
        match self.grant {
            GrantType::ClientCredentials => Downstream::client_credentials(name, scopes),
            GrantType::TokenExchange => {
                let exchange = Downstream::token_exchange(name);
                let exchange = scopes.fold(exchange, Downstream::scope);
                let exchange = self
                    .audiences
                    .iter()
                    .cloned()
                    .fold(exchange, Downstream::audience);
                self.resources
                    .iter()
                    .cloned()
                    .fold(exchange, Downstream::resource)
            }
            _ => Downstream::new(name, scopes),
        }
    }
}

/// As the file has them.
const KNOWN: [(&str, GrantType); 3] = [
    ("on_behalf_of", GrantType::OnBehalfOf),
    ("client_credentials", GrantType::ClientCredentials),
    ("token_exchange", GrantType::TokenExchange),
];

impl Resolver<'_> {
    pub(super) fn grant(&mut self, key: &str, given: Option<&Given<String>>) -> GrantType {
        let Some(given) = given else {
            return GrantType::OnBehalfOf;
        };
        if let Some((_, grant)) = KNOWN.iter().find(|(name, _)| *name == given.value) {
            return *grant;
        }
        let message = format!(
            "{:?} is not known; \"on_behalf_of\", \"client_credentials\" and \"token_exchange\" are",
            given.value
        );
        self.problems
            .push(given.origin.clone(), format!("{key}.grant"), message);
        GrantType::OnBehalfOf
    }

    /// What the provider would refuse whatever the caller's token is.
    pub(super) fn fits_grant(&mut self, key: &str, table: &DownstreamTable, api: &DownstreamApi) {
        let of_other = self.has_other_provider();
        let named = !(api.audiences.is_empty() && api.resources.is_empty());
        let message = match api.grant {
            GrantType::TokenExchange if !of_other => {
                "Entra ID has no token exchange; \"on_behalf_of\" is its grant for users (another provider is named under [oidc])".to_owned()
            }
            GrantType::TokenExchange if !named && api.scopes.is_empty() => {
                "it does not say what its tokens are for: give `audience`, `resource` or `scope`".to_owned()
            }
            GrantType::TokenExchange => return,
            _ if named => "`audience` and `resource` are of `grant = \"token_exchange\"` alone".to_owned(),
            GrantType::OnBehalfOf if of_other => NO_ON_BEHALF_OF.to_owned(),
            // Entra ID gives an application all that it was granted on a resource, and nothing less.
            GrantType::ClientCredentials if !of_other => {
                let default = |scope: &&String| scope.ends_with("/.default");
                match api.scopes.iter().find(|scope| !default(scope)) {
                    None => return,
                    Some(scope) => format!(
                        "client credentials cannot ask for {scope:?}; give the API as `resource_url`, or its scope `/.default`"
                    ),
                }
            }
            _ => return,
        };
        self.problems.push(table.origin.clone(), key, message);
    }

    /// The downstream that is there without a table is for Entra ID.
    pub(super) fn exists_without_entra(&mut self, table: &RouteTable, names: &[String]) {
        let implied = |name: &&String| !self.settings.downstreams.contains_key(*name);
        if self.has_other_provider() && names.iter().any(|name| implied(&name)) {
            let origin = table.origin.clone();
            self.problems
                .push(origin, "route.downstream", NO_ON_BEHALF_OF);
        }
    }
}

const NO_ON_BEHALF_OF: &str = "On-Behalf-Of is Entra ID's; with [oidc] a downstream has `grant = \"token_exchange\"`, or \"client_credentials\"";
