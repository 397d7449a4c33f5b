//! The control API under /emulator/.

use entra_emulator::{Emulator, Endpoint, Signer, demo};
use serde_json::{Value, json};

use crate::support::{Answer, claims_of, client, exchange, start};

async fn send(emulator: &Emulator, method: &str, path: &str, body: Option<Value>) -> Answer {
    let mut request = client()
        .request(
            method.parse().unwrap(),
            format!("{}/emulator{path}", emulator.url()),
        )
        .header("x-entra-emulator", "1");
    if let Some(body) = body {
        request = request.json(&body);
    }
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_web_page_cannot_drive_it() {
    let emulator = start().await;
    let url = format!("{}/emulator/users", emulator.url());
    // What a page can send without a preflight: no own header, no JSON.
    let simple = client().get(&url).send().await.unwrap();
    assert_eq!(simple.status(), 403);
    let form = client()
        .post(format!("{}/emulator/token", emulator.url()))
        .header("content-type", "text/plain")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(form.status(), 403);
    // A name that was made to point here.
    let rebound = client()
        .get(&url)
        .header("x-entra-emulator", "1")
        .header("host", "attacker.example")
        .send()
        .await
        .unwrap();
    assert_eq!(rebound.status(), 403);
    let preflight = client()
        .request(reqwest::Method::OPTIONS, &url)
        .header("origin", "https://attacker.example")
        .header("access-control-request-headers", "x-entra-emulator")
        .send()
        .await
        .unwrap();
    assert!(
        preflight
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
}

#[tokio::test]
async fn it_hands_out_tokens() {
    let emulator = start().await;
    let answer = send(&emulator, "POST", "/token", Some(json!({"user": "bob"}))).await;
    let token = answer.text("token");
    assert_eq!(claims_of(token)["oid"], demo::BOB_OID);
    assert_eq!(exchange(&emulator, token, &[]).await.status, 200);

    let order = json!({"user": "bob", "consent": false});
    let answer = send(&emulator, "POST", "/token", Some(order)).await;
    exchange(&emulator, answer.text("token"), &[])
        .await
        .assert_refused(400, "invalid_grant", 65_001);

    let order = json!({"app_only": true, "expires_in": -60, "claims": {"x": 1}});
    let answer = send(&emulator, "POST", "/token", Some(order)).await;
    let claims = claims_of(answer.text("token"));
    assert_eq!((&claims["idtyp"], &claims["x"]), (&json!("app"), &json!(1)));

    let unknown = send(&emulator, "POST", "/token", Some(json!({"user": "nobody"}))).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text("error").contains("alice"));
    let typo = send(&emulator, "POST", "/token", Some(json!({"usr": "bob"}))).await;
    assert_eq!(typo.status, 422);
}

#[tokio::test]
async fn users_are_changed() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    let disabled = send(
        &emulator,
        "PATCH",
        "/users/alice",
        Some(json!({"disabled": true})),
    )
    .await;
    assert_eq!(disabled.body["disabled"], true);
    exchange(&emulator, &assertion, &[])
        .await
        .assert_refused(400, "invalid_grant", 50_057);
    let changes = json!({"disabled": false, "mfa": "required", "revoke_sessions": true});
    send(&emulator, "PATCH", "/users/alice", Some(changes)).await;
    exchange(&emulator, &assertion, &[])
        .await
        .assert_refused(400, "invalid_grant", 50_173);
    exchange(&emulator, &emulator.user_token("alice"), &[])
        .await
        .assert_refused(400, "interaction_required", 50_076);
    let users = send(&emulator, "GET", "/users", None).await;
    assert_eq!(users.body.as_array().unwrap().len(), 8);

    let consent = send(&emulator, "DELETE", "/users/bob/consent", None).await;
    assert_eq!(consent.status, 204);
    let nobody = send(&emulator, "PATCH", "/users/nobody", Some(json!({}))).await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn faults_counts_and_keys_are_at_hand() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    let fault = json!({"status": 503, "headers": {"retry-after": "3"}, "body": "down"});
    let set = send(&emulator, "POST", "/endpoints/token/faults", Some(fault)).await;
    assert_eq!(set.status, 204);
    assert_eq!(exchange(&emulator, &assertion, &[]).await.status, 503);
    let counts = send(&emulator, "GET", "/endpoints", None).await;
    assert_eq!(counts.body["token"]["requests"], 1);
    let requests = send(&emulator, "GET", "/endpoints/token/requests", None).await;
    assert_eq!(requests.body[0]["method"], "POST");

    let before = emulator.current_kid();
    let rotated = send(&emulator, "POST", "/keys/rotate", None).await;
    assert_eq!(rotated.text("kid"), emulator.current_kid());
    let withdrawn = send(&emulator, "DELETE", &format!("/keys/{before}"), None).await;
    assert_eq!(withdrawn.status, 204);
    assert_eq!(emulator.count(Endpoint::Token), 1);
}

#[tokio::test]
async fn credentials_of_applications_are_changed() {
    let emulator = start().await;
    let signer = Signer::generate().unwrap();
    let path = format!("/applications/{}", demo::API_CLIENT_ID);
    let api = send(&emulator, "GET", &path, None).await;
    assert_eq!(api.body["secrets"], 1);
    assert_eq!(api.body["certificates"], json!([]));

    let secrets = format!("{path}/secrets");
    let changed = send(&emulator, "PUT", &secrets, Some(json!(["new"]))).await;
    assert_eq!(changed.status, 200);
    let assertion = emulator.user_token("alice");
    exchange(&emulator, &assertion, &[])
        .await
        .assert_refused(401, "invalid_client", 7_000_215);
    let answer = exchange(&emulator, &assertion, &[("client_secret", "new")]).await;
    assert_eq!(answer.status, 200);

    let certificates = format!("{path}/certificates");
    let order = json!({"pem": signer.certificate_pem()});
    let added = send(&emulator, "POST", &certificates, Some(order)).await;
    let listed = &added.body["certificates"][0];
    assert_eq!(listed["x5t#S256"], signer.certificate().thumbprint_sha256());
    assert_eq!(listed["x5t"], signer.certificate().thumbprint());
    let order = json!({"pem": signer.private_key_pem()});
    let refused = send(&emulator, "POST", &certificates, Some(order)).await;
    assert_eq!(refused.status, 422);
    let one = format!("{certificates}/{}", signer.certificate().thumbprint_hex());
    let removed = send(&emulator, "DELETE", &one, None).await;
    assert_eq!(removed.body["certificates"], json!([]));
    assert_eq!(send(&emulator, "DELETE", &one, None).await.status, 404);

    let federated = format!("{path}/federated-credentials/cluster");
    for subject in ["first", "second"] {
        let order = json!({"issuer": "https://issuer.example", "subject": subject});
        let set = send(&emulator, "PUT", &federated, Some(order)).await;
        assert_eq!(
            set.body["federated_credentials"],
            json!([{
                "name": "cluster",
                "issuer": "https://issuer.example",
                "subject": subject,
                "audience": "api://AzureADTokenExchange",
                "jwks": false,
            }])
        );
    }
    let removed = send(&emulator, "DELETE", &federated, None).await;
    assert_eq!(removed.body["federated_credentials"], json!([]));
    assert_eq!(
        send(&emulator, "DELETE", &federated, None).await.status,
        404
    );

    let unknown = send(&emulator, "GET", "/applications/nothing", None).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text("error").contains(demo::API_CLIENT_ID));
    let all = send(&emulator, "GET", "/applications", None).await;
    assert!(all.body.as_array().unwrap().len() >= 3);
}
