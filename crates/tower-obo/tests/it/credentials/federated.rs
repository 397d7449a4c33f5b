//! A federated token: from a file that Kubernetes projects, from a managed identity, and from a
//! closure.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::get};
use entra_emulator::{Emulator, Endpoint, Fault, Signer, directory::FederatedCredential};
use http::StatusCode;
use serde_json::{Value, json};
use tower_obo::{Clock, Credential, ManagedIdentity, Secret};

use super::kit::{Load, Volume, assertions, register_api, world_with};
use crate::fixture::World;

const ISSUER: &str = "https://oidc.cluster.example/";
const SUBJECT: &str = "system:serviceaccount:shop:api";

fn token(signer: &Signer, id: u64) -> String {
    let now = tower_obo::SystemClock.now().as_unix();
    signer.sign(
        &json!({"alg": "RS256", "kid": signer.kid()}),
        &json!({
            "aud": ["api://AzureADTokenExchange"],
            "iss": ISSUER,
            "sub": SUBJECT,
            "iat": now,
            "exp": now + 3600,
            "jti": id.to_string(),
        }),
    )
}

/// The issuer's keys from now on.
fn trust(entra: &Emulator, keys: &[&Signer]) {
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| key.jwks()["keys"][0].clone())
        .collect();
    register_api(entra, |api| {
        let credential = FederatedCredential::new("cluster", ISSUER, SUBJECT);
        api.set_federated(credential.jwks(json!({"keys": keys})));
    });
}

async fn federated(signer: &Signer, credential: Credential) -> World {
    let world = world_with(credential, |_| {}).await;
    trust(&world.entra, &[signer]);
    world
}

#[tokio::test]
async fn a_projected_token_is_the_client_assertion() {
    let signer = Signer::generate().unwrap();
    let first = token(&signer, 1);
    let volume = Volume::with("token", &first);
    let world = federated(&signer, Credential::federated_token_file(volume.path())).await;
    world
        .accepted("first", &world.entra.user_token("alice"))
        .await;
    let second = token(&signer, 2);
    volume.put(&second);
    world
        .accepted("second", &world.entra.user_token("alice"))
        .await;
    assert_eq!(assertions(&world), [first, second]);
}

/// The file looks as before: only a refusal tells that there is something else in it.
#[tokio::test]
async fn ex_05_a_federated_token_that_is_refused_is_read_again_and_sent_once_more() {
    let signer = Signer::generate().unwrap();
    let volume = Volume::with("token", token(&signer, 100));
    let world = federated(&signer, Credential::federated_token_file(volume.path())).await;
    world
        .accepted("first", &world.entra.user_token("alice"))
        .await;
    let codes = [
        70021, 70025, 700_024, 700_211, 700_212, 700_213, 700_223, 700_229, 700_238, 7_002_137,
        7_002_138,
    ];
    for (id, code) in (101..).zip(codes) {
        let before = assertions(&world).len();
        let fault = json!({"error": "invalid_client", "error_codes": [code]});
        let fault = Fault::status(401).json(&fault);
        world.entra.fail(Endpoint::Token, fault, 1);
        let next = token(&signer, id);
        volume.put_looking_alike(&next);
        let caller = world.entra.user_token("alice");
        world.accepted(&code.to_string(), &caller).await;
        let sent = assertions(&world);
        assert_eq!(sent.len(), before + 2, "{code}");
        assert_ne!(sent[before], next, "{code}: it had looked as before");
        assert_eq!(sent[before + 1], next, "{code}");
    }
}

#[tokio::test]
async fn cf_06_a_token_file_that_stays_empty_is_503_once_the_last_token_has_expired() {
    let signer = Signer::generate().unwrap();
    let volume = Volume::with("token", token(&signer, 1));
    let world = federated(&signer, Credential::federated_token_file(volume.path())).await;
    world
        .accepted("first", &world.entra.user_token("alice"))
        .await;
    volume.put("");
    world
        .accepted("the last good one", &world.entra.user_token("alice"))
        .await;
    world.clock.advance(Duration::from_secs(3600));
    let caller = world.entra.token().expires_in(7200).sign();
    let answer = world.get(&caller).await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        answer.body
    );
    answer.does_not_hold("/token", "the path");
}

/// The issuer's keys change, and what was signed with the old ones is refused at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cf_06_projected_tokens_rotate_while_requests_flow_and_none_fails() {
    rotate(|volume, token| volume.put(token)).await;
}

/// Nothing but the refusal tells that there is a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cf_06_tokens_that_are_replaced_unseen_rotate_while_requests_flow_and_none_fails() {
    rotate(|volume, token| volume.put_looking_alike(token)).await;
}

