//! Applications that are registered by way of Microsoft Graph are as good as any other.

mod credentials;
mod refusals;

use entra_emulator::directory::Consent;
use entra_emulator::{Directory, Emulator, demo};
use serde_json::{Value, json};

use crate::support::{Answer, claims_of, client, start_with, token};

/// Microsoft's own ids, the same in every tenant.
const ARM_SCOPE_ID: &str = "41094075-9dad-400e-a0bd-54e686782033";
const SCOPE_ID: &str = "5c09e000-0000-4000-8000-000000000001";

/// Somebody who may register applications, at an emulator.
struct Administrator {
    emulator: Emulator,
    token: String,
}

impl Administrator {
    async fn start() -> Self {
        Self::of(start_with(Directory::demo().with_administrator()).await).await
    }

    async fn of(emulator: Emulator) -> Self {
        let scope = format!("{}/.default", emulator.graph_url());
        let token = administrators_token(&emulator, &scope).await;
        Self { emulator, token }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        send(&self.emulator, &self.token, method, path, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Value::Null).await
    }

    async fn made(&self, path: &str, body: Value) -> Value {
        let made = self.send("POST", path, body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.body
    }

    async fn change(&self, app: &Value, body: Value) {
        let path = format!("/applications/{}", text(app, "id"));
        let changed = self.send("PATCH", &path, body).await;
        assert_eq!(changed.status, 204, "{}", changed.body);
        assert_eq!(changed.body, "");
    }

    /// Refused with this status, code and message: what is below a collection is changed, else it is made.
    async fn refused(&self, path: &str, body: Value, status: u16, code: &str, said: &str) {
        let method = match path.matches('/').count() {
            1 => "POST",
            _ => "PATCH",
        };
        let answer = self.send(method, path, body.clone()).await;
        let error = &answer.body["error"];
        assert_eq!(
            (answer.status, error["code"].as_str()),
            (status, Some(code)),
            "{body}: {}",
            answer.body
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(said), "{message}");
    }

    /// An API with its scope and the permission to call Azure, and its service principal.
    async fn api(&self) -> Value {
        let api = self
            .made(
                "/applications",
                json!({"displayName": "Made API", "signInAudience": "AzureADMyOrg"}),
            )
            .await;
        self.made(
            "/servicePrincipals",
            json!({"appId": api["appId"], "accountEnabled": true}),
        )
        .await;
        self.change(
            &api,
            json!({
                "identifierUris": [format!("api://{}", text(&api, "appId"))],
                "api": {
                    "requestedAccessTokenVersion": 2,
                    "oauth2PermissionScopes": [scope(SCOPE_ID, "access_as_user", true)],
                },
                "requiredResourceAccess": [{
                    "resourceAppId": demo::ARM_CLIENT_ID,
                    "resourceAccess": [{"id": ARM_SCOPE_ID.to_ascii_uppercase(), "type": "Scope"}],
                }],
            }),
        )
        .await;
        api
    }

    async fn everything(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for collection in [
            "/applications",
            "/servicePrincipals",
            "/oauth2PermissionGrants",
        ] {
            all.push(self.get(collection).await.body);
        }
        all
    }

    async fn secret(&self, app: &Value) -> String {
        let path = format!("/applications/{}/addPassword", text(app, "id"));
        let added = self.send("POST", &path, json!({})).await;
        assert_eq!(added.status, 200, "{}", added.body);
        text(&added.body, "secretText").to_owned()
    }
}

async fn administrators_token(emulator: &Emulator, scope: &str) -> String {
    let answer = token(
        emulator,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", demo::ADMINISTRATOR_CLIENT_ID),
            ("client_secret", demo::ADMINISTRATOR_CLIENT_SECRET),
            ("scope", scope),
        ],
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.text("access_token").to_owned()
}

async fn send(emulator: &Emulator, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let url = format!("{}/v1.0{path}", emulator.graph_url());
    let mut request = client()
        .request(method.parse().unwrap(), url)
        .bearer_auth(token);
    if !body.is_null() {
        request = request.json(&body);
    }
    Answer::of(request.send().await.unwrap()).await
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {object}"))
}

fn scope(id: &str, value: &str, enabled: bool) -> Value {
    json!({
        "id": id,
        "value": value,
        "type": "User",
        "isEnabled": enabled,
        "adminConsentDisplayName": "Access the made API",
        "adminConsentDescription": "Access the made API as the user",
        "userConsentDisplayName": "Access the made API as you",
        "userConsentDescription": "Access the made API as you",
    })
}

#[tokio::test]
async fn an_api_that_was_made_exchanges_a_users_token() {
    let administrator = Administrator::start().await;
    let api = administrator.api().await;
    let secret = administrator.secret(&api).await;
    let id = text(&api, "appId");
    let emulator = &administrator.emulator;
    let grant = |scope: &'static str| {
        let assertion = emulator.token().claim("aud", id).sign();
        let secret = secret.clone();
        async move {
            token(
                emulator,
                &[
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("client_id", id),
                    ("client_secret", &secret),
                    ("assertion", &assertion),
                    ("scope", scope),
                    ("requested_token_use", "on_behalf_of"),
                ],
            )
            .await
        }
    };
    let scope = "https://management.azure.com/user_impersonation";
    grant(scope)
        .await
        .assert_refused(400, "invalid_grant", 65_001);

