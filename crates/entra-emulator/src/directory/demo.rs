//! The built-in directory: two tenants, eight users, the demo's web app and API.
//!
//! The identifiers never change, so that documentation, configuration files and tests can name them.

use super::{
    Application, Assignment, Consent, Directory, Mfa, Permission, ResourceGroup, Scope,
    Subscription, Tenant, TokenVersion, User,
};

/// Tenant id of Contoso, where the demo's applications are registered.
pub const CONTOSO: &str = "c0a70500-0000-4000-8000-000000000001";
/// Tenant id of Fabrikam, another company.
pub const FABRIKAM: &str = "fab21ca0-0000-4000-8000-000000000002";

/// Client id of the demo API (what the gateway runs as).
pub const API_CLIENT_ID: &str = "a9100000-0000-4000-8000-00000000000a";
/// Client secret of the demo API. Known to everyone: never use it outside the emulator.
pub const API_CLIENT_SECRET: &str = "emulator-api-secret";
/// App ID URI of the demo API.
pub const API_APP_ID_URI: &str = "api://a9100000-0000-4000-8000-00000000000a";
/// The scope the demo API exposes.
pub const API_SCOPE: &str = "access_as_user";
/// The role the demo API exposes to applications; the web app has it in Contoso.
pub const API_ROLE: &str = "Subscriptions.Read.All";
/// What a client asks for to get a token for the demo API with one combined consent.
pub const API_DEFAULT_SCOPE: &str = "api://a9100000-0000-4000-8000-00000000000a/.default";

/// Client id of the demo web app.
pub const UI_CLIENT_ID: &str = "b1e00000-0000-4000-8000-00000000000b";
/// Client secret of the demo web app. Known to everyone: never use it outside the emulator.
pub const UI_CLIENT_SECRET: &str = "emulator-ui-secret";
/// Registered redirect URI of the demo web app.
pub const UI_REDIRECT_URI: &str = "http://localhost:8000/account/callback";
/// Registered post-logout redirect URI of the demo web app.
pub const UI_POST_LOGOUT_REDIRECT_URI: &str = "http://localhost:8000/";

/// Client id of Azure Resource Manager, the same in the real world.
pub const ARM_CLIENT_ID: &str = "797f4846-ba00-4fd7-ba43-dac1f8f63013";
/// Azure Resource Manager as a resource.
pub const ARM_RESOURCE: &str = "https://management.azure.com";
/// The one delegated scope of Azure Resource Manager.
pub const ARM_SCOPE: &str = "user_impersonation";
/// Client id of Microsoft Graph, the same in the real world.
pub const GRAPH_CLIENT_ID: &str = "00000003-0000-0000-c000-000000000000";
/// Microsoft Graph as a resource.
pub const GRAPH_RESOURCE: &str = "https://graph.microsoft.com";
/// The delegated scope of Microsoft Graph that reads the user's own profile. Contoso's administrator
/// has consented to it for the demo API, so that nobody is asked.
pub const GRAPH_SCOPE: &str = "User.Read";
/// What an application needs of Microsoft Graph to register others, and to grant permissions to them.
pub const GRAPH_ROLES: [&str; 2] = [
    "Application.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
];
/// Client id of the application that may register others, where
/// [`Directory::with_administrator`] has put it.
pub const ADMINISTRATOR_CLIENT_ID: &str = "ad1a0000-0000-4000-8000-00000000000c";
/// Its client secret. Known to everyone: never use it outside the emulator.
pub const ADMINISTRATOR_CLIENT_SECRET: &str = "emulator-administrator-secret";
/// Id of the Conditional Access policy that asks for multi-factor authentication.
pub const MFA_POLICY: &str = "3fa00000-0000-4000-8000-0000000000fa";

/// Object id of alice@contoso.example: two subscriptions.
pub const ALICE_OID: &str = "a11ce000-0000-4000-8000-000000000011";
/// Object id of bob@contoso.example: three subscriptions, none of them Alice's.
pub const BOB_OID: &str = "b0b00000-0000-4000-8000-000000000012";
/// Object id of carol@contoso.example: must use multi-factor authentication for Azure.
pub const CAROL_OID: &str = "ca201000-0000-4000-8000-000000000013";
/// Object id of dave@contoso.example: the account is disabled.
pub const DAVE_OID: &str = "da7e0000-0000-4000-8000-000000000014";
/// Object id of erin@fabrikam.example: a user of the other tenant.
pub const ERIN_OID: &str = "e2190000-0000-4000-8000-000000000015";
/// Object id of frank@contoso.example: no subscriptions.
pub const FRANK_OID: &str = "f2a1c000-0000-4000-8000-000000000016";
/// Object id of grace@contoso.example: 250 subscriptions, more than one page.
pub const GRACE_OID: &str = "92ace000-0000-4000-8000-000000000017";
/// Object id of heidi@contoso.example: multi-factor authentication needed but never set up.
pub const HEIDI_OID: &str = "4e1d1000-0000-4000-8000-000000000018";

/// How many subscriptions Grace has.
pub const GRACE_SUBSCRIPTIONS: usize = 250;

pub(super) fn directory() -> Directory {
    Directory {
        tenants: vec![
            Tenant::new(CONTOSO, "Contoso", "contoso.example"),
            Tenant::new(FABRIKAM, "Fabrikam", "fabrikam.example"),
        ],
        users: users(),
        applications: vec![ui(), api(), arm(), graph()],
        consents: vec![
            Consent::new(CONTOSO, "", API_CLIENT_ID, GRAPH_CLIENT_ID, [GRAPH_SCOPE]).for_everyone(),
        ],
        assignments: vec![Assignment::new(
            CONTOSO,
            UI_CLIENT_ID,
            API_CLIENT_ID,
            [API_ROLE],
        )],
    }
}

