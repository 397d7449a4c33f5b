//! The `scope` parameter: `https://management.azure.com//.default openid offline_access`.

use crate::aadsts;
use crate::directory::{Application, Directory, demo};
use crate::error::AadError;

/// A parsed `scope` parameter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scopes<'a> {
    pub(crate) openid: bool,
    pub(crate) profile: bool,
    pub(crate) email: bool,
    pub(crate) offline_access: bool,
    /// What is asked of each resource, in the order they were first named.
    pub(crate) resources: Vec<ResourceScopes<'a>>,
}

/// What is asked of one resource.
#[derive(Clone, Debug)]
pub(crate) struct ResourceScopes<'a> {
    pub(crate) app: &'a Application,
    /// The resource as it was written: client id or App ID URI, with or without a trailing slash.
    pub(crate) identifier: &'a str,
    /// Values without their resource; `.default` stands alone.
    pub(crate) values: Vec<&'a str>,
}

impl ResourceScopes<'_> {
    pub(crate) fn is_default(&self) -> bool {
        self.values == [".default"]
    }

    /// The granted scopes as the response writes them: with their resource, `.default` named again
    /// when that was what was asked for.
    pub(crate) fn response(&self, granted: &[String]) -> String {
        let mut all: Vec<String> = granted
            .iter()
            .map(|value| format!("{}/{value}", self.identifier))
            .collect();
        if self.is_default() {
            all.push(format!("{}/.default", self.identifier));
        }
        all.join(" ")
    }
}

impl<'a> Scopes<'a> {
    pub(crate) fn parse(
        scope: &'a str,
        directory: &'a Directory,
        tenant: &str,
    ) -> Result<Self, AadError> {
        let mut scopes = Self::default();
        for one in scope.split_ascii_whitespace() {
            match one {
                "openid" => scopes.openid = true,
                "profile" => scopes.profile = true,
                "email" => scopes.email = true,
                "offline_access" => scopes.offline_access = true,
                _ => scopes.add(one, directory, tenant)?,
            }
        }
        let mixed = scopes
            .resources
            .iter()
            .any(|resource| resource.values.len() > 1 && resource.values.contains(&".default"));
        if mixed {
            return Err(aadsts::invalid_scope(scope));
        }
        Ok(scopes)
    }

    fn add(
        &mut self,
        scope: &'a str,
        directory: &'a Directory,
        tenant: &str,
    ) -> Result<(), AadError> {
        // A scope without a resource is Microsoft Graph's.
        let (identifier, value) = scope
            .rsplit_once('/')
            .unwrap_or((demo::GRAPH_RESOURCE, scope));
        let app = directory
            .resource(identifier)
            .filter(|app| app.is_in(tenant))
            .ok_or_else(|| aadsts::resource_not_found(identifier, tenant))?;
        if value != ".default" && app.scope(value).is_none() {
            return Err(aadsts::invalid_scope(scope));
        }
        let known = self
            .resources
            .iter_mut()
            .find(|known| known.app.client_id == app.client_id);
        match known {
            Some(known) if known.values.contains(&value) => {}
            Some(known) => known.values.push(value),
            None => self.resources.push(ResourceScopes {
                app,
                identifier,
                values: vec![value],
            }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(scope: &str) -> Result<Vec<(String, Vec<String>)>, u32> {
        let directory = Directory::demo();
        Scopes::parse(scope, &directory, demo::CONTOSO)
            .map(|scopes| {
                scopes
                    .resources
                    .iter()
                    .map(|one| {
                        let values = one.values.iter().map(|&value| value.to_owned()).collect();
                        (one.identifier.to_owned(), values)
                    })
                    .collect()
            })
            .map_err(|error| error.code)
    }

    #[test]
    fn a_resource_with_a_trailing_slash_keeps_it() {
        let found = parse("https://management.core.windows.net//.default openid").unwrap();
        assert_eq!(
            found,
            [(
                "https://management.core.windows.net/".to_owned(),
                vec![".default".to_owned()]
            )]
        );
    }

    #[test]
    fn what_is_not_there_cannot_be_asked_for() {
        assert_eq!(parse("https://vault.azure.net/.default"), Err(500_011));
        assert_eq!(parse("Mail.Read"), Err(70_011));
        assert_eq!(
            parse(&format!("{}/nothing", demo::API_APP_ID_URI)),
            Err(70_011)
        );
        assert_eq!(
            parse(&format!(
                "{0}/.default {0}/access_as_user",
                demo::API_APP_ID_URI
            )),
            Err(70_011)
        );
    }

    #[test]
    fn a_scope_without_a_resource_is_of_graph() {
        let found = parse("User.Read").unwrap();
        let scopes = vec!["User.Read".to_owned()];
        assert_eq!(found, [("https://graph.microsoft.com".to_owned(), scopes)]);
    }

    #[test]
    fn a_resource_may_be_named_by_its_client_id() {
        let found = parse(&format!("{}/.default", demo::API_CLIENT_ID)).unwrap();
        assert_eq!(found[0].0, demo::API_CLIENT_ID);
    }
}