    let principals = "/servicePrincipals?$filter=servicePrincipalNames/any(c:c eq 'NAME')";
    let mut found = Vec::new();
    for name in [id, demo::ARM_RESOURCE] {
        let answer = administrator.get(&principals.replace("NAME", name)).await;
        assert_eq!(
            answer.body["value"].as_array().unwrap().len(),
            1,
            "{}",
            answer.body
        );
        found.push(text(&answer.body["value"][0], "id").to_owned());
    }
    let body = json!({
        "clientId": found[0],
        "consentType": "AllPrincipals",
        "principalId": null,
        "resourceId": found[1],
        "scope": "user_impersonation",
    });
    let granted = administrator
        .made("/oauth2PermissionGrants", body.clone())
        .await;
    let answer = grant(scope).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        claims_of(answer.text("access_token"))["scp"],
        "user_impersonation"
    );

    administrator
        .refused(
            "/oauth2PermissionGrants",
            body,
            409,
            "Request_MultipleObjectsWithSameKeyValue",
            "already exists",
        )
        .await;
    // As Azure CLI writes it.
    let path = format!("/oAuth2PermissionGrants/{}", text(&granted, "id"));
    assert_eq!(
        administrator
            .send("DELETE", &path, Value::Null)
            .await
            .status,
        204
    );
    grant(scope)
        .await
        .assert_refused(400, "invalid_grant", 65_001);
    assert_eq!(administrator.get(&path).await.status, 404);
}