fn users() -> Vec<User> {
    let contoso = |name: &str| User::new(CONTOSO, format!("{name}@contoso.example"));
    let named = |name: &str| Subscription::new(name);
    vec![
        contoso("alice")
            .oid(ALICE_OID)
            .display_name("Alice Adams")
            .note("two subscriptions")
            .subscription(
                named("Alice Production")
                    .tag("environment", "production")
                    .resource_group(ResourceGroup::new("web"))
                    .resource_group(ResourceGroup::new("data").location("northeurope")),
            )
            .subscription(named("Alice Sandbox").tag("environment", "sandbox")),
        contoso("bob")
            .oid(BOB_OID)
            .display_name("Bob Brown")
            .note("three others, one of them disabled")
            .subscription(named("Bob Data Platform").tag("cost-center", "4711"))
            .subscription(named("Bob Experiments"))
            .subscription(named("Bob Legacy").state("Disabled")),
        contoso("carol")
            .oid(CAROL_OID)
            .display_name("Carol Clark")
            .note("must use a second factor for Azure")
            .mfa(Mfa::Required)
            .subscription(named("Carol Restricted")),
        contoso("dave")
            .oid(DAVE_OID)
            .display_name("Dave Davis")
            .note("account disabled: is refused")
            .disabled()
            .subscription(named("Dave Former")),
        User::new(FABRIKAM, "erin@fabrikam.example")
            .oid(ERIN_OID)
            .display_name("Erin Evans")
            .note("of another tenant, Fabrikam: is refused")
            .subscription(named("Fabrikam Main")),
        contoso("frank")
            .oid(FRANK_OID)
            .display_name("Frank Foster")
            .note("no subscriptions"),
        (1..=GRACE_SUBSCRIPTIONS).fold(
            contoso("grace")
                .oid(GRACE_OID)
                .display_name("Grace Green")
                .note("250 subscriptions, three pages"),
            |grace, number| grace.subscription(named(&format!("Grace {number:03}"))),
        ),
        contoso("heidi")
            .oid(HEIDI_OID)
            .display_name("Heidi Hill")
            .note("second factor needed, never set up")
            .mfa(Mfa::NotEnrolled)
            .subscription(named("Heidi Waiting")),
    ]
}

pub(crate) fn ui() -> Application {
    Application {
        multi_tenant: true,
        secrets: vec![UI_CLIENT_SECRET.to_owned()],
        redirect_uris: vec![UI_REDIRECT_URI.to_owned()],
        post_logout_redirect_uris: vec![UI_POST_LOGOUT_REDIRECT_URI.to_owned()],
        required: vec![Permission::new(API_CLIENT_ID, [API_SCOPE])],
        ..Application::new(CONTOSO, UI_CLIENT_ID, "Subscriptions web app")
    }
}

pub(crate) fn api() -> Application {
    Application {
        multi_tenant: true,
        app_id_uris: vec![API_APP_ID_URI.to_owned()],
        secrets: vec![API_CLIENT_SECRET.to_owned()],
        scopes: vec![Scope::new(API_SCOPE, "Access the subscriptions API as you")],
        app_roles: vec![API_ROLE.to_owned()],
        idtyp: true,
        required: vec![Permission::new(ARM_CLIENT_ID, [ARM_SCOPE])],
        known_client_applications: vec![UI_CLIENT_ID.to_owned()],
        ..Application::new(CONTOSO, API_CLIENT_ID, "Subscriptions API")
    }
}

pub(super) fn administrator(tenant: &str) -> Application {
    Application {
        secrets: vec![ADMINISTRATOR_CLIENT_SECRET.to_owned()],
        ..Application::new(tenant, ADMINISTRATOR_CLIENT_ID, "Administrator")
    }
}

pub(crate) fn arm() -> Application {
    Application {
        app_id_uris: [ARM_RESOURCE, "https://management.core.windows.net"]
            .map(str::to_owned)
            .to_vec(),
        scopes: vec![Scope::new(
            ARM_SCOPE,
            "Access Azure Resource Manager as you",
        )],
        token_version: TokenVersion::V1,
        idtyp: true,
        mfa_policy: Some(MFA_POLICY.to_owned()),
        ..Application::new("", ARM_CLIENT_ID, "Azure Resource Manager")
    }
}

pub(crate) fn graph() -> Application {
    Application {
        app_id_uris: vec![GRAPH_RESOURCE.to_owned()],
        scopes: vec![Scope::new(GRAPH_SCOPE, "Sign you in and read your profile")],
        app_roles: GRAPH_ROLES.map(str::to_owned).to_vec(),
        token_version: TokenVersion::V1,
        idtyp: true,
        ..Application::new("", GRAPH_CLIENT_ID, "Microsoft Graph")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::is_guid;

    #[test]
    fn every_identifier_is_a_guid() {
        let directory = directory();
        let ids = directory
            .tenants
            .iter()
            .map(|tenant| &tenant.id)
            .chain(directory.users.iter().map(|user| &user.oid))
            .chain(directory.applications.iter().map(|app| &app.client_id));
        for id in ids {
            assert!(is_guid(id), "{id}");
        }
        assert_eq!(directory.users.len(), 8);
    }
}