async fn rotate(put: impl Fn(&Volume, String)) {
    let mut signer = Signer::generate().unwrap();
    let volume = Volume::with("token", token(&signer, 10));
    let credential = Credential::federated_token_file(volume.path());
    let world = Arc::new(federated(&signer, credential).await);
    let load = Load::on(&world);
    for id in 11..=14 {
        load.goes_on().await;
        let next = Signer::generate().unwrap();
        trust(&world.entra, &[&signer, &next]);
        load.goes_on().await;
        put(&volume, token(&next, id));
        trust(&world.entra, &[&next]);
        signer = next;
    }
    load.goes_on().await;
    let requests = load.end().await;
    assert!(requests >= 4 * 8, "{requests}");
}

/// The platform has another token from one moment to the next, and Entra ID takes the old one no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ex_05_tokens_of_a_managed_identity_change_while_requests_flow_and_none_fails() {
    let mut signer = Signer::generate().unwrap();
    let given = Arc::new(Mutex::new(token(&signer, 10)));
    let answer = |State(given): State<Arc<Mutex<String>>>| async move {
        let token = given.lock().unwrap().clone();
        Json(json!({"access_token": token, "expires_in": "86399", "token_type": "Bearer"}))
    };
    let imds = Router::new()
        .route("/metadata/identity/oauth2/token", get(answer))
        .with_state(Arc::clone(&given));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, imds).await.unwrap() });
    let identity = ManagedIdentity::from_lookup(|name| {
        (name == "AZURE_POD_IDENTITY_AUTHORITY_HOST").then(|| host.clone())
    });
    let credential = Credential::managed_identity(identity);
    let world = Arc::new(federated(&signer, credential).await);
    let load = Load::on(&world);
    for id in 11..=14 {
        load.goes_on().await;
        let next = Signer::generate().unwrap();
        *given.lock().unwrap() = token(&next, id);
        trust(&world.entra, &[&next]);
        signer = next;
    }
    load.goes_on().await;
    let requests = load.end().await;
    assert!(requests >= 4 * 8, "{requests}");
    assert_eq!(
        assertions(&world).pop(),
        Some(given.lock().unwrap().clone())
    );
    drop(signer);
    server.abort();
}

#[tokio::test]
async fn the_token_of_a_managed_identity_is_the_client_assertion() {
    let signer = Signer::generate().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let jwt = token(&signer, 1);
    let answer = json!({"access_token": jwt, "expires_in": "3599", "token_type": "Bearer"});
    let imds = Router::new()
        .route(
            "/metadata/identity/oauth2/token",
            get(
                |State(asked): State<Arc<Mutex<Vec<HeaderMap>>>>, headers: HeaderMap| async move {
                    asked.lock().unwrap().push(headers);
                    Json(answer)
                },
            ),
        )
        .with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async { axum::serve(listener, imds).await.unwrap() });

    let identity = ManagedIdentity::from_lookup(|name| {
        (name == "AZURE_POD_IDENTITY_AUTHORITY_HOST").then(|| host.clone())
    });
    let world = federated(&signer, Credential::managed_identity(identity)).await;
    for user in ["alice", "bob"] {
        world.accepted(user, &world.entra.user_token(user)).await;
    }
    assert_eq!(assertions(&world), [jwt.clone(), jwt]);
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(asked.lock().unwrap()[0]["metadata"], "true");
    server.abort();
}

#[tokio::test]
async fn a_closure_gives_client_assertions() {
    let signer = Arc::new(Signer::generate().unwrap());
    let given = Arc::clone(&signer);
    let credential = Credential::assertion(move || {
        let jwt = token(&given, 7);
        async move { Ok(Secret::from(jwt)) }
    });
    let world = federated(&signer, credential).await;
    world
        .accepted("alice", &world.entra.user_token("alice"))
        .await;

    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    let nonsense = Credential::assertion(move || {
        *counted.lock().unwrap() += 1;
        async { Ok(Secret::from("nonsense")) }
    });
    let world = federated(&signer, nonsense).await;
    let answer = world.get(&world.entra.user_token("alice")).await;
    // Entra ID's code is the one for a caller's token, too (AADSTS50027), which is good here.
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{}", answer.body);
    assert_eq!(answer.problem_type(), "gateway-misconfigured");
    assert_eq!((assertions(&world).len(), *calls.lock().unwrap()), (2, 2));

    // It may be about one caller's token for all that, and holds back nobody else.
    let given = Arc::clone(&signer);
    let credential = Credential::assertion(move || {
        let jwt = token(&given, 8);
        async move { Ok(Secret::from(jwt)) }
    });
    let world = federated(&signer, credential).await;
    let fault =
        Fault::status(400).json(&json!({"error": "invalid_request", "error_codes": [50027]}));
    world.entra.fail(Endpoint::Token, fault, 2);
    let answer = world.get(&world.entra.user_token("alice")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{}", answer.body);
    world.accepted("bob", &world.entra.user_token("bob")).await;

    let broken = Credential::assertion(|| async { Err("no vault today".into()) });
    let world = federated(&signer, broken).await;
    let answer = world.get(&world.entra.user_token("alice")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    answer.does_not_hold("vault", "what the closure says");
    assert_eq!(world.exchanges_asked(), 0);
}
