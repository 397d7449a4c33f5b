//! What Microsoft Graph refuses to write, and from whom.

use entra_emulator::demo;
use serde_json::{Value, json};

use super::{Administrator, SCOPE_ID, scope, send, text};
use crate::support::start;

#[tokio::test]
async fn what_graph_would_not_take_is_refused() {
    let administrator = Administrator::start().await;
    let api = administrator.api().await;
    let path = format!("/applications/{}", text(&api, "id"));
    let bad = "Request_BadRequest";
    for (body, code, said) in [
        (
            json!({"identifierUri": "api://x"}),
            bad,
            "Invalid property 'identifierUri'",
        ),
        (
            json!({"api": {"oauth2Permissions": []}}),
            bad,
            "Invalid property 'api.oauth2Permissions'",
        ),
        (json!({"appId": "x"}), bad, "read-only"),
        (json!({"displayName": 1}), bad, "displayName"),
        (json!({"displayName": ""}), bad, "displayName"),
        (json!({"displayName": null}), bad, "displayName"),
        (
            json!({"passwordCredentials": []}),
            bad,
            "passwordCredentials",
        ),
        (json!({"signInAudience": "Everybody"}), bad, "AzureADMyOrg"),
        (
            json!({"signInAudience": "AzureADandPersonalMicrosoftAccount", "api": {"requestedAccessTokenVersion": 1}}),
            bad,
            "2 where personal",
        ),
        (
            json!({"api": {"requestedAccessTokenVersion": 3}}),
            bad,
            "1, 2 or null",
        ),
        (
            json!({"api": {"knownClientApplications": ["x"]}}),
            bad,
            "knownClientApplications",
        ),
        (
            json!({"api": {"preAuthorizedApplications": [{"appId": demo::UI_CLIENT_ID}]}}),
            bad,
            "does not emulate",
        ),
        (
            json!({"identifierUris": ["api://mine"]}),
            bad,
            "tenant verified domain, tenant ID, or app ID",
        ),
        (json!({"identifierUris": ["mine"]}), bad, "is no URI"),
        (
            json!({"web": {"redirectUris": ["http://ui.example/"]}}),
            bad,
            "must start with",
        ),
        (
            json!({"web": {"redirectUris": ["https://*.example/"]}}),
            bad,
            "wildcard",
        ),
        (
            json!({"web": {"redirectUris": "https://ui.example/"}}),
            bad,
            "another type",
        ),
        (
            json!({"api": {"oauth2PermissionScopes": []}}),
            "CannotDeleteOrUpdateEnabledEntitlement",
            "disabled first",
        ),
        (
            json!({"api": {"oauth2PermissionScopes": [scope(SCOPE_ID, "other", true)]}}),
            "CannotDeleteOrUpdateEnabledEntitlement",
            "access_as_user",
        ),
        (
            json!({"api": {"oauth2PermissionScopes": [scope(SCOPE_ID, "access_as_user", true), scope(SCOPE_ID, "b", true)]}}),
            bad,
            "id is there twice",
        ),
        (
            json!({"api": {"oauth2PermissionScopes": [{"id": SCOPE_ID, "value": "access_as_user"}]}}),
            bad,
            "adminConsentDisplayName",
        ),
        (
            json!({"requiredResourceAccess": [{"resourceAppId": demo::ARM_CLIENT_ID, "resourceAccess": [{"id": SCOPE_ID, "type": "Scope"}]}]}),
            bad,
            "exposes no permission",
        ),
        (
            json!({"requiredResourceAccess": [{"resourceAppId": SCOPE_ID, "resourceAccess": []}]}),
            bad,
            "has no application",
        ),
    ] {
        administrator.refused(&path, body, 400, code, said).await;
    }
    let taken = json!({"identifierUris": [demo::API_APP_ID_URI.to_uppercase().replace("API://", "api://")]});
    let answer = administrator.send("PATCH", &path, taken).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    // Disabled first, and then taken away.
    let disabled =
        json!({"api": {"oauth2PermissionScopes": [scope(SCOPE_ID, "access_as_user", false)]}});
    administrator.change(&api, disabled).await;
    administrator
        .change(&api, json!({"api": {"oauth2PermissionScopes": []}}))
        .await;
    for (query, code) in [
        ("?$filter=notes eq 'x'", "Request_UnsupportedQuery"),
        ("?$filter=appId ne 'x'", "BadRequest"),
        ("?$expand=owners", "Request_UnsupportedQuery"),
    ] {
        let answer = administrator.get(&format!("/applications{query}")).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["code"]),
            (400, &json!(code)),
            "{query}"
        );
    }
    let answer = administrator.send("POST", "/applications", json!([])).await;
    assert_eq!(
        (answer.status, &answer.body["error"]["code"]),
        (400, &json!("BadRequest"))
    );
    administrator
        .refused(
            "/applications",
            json!({"notes": "x"}),
            400,
            bad,
            "displayName",
        )
        .await;
}

