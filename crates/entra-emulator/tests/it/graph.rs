//! Microsoft Graph: who the user is.

use entra_emulator::{Emulator, Endpoint, TokenBuilder, demo};
use serde_json::{Value, json};

use crate::support::{Answer, claims_of, client, exchange, start, token};

const GRAPH_DEFAULT: &str = "https://graph.microsoft.com/.default";

async fn get(emulator: &Emulator, path: &str, token: &str) -> Answer {
    let mut request = client().get(format!("{}{path}", emulator.graph_url()));
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    Answer::of(request.send().await.unwrap()).await
}

/// A token for Graph, to be changed.
fn for_graph(emulator: &Emulator) -> TokenBuilder {
    let token = emulator.token().arm();
    token
        .scopes([demo::GRAPH_SCOPE])
        .claim("aud", demo::GRAPH_RESOURCE)
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str, message: &str) {
    let error = &answer.body["error"];
    assert_eq!(
        (answer.status, error["code"].as_str()),
        (status, Some(code)),
        "{error}"
    );
    let said = error["message"].as_str().unwrap();
    assert!(said.contains(message), "{said}");
    let inner = &error["innerError"];
    assert_eq!(inner["request-id"], answer.header("request-id"));
    assert_eq!(
        inner["client-request-id"],
        answer.header("client-request-id")
    );
    assert!(inner["date"].is_string());
    assert_eq!(
        answer.headers.contains_key("www-authenticate"),
        status == 401
    );
}

#[tokio::test]
async fn a_token_that_the_api_gets_on_behalf_of_a_user_shows_that_user() {
    let emulator = start().await;
    // Nobody asked the user: an administrator has consented.
    let assertion = emulator.user_token_without_consent("bob");
    for scope in [
        GRAPH_DEFAULT,
        "https://graph.microsoft.com/User.Read",
        "User.Read",
    ] {
        let answer = exchange(&emulator, &assertion, &[("scope", scope)]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(
            answer
                .text("scope")
                .starts_with("https://graph.microsoft.com/User.Read")
        );
        let claims = claims_of(answer.text("access_token"));
        assert_eq!(claims["aud"], demo::GRAPH_RESOURCE);
        assert_eq!(
            (&claims["ver"], &claims["scp"]),
            (&json!("1.0"), &json!("User.Read"))
        );
        let me = get(&emulator, "/v1.0/me", answer.text("access_token")).await;
        assert_eq!(me.status, 200, "{}", me.body);
        assert_eq!(me.text("userPrincipalName"), "bob@contoso.example");
        assert_eq!(me.text("id"), demo::BOB_OID);
        assert_eq!((me.text("givenName"), me.text("surname")), ("Bob", "Brown"));
    }
    assert_eq!(emulator.count(Endpoint::Graph), 3);
    assert_eq!(emulator.count(Endpoint::Arm), 0);
}

#[tokio::test]
async fn the_administrators_consent_is_contosos() {
    let emulator = start().await;
    let assertion = emulator.token().user("erin").sign();
    crate::support::exchange_at(
        &emulator,
        demo::FABRIKAM,
        &assertion,
        &[("scope", GRAPH_DEFAULT)],
    )
    .await
    .assert_refused(400, "invalid_grant", 65_001);
}

#[tokio::test]
async fn a_token_that_is_not_for_graph_is_refused_in_graphs_words() {
    let emulator = start().await;
    let token = || for_graph(&emulator);
    assert_eq!(
        get(&emulator, "/v1.0/me", &token().sign()).await.status,
        200
    );
    let kid = emulator.current_kid();
    for (bad, message) in [
        (String::new(), "Access token is empty"),
        ("x".to_owned(), "not well formed"),
        (
            token().signature(entra_emulator::Signature::Empty).sign(),
            "Signature is invalid",
        ),
        (token().header("alg", "none").sign(), "Signature is invalid"),
        (token().key("unknown").sign(), "Signature is invalid"),
        (token().expired().sign(), "the token is expired"),
        (token().claim("nbf", i64::MAX).sign(), "not valid yet"),
        (
            token().claim("iss", "https://sts.windows.net/x/").sign(),
            "Invalid issuer",
        ),
        (emulator.arm_token("alice"), "Invalid audience"),
        (emulator.user_token("alice"), "Invalid audience"),
        (
            token().key(kid).claim("ver", "2.0").sign(),
            "Invalid issuer",
        ),
        (token().without_claim("oid").sign(), "validation failure"),
        (token().user("dave").sign(), "is not there"),
    ] {
        let answer = get(&emulator, "/v1.0/me", &bad).await;
        assert_refused(&answer, 401, "InvalidAuthenticationToken", message);
        let challenge = answer.header("www-authenticate");
        let authority = format!("authorization_uri=\"{}/common/", emulator.url());
        assert!(challenge.contains(&authority), "{challenge}");
    }
}

#[tokio::test]
async fn reading_the_profile_needs_its_scope_and_a_user() {
    let emulator = start().await;
    for scopes in [["openid"], ["user.read"], ["Mail.Read"]] {
        let token = for_graph(&emulator).scopes(scopes).sign();
        let answer = get(&emulator, "/v1.0/me", &token).await;
        assert_refused(
            &answer,
            403,
            "Authorization_RequestDenied",
            "Insufficient privileges",
        );
    }
    let app = token(
        &emulator,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", demo::API_CLIENT_ID),
            ("client_secret", demo::API_CLIENT_SECRET),
            ("scope", GRAPH_DEFAULT),
        ],
    )
    .await;
    let answer = get(&emulator, "/v1.0/me", app.text("access_token")).await;
    assert_refused(&answer, 400, "BadRequest", "delegated authentication flow");
}

