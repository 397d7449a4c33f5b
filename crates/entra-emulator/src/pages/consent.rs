//! What a sign-in asks consent for, and recording it.

use std::collections::BTreeSet;

use crate::aadsts;
use crate::directory::{Application, Consent, Directory};
use crate::error::AadError;
use crate::scope::Scopes;

/// OpenID Connect's scopes belong to Microsoft Graph.
pub(crate) const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

/// What one application asks of one resource.
#[derive(Clone, Debug)]
pub(crate) struct Group<'a> {
    pub(crate) client: &'a Application,
    /// Client id of the resource.
    pub(crate) resource: &'a str,
    pub(crate) resource_name: &'a str,
    /// The resource's App ID URI; empty for OpenID Connect's scopes.
    pub(crate) resource_uri: &'a str,
    /// Values with what they mean.
    pub(crate) scopes: Vec<(&'a str, &'a str)>,
}

/// All that a sign-in with these scopes asks for. With `.default` it is what the registration
/// lists; and what the API behind it needs, when the API lists the client among its
/// `knownClientApplications`: one page for the whole chain.
pub(crate) fn asked<'a>(
    directory: &'a Directory,
    client: &'a Application,
    scopes: &Scopes<'a>,
    tenant: &str,
) -> Result<Vec<Group<'a>>, AadError> {
    let mut groups = openid(client, scopes);
    let defaults = scopes.resources.iter().any(|one| one.is_default());
    for resource in scopes.resources.iter().filter(|one| one.is_default()) {
        let listed = client.required.iter().any(|permission| {
            permission
                .resource
                .eq_ignore_ascii_case(&resource.app.client_id)
        });
        if !listed && resource.app.client_id != client.client_id {
            return Err(aadsts::resource_not_listed(
                &client.client_id,
                &resource.app.client_id,
            ));
        }
    }
    if defaults {
        groups.extend(required(directory, client, tenant));
        let apis = client
            .required
            .iter()
            .filter_map(|permission| directory.application(&permission.resource));
        for api in apis.filter(|api| api.knows_client(&client.client_id)) {
            groups.extend(required(directory, api, tenant));
        }
    }
    for resource in scopes.resources.iter().filter(|one| !one.is_default()) {
        groups.push(group(client, resource.app, resource.values.iter().copied()));
    }
    Ok(groups)
}

pub(crate) fn all_granted(
    directory: &Directory,
    tenant: &str,
    oid: &str,
    groups: &[Group<'_>],
) -> bool {
    groups.iter().all(|group| {
        let granted = directory.consented(tenant, oid, &group.client.client_id, group.resource);
        group
            .scopes
            .iter()
            .all(|(value, _)| granted.contains(*value))
    })
}

/// The consents of an accepted page.
pub(crate) fn granted(tenant: &str, oid: &str, groups: &[Group<'_>]) -> Vec<Consent> {
    groups
        .iter()
        .map(|group| {
            let scopes = group.scopes.iter().map(|(value, _)| *value);
            Consent::new(tenant, oid, &group.client.client_id, group.resource, scopes)
        })
        .collect()
}

fn openid<'a>(client: &'a Application, scopes: &Scopes<'_>) -> Vec<Group<'a>> {
    let wanted: Vec<_> = [
        (scopes.openid, "openid", "Sign you in"),
        (scopes.profile, "profile", "View your basic profile"),
        (scopes.email, "email", "View your email address"),
        (
            scopes.offline_access,
            "offline_access",
            "Maintain access to data you have given it access to",
        ),
    ]
    .into_iter()
    .filter(|(asked, ..)| *asked)
    .map(|(_, value, meaning)| (value, meaning))
    .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    vec![Group {
        client,
        resource: GRAPH,
        resource_name: "your account",
        resource_uri: "",
        scopes: wanted,
    }]
}

fn required<'a>(directory: &'a Directory, client: &'a Application, tenant: &str) -> Vec<Group<'a>> {
    client
        .required
        .iter()
        .filter_map(|permission| {
            let resource = directory
                .application(&permission.resource)
                .filter(|app| app.is_in(tenant))?;
            let values = permission.scopes.iter().map(String::as_str);
            Some(group(client, resource, values))
        })
        .collect()
}

fn group<'a>(
    client: &'a Application,
    resource: &'a Application,
    values: impl Iterator<Item = &'a str>,
) -> Group<'a> {
    let values: BTreeSet<&str> = values.collect();
    Group {
        client,
        resource: &resource.client_id,
        resource_name: &resource.display_name,
        resource_uri: resource.app_id_uris.first().map_or("", String::as_str),
        scopes: values
            .into_iter()
            .map(|value| {
                let meaning = resource
                    .scope(value)
                    .map_or(value, |scope| &scope.display_name);
                (value, meaning)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::demo;

    fn chain(directory: &Directory, scope: &str) -> Result<Vec<String>, u32> {
        let scopes = Scopes::parse(scope, directory, demo::CONTOSO).unwrap();
        let client = directory.application(demo::UI_CLIENT_ID).unwrap();
        asked(directory, client, &scopes, demo::CONTOSO)
            .map(|groups| {
                groups
                    .iter()
                    .flat_map(|group| group.scopes.iter().map(|(value, _)| (*value).to_owned()))
                    .collect()
            })
            .map_err(|error| error.code)
    }

    #[test]
    fn default_asks_for_the_whole_chain_when_the_api_knows_the_client() {
        let mut directory = Directory::demo();
        let scope = format!("{} openid profile", demo::API_DEFAULT_SCOPE);
        assert_eq!(
            chain(&directory, &scope).unwrap(),
            ["openid", "profile", "access_as_user", "user_impersonation"]
        );
        directory
            .application_mut(demo::API_CLIENT_ID)
            .unwrap()
            .known_client_applications
            .clear();
        assert_eq!(
            chain(&directory, &scope).unwrap(),
            ["openid", "profile", "access_as_user"]
        );
    }

    #[test]
    fn a_named_scope_asks_for_itself_alone() {
        let directory = Directory::demo();
        let scope = format!("{}/access_as_user", demo::API_APP_ID_URI);
        assert_eq!(chain(&directory, &scope).unwrap(), ["access_as_user"]);
    }

    #[test]
    fn default_of_a_resource_that_is_not_listed_is_refused() {
        let directory = Directory::demo();
        assert_eq!(
            chain(&directory, "https://management.azure.com/.default"),
            Err(650_057)
        );
    }
}