#[tokio::test]
async fn an_identifier_uri_belongs_to_one_application() {
    let administrator = Administrator::start().await;
    let api = administrator.api().await;
    let uri = format!("api://{}/{}", demo::CONTOSO, "shared");
    administrator
        .change(&api, json!({"identifierUris": [uri]}))
        .await;
    let other = administrator
        .made("/applications", json!({"displayName": "Other"}))
        .await;
    administrator
        .refused(
            &format!("/applications/{}", text(&other, "id")),
            json!({"identifierUris": [uri]}),
            400,
            "Request_MultipleObjectsWithSameKeyValue",
            "identifierUris already exists",
        )
        .await;
}

#[tokio::test]
async fn without_the_permission_nothing_is_read_or_changed() {
    let emulator = start().await;
    assert!(
        emulator
            .directory()
            .application(demo::ADMINISTRATOR_CLIENT_ID)
            .is_none()
    );
    let token = |scopes: &[&str]| {
        let token = emulator.token().arm().scopes(scopes.iter().copied());
        token.claim("aud", demo::GRAPH_RESOURCE).sign()
    };
    let (user, reader) = (token(&["User.Read"]), token(&["Application.Read.All"]));
    let order = json!({"displayName": "Mine"});
    for (token, method, path, body, status) in [
        (&user, "GET", "/applications", Value::Null, 403),
        (&user, "GET", "/servicePrincipals", Value::Null, 403),
        (&user, "GET", "/oauth2PermissionGrants", Value::Null, 403),
        (&user, "POST", "/applications", order.clone(), 403),
        (&reader, "GET", "/applications", Value::Null, 200),
        (&reader, "POST", "/applications", order.clone(), 403),
        (&reader, "GET", "/oauth2PermissionGrants", Value::Null, 403),
        (&reader, "POST", "/oauth2PermissionGrants", json!({}), 403),
        (&String::new(), "POST", "/applications", order, 401),
    ] {
        let answer = send(&emulator, token, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    }
    let api = emulator
        .directory()
        .application(demo::API_CLIENT_ID)
        .unwrap()
        .clone();
    assert_eq!(api.secrets, [demo::API_CLIENT_SECRET]);
}

#[tokio::test]
async fn a_service_principal_that_is_refused_is_not_made() {
    let administrator = Administrator::start().await;
    let app = administrator
        .made("/applications", json!({"displayName": "Without principal"}))
        .await;
    let id = text(&app, "appId");
    let order = json!({"appId": id, "accountEnabled": false});
    administrator
        .refused(
            "/servicePrincipals",
            order,
            400,
            "Request_BadRequest",
            "no disabled",
        )
        .await;
    let path = format!("/servicePrincipals(appId='{id}')");
    assert_eq!(administrator.get(&path).await.status, 404);
    administrator
        .made("/servicePrincipals", json!({"appId": id}))
        .await;
}