#[tokio::test]
async fn a_revoked_session_is_challenged_when_the_client_can_handle_it() {
    let emulator = start().await;
    let plain = for_graph(&emulator).sign();
    // As azure-identity writes it.
    let capable = for_graph(&emulator).claim("xms_cc", json!(["CP1"])).sign();
    emulator.revoke_sessions("alice");
    assert_eq!(get(&emulator, "/v1.0/me", &plain).await.status, 200);
    let answer = get(&emulator, "/v1.0/me", &capable).await;
    assert_refused(
        &answer,
        401,
        "InvalidAuthenticationToken",
        "TokenIssuedBeforeRevocation",
    );
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_claims\", claims=\"ey"),
        "{challenge}"
    );
}

#[tokio::test]
async fn what_is_not_there_is_refused_after_the_token() {
    let emulator = start().await;
    let token = for_graph(&emulator).sign();
    for path in ["/v1.0/users", "/v1.0/me/messages"] {
        let answer = get(&emulator, path, &token).await;
        assert_refused(&answer, 404, "ResourceNotFound", "does not emulate GET");
        let answer = get(&emulator, path, "").await;
        assert_refused(&answer, 401, "InvalidAuthenticationToken", "empty");
    }
    let post = client().post(format!("{}/v1.0/me", emulator.graph_url()));
    let answer = Answer::of(post.bearer_auth(&token).send().await.unwrap()).await;
    assert_refused(&answer, 404, "ResourceNotFound", "does not emulate POST");
}

#[tokio::test]
async fn userinfo_tells_what_was_consented_to() {
    let emulator = start().await;
    let token = for_graph(&emulator).scopes(["openid", "profile"]).sign();
    let document = client()
        .get(format!(
            "{}/common/v2.0/.well-known/openid-configuration",
            emulator.url()
        ))
        .send();
    let document: Value = document.await.unwrap().json().await.unwrap();
    let endpoint = document["userinfo_endpoint"].as_str().unwrap();
    let path = endpoint.strip_prefix(emulator.graph_url()).unwrap();
    let user = get(&emulator, path, &token).await;
    assert_eq!(user.status, 200);
    assert_eq!(user.text("sub"), claims_of(&token)["sub"]);
    assert_eq!(user.text("name"), "Alice Adams");
    assert!(user.body.get("email").is_none());
    let without = for_graph(&emulator).sign();
    let answer = get(&emulator, path, &without).await;
    assert_refused(&answer, 403, "Authorization_RequestDenied", "Insufficient");
}
