//! `downstream.<name>.grant`: whose tokens a downstream gets.

use tower_obo::{Downstream, GrantType};

use super::{
    downstreams::DownstreamApi,
    resolve::Resolver,
    settings::{DownstreamTable, Given},
};

impl DownstreamApi {
    /// The same for the library.
    pub(crate) fn for_library(&self, name: &str) -> Downstream {
        let scopes = self.scopes.iter().cloned();
        match self.grant {
            GrantType::ClientCredentials => Downstream::client_credentials(name, scopes),
            _ => Downstream::new(name, scopes),
        }
    }
}

/// As the file has them.
const KNOWN: [(&str, GrantType); 2] = [
    ("on_behalf_of", GrantType::OnBehalfOf),
    ("client_credentials", GrantType::ClientCredentials),
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
            "{:?} is not known; \"on_behalf_of\" and \"client_credentials\" are",
            given.value
        );
        self.problems
            .push(given.origin.clone(), format!("{key}.grant"), message);
        GrantType::OnBehalfOf
    }

    /// Entra ID gives an application all that it was granted on a resource, and nothing less.
    pub(super) fn fits_grant(&mut self, key: &str, table: &DownstreamTable, api: &DownstreamApi) {
        if api.grant != GrantType::ClientCredentials {
            return;
        }
        if let Some(scope) = api
            .scopes
            .iter()
            .find(|scope| !scope.ends_with("/.default"))
        {
            let message = format!(
                "client credentials cannot ask for {scope:?}; give the API as `resource_url`, or its scope `/.default`"
            );
            self.problems.push(table.origin.clone(), key, message);
        }
    }
}