#[tokio::test]
async fn what_was_written_is_what_the_emulator_goes_by() {
    let administrator = Administrator::start().await;
    let api = administrator.api().await;
    let ui = administrator
        .made(
            "/applications",
            json!({
                "displayName": "Made UI",
                "web": {"redirectUris": ["http://localhost:8000/account/callback", "http://localhost:8000/"]},
                "requiredResourceAccess": [{
                    "resourceAppId": api["appId"],
                    "resourceAccess": [{"id": SCOPE_ID, "type": "Scope"}],
                }, {
                    "resourceAppId": demo::GRAPH_CLIENT_ID,
                    "resourceAccess": [{"id": "37f7f235-527c-4136-accd-4a02d197296e", "type": "Scope"}],
                }],
            }),
        )
        .await;
    // A part of an object; the rest of it stays.
    administrator
        .change(
            &api,
            json!({"api": {"knownClientApplications": [ui["appId"]]}}),
        )
        .await;
    let directory = administrator.emulator.directory();
    let made = directory.application(text(&api, "appId")).unwrap();
    assert!(made.knows_client(text(&ui, "appId")));
    assert_eq!(made.scopes[0].value, "access_as_user");
    assert_eq!(made.scopes[0].display_name, "Access the made API as you");
    assert_eq!(made.required[0].scopes, ["user_impersonation"]);
    assert!(!made.multi_tenant);
    assert!(made.is_in(demo::CONTOSO));
    let made = directory.application(text(&ui, "appId")).unwrap();
    assert_eq!(
        made.required.len(),
        1,
        "OpenID Connect's are asked for at the sign-in"
    );
    assert_eq!(made.required[0].scopes, ["access_as_user"]);
    assert_eq!(made.post_logout_redirect_uris, made.redirect_uris);
    assert!(
        !made.is_in(demo::CONTOSO),
        "it has no service principal yet"
    );

    let shown = administrator
        .get(&format!("/applications(appId='{}')", text(&ui, "appId")))
        .await;
    assert_eq!(
        shown.body["requiredResourceAccess"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(shown.body["id"], ui["id"]);
    assert_ne!(shown.body["id"], shown.body["appId"]);
}

#[tokio::test]
async fn an_application_without_a_service_principal_is_of_no_use_yet() {
    let administrator = Administrator::start().await;
    let app = administrator
        .made("/applications", json!({"displayName": "Lone"}))
        .await;
    let secret = administrator.secret(&app).await;
    let emulator = &administrator.emulator;
    let sign_in = || async {
        token(
            emulator,
            &[
                ("grant_type", "client_credentials"),
                ("client_id", text(&app, "appId")),
                ("client_secret", &secret),
                ("scope", "https://management.azure.com/.default"),
            ],
        )
        .await
    };
    sign_in()
        .await
        .assert_refused(400, "unauthorized_client", 700_016);
    let order = json!({"appId": app["appId"]});
    let principal = administrator
        .made("/servicePrincipals", order.clone())
        .await;
    let answer = sign_in().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        claims_of(answer.text("access_token"))["oid"],
        principal["id"]
    );
    administrator
        .refused(
            "/servicePrincipals",
            order,
            409,
            "Request_MultipleObjectsWithSameKeyValue",
            "already in use",
        )
        .await;
    let path = format!("/servicePrincipals/{}", text(&principal, "id"));
    assert_eq!(
        administrator
            .send("DELETE", &path, Value::Null)
            .await
            .status,
        204
    );
    sign_in()
        .await
        .assert_refused(400, "unauthorized_client", 700_016);
    let unknown = json!({"appId": "00000000-0000-4000-8000-000000000000"});
    administrator
        .refused(
            "/servicePrincipals",
            unknown,
            400,
            "NoBackingApplicationObject",
            "valid application object",
        )
        .await;
}

#[tokio::test]
async fn a_removed_application_leaves_nothing() {
    let administrator = Administrator::start().await;
    let before = administrator.everything().await;
    let api = administrator.api().await;
    administrator.secret(&api).await;
    let emulator = &administrator.emulator;
    emulator.update_directory(|directory| {
        let (id, arm) = (text(&api, "appId"), demo::ARM_CLIENT_ID);
        let consent = Consent::new(demo::CONTOSO, demo::ALICE_OID, id, arm, [demo::ARM_SCOPE]);
        directory.grant(consent);
    });
    assert_ne!(administrator.everything().await, before);
    let path = format!("/applications/{}", text(&api, "id"));
    assert_eq!(
        administrator
            .send("DELETE", &path, Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(administrator.everything().await, before);
    let gone = administrator.send("DELETE", &path, Value::Null).await;
    assert_eq!(
        (gone.status, &gone.body["error"]["code"]),
        (404, &json!("Request_ResourceNotFound"))
    );
}

#[tokio::test]
async fn the_applications_of_the_configuration_are_shown_and_found() {
    let administrator = Administrator::start().await;
    for (query, count) in [
        ("", 3),
        (&*format!("?$filter=appId eq '{}'", demo::API_CLIENT_ID), 1),
        ("?$filter=startswith(displayName,'subscriptions')", 2),
        (
            &*format!(
                "?$filter=identifierUris/any(s:s eq '{}')",
                demo::API_APP_ID_URI
            ),
            1,
        ),
        (&*format!("?$filter=appId eq '{}'", demo::ARM_CLIENT_ID), 0),
    ] {
        let found = administrator.get(&format!("/applications{query}")).await;
        assert_eq!(
            found.body["value"].as_array().unwrap().len(),
            count,
            "{query}: {}",
            found.body
        );
    }
    let path = format!(
        "/applications(appId='{}')?$select=api,id",
        demo::API_CLIENT_ID
    );
    let api = administrator.get(&path).await.body;
    assert_eq!(
        api["api"]["oauth2PermissionScopes"][0]["value"],
        demo::API_SCOPE
    );
    assert_eq!(
        api["api"]["knownClientApplications"],
        json!([demo::UI_CLIENT_ID])
    );
    assert!(api.get("displayName").is_none());
    let arm = administrator
        .get(&format!(
            "/servicePrincipals(appId='{}')",
            demo::ARM_CLIENT_ID
        ))
        .await;
    let scopes = &arm.body["oauth2PermissionScopes"];
    assert_eq!(
        (&scopes[0]["id"], &scopes[0]["value"]),
        (&json!(ARM_SCOPE_ID), &json!("user_impersonation"))
    );
    // Microsoft's own are not the tenant's to change.
    let path = format!("/servicePrincipals/{}", text(&arm.body, "id"));
    let refused = administrator.send("DELETE", &path, Value::Null).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
}

#[tokio::test]
async fn a_permission_whose_resource_is_gone_stops_no_other_change() {
    let administrator = Administrator::start().await;
    let api = administrator.api().await;
    let listed = |id: &str, scope: &str| json!({"resourceAppId": id, "resourceAccess": [{"id": scope, "type": "Scope"}]});
    let gone = listed(text(&api, "appId"), SCOPE_ID);
    let web = json!({"displayName": "Web", "requiredResourceAccess": [gone]});
    let web = administrator.made("/applications", web).await;
    let path = format!("/applications/{}", text(&api, "id"));
    let deleted = administrator.send("DELETE", &path, Value::Null).await;
    assert_eq!(deleted.status, 204);
    administrator
        .change(&web, json!({"displayName": "Renamed"}))
        .await;
    let azure = listed(demo::ARM_CLIENT_ID, ARM_SCOPE_ID);
    administrator
        .change(&web, json!({"requiredResourceAccess": [gone, azure]}))
        .await;
    let path = format!("/applications/{}", text(&web, "id"));
    let another = listed(text(&api, "appId"), ARM_SCOPE_ID);
    let body = json!({"requiredResourceAccess": [another]});
    administrator
        .refused(&path, body, 400, "Request_BadRequest", "has no application")
        .await;
}

#[tokio::test]
async fn a_change_leaves_the_sign_out_of_the_configuration_as_it_is() {
    let administrator = Administrator::start().await;
    let path = format!("/applications(appId='{}')", demo::UI_CLIENT_ID);
    let web = administrator.get(&path).await.body;
    administrator
        .change(&web, json!({"displayName": "Renamed"}))
        .await;
    let directory = administrator.emulator.directory();
    let web = directory.application(demo::UI_CLIENT_ID).unwrap();
    let after_sign_out = demo::UI_POST_LOGOUT_REDIRECT_URI.to_owned();
    assert!(web.post_logout_redirect_uris.contains(&after_sign_out));
}
