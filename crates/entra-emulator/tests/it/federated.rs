//! Applications for which another issuer's tokens stand: workload identity federation.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::routing::get;
use entra_emulator::directory::FederatedCredential;
use entra_emulator::{Directory, Emulator, Endpoint, Signer, demo};
use serde_json::{Value, json};

use crate::client_certificate::{JWT_BEARER, now};
use crate::support::{Answer, claims_of, exchange, obo_form, start_with, trusting};

const SUBJECT: &str = "system:serviceaccount:shop:Api";
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// An emulator whose API has this federated credential and nothing else.
async fn federated(credential: FederatedCredential) -> Emulator {
    let mut directory = Directory::demo();
    let api = directory.application_mut(demo::API_CLIENT_ID).unwrap();
    api.secrets.clear();
    api.set_federated(credential);
    start_with(directory).await
}

fn claims(issuer: &str) -> Value {
    json!({
        "aud": AUDIENCE,
        "iss": issuer,
        "sub": SUBJECT,
        "iat": now(),
        "exp": now() + 3_600,
    })
}

fn sign(signer: &Signer, claims: &Value) -> String {
    signer.sign(&json!({"alg": "RS256", "kid": signer.kid()}), claims)
}

fn with(mut value: Value, name: &str, member: impl Into<Value>) -> Value {
    value[name] = member.into();
    value
}

async fn present(emulator: &Emulator, assertion: &str) -> Answer {
    let user = emulator.user_token("alice");
    let changes = [
        ("client_secret", ""),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ];
    exchange(emulator, &user, &changes).await
}

/// Another identity provider, with documents that a test changes.
struct Issuer {
    url: String,
    documents: Arc<Mutex<(Value, Value)>>,
}

impl Issuer {
    async fn start(jwks: Value) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        let documents = Arc::new(Mutex::new((discovery, jwks)));
        let (one, other) = (documents.clone(), documents.clone());
        let router = axum::Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(async move || Json(one.lock().unwrap().0.clone())),
            )
            .route(
                "/keys",
                get(async move || Json(other.lock().unwrap().1.clone())),
            )
            .route(
                "/moved",
                get(async || axum::response::Redirect::temporary("/keys")),
            );
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, documents }
    }

    fn set_discovery(&self, discovery: Value) {
        self.documents.lock().unwrap().0 = discovery;
    }

    fn set_jwks(&self, jwks: Value) {
        self.documents.lock().unwrap().1 = jwks;
    }
}

#[tokio::test]
async fn a_token_of_a_registered_issuer_stands_for_the_application() {
    let signer = Signer::generate().unwrap();
    // Nobody asks an issuer whose keys are registered: this one isn't there.
    let issuer = "https://issuer.example/cluster/";
    let credential = FederatedCredential::new("cluster", issuer, SUBJECT).jwks(signer.jwks());
    let emulator = federated(credential).await;
    for audience in [json!(AUDIENCE), json!([AUDIENCE])] {
        let claims = with(claims(issuer), "aud", audience);
        let answer = present(&emulator, &sign(&signer, &claims)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let token = claims_of(answer.text("access_token"));
        assert_eq!(token["appidacr"], "2");
    }
}

#[tokio::test]
async fn issuer_subject_and_audience_are_compared_exactly() {
    let signer = Signer::generate().unwrap();
    let issuer = "https://issuer.example";
    let credential = FederatedCredential::new("cluster", issuer, SUBJECT).jwks(signer.jwks());
    let emulator = federated(credential).await;
    for (name, value, code) in [
        ("iss", "https://issuer.example/", 700_211),
        ("iss", "https://other.example", 700_211),
        ("sub", "system:serviceaccount:shop:other", 700_213),
        ("sub", "", 700_213),
        ("sub", "system:serviceaccount:shop:api", 7_002_138),
        ("aud", "api://azureadtokenexchange", 700_212),
        ("aud", demo::API_CLIENT_ID, 700_212),
    ] {
        let claims = with(claims(issuer), name, value);
        present(&emulator, &sign(&signer, &claims))
            .await
            .assert_refused(401, "invalid_client", code);
    }
}

#[tokio::test]
async fn another_audience_can_be_registered() {
    let signer = Signer::generate().unwrap();
    let issuer = "https://issuer.example";
    let credential = FederatedCredential::new("cluster", issuer, SUBJECT)
        .audience("api://AzureADTokenExchangeUSGov")
        .jwks(signer.jwks());
    let emulator = federated(credential).await;
    let good = with(claims(issuer), "aud", "api://AzureADTokenExchangeUSGov");
    assert_eq!(present(&emulator, &sign(&signer, &good)).await.status, 200);
    present(&emulator, &sign(&signer, &claims(issuer)))
        .await
        .assert_refused(401, "invalid_client", 700_212);
}

#[tokio::test]
async fn a_token_that_its_issuer_did_not_sign_or_that_is_over_is_refused() {
    let (signer, other) = (Signer::generate().unwrap(), Signer::generate().unwrap());
    let issuer = "https://issuer.example";
    let credential = FederatedCredential::new("cluster", issuer, SUBJECT).jwks(signer.jwks());
    let emulator = federated(credential).await;
    let good = claims(issuer);
    let forged = other.sign(&json!({"alg": "RS256", "kid": signer.kid()}), &good);
    let pss = signer.sign(&json!({"alg": "PS256", "kid": signer.kid()}), &good);
    let nameless = signer.sign(&json!({"alg": "RS256"}), &good);
    for (assertion, code) in [
        (sign(&other, &good), 7_000_272),
        (nameless, 7_000_272),
        (forged, 700_027),
        (pss, 700_027),
        (
            sign(&signer, &with(good.clone(), "exp", now() - 1)),
            700_024,
        ),
        (
            sign(&signer, &with(good.clone(), "nbf", now() + 900)),
            700_024,
        ),
    ] {
        present(&emulator, &assertion)
            .await
            .assert_refused(401, "invalid_client", code);
    }
}

#[tokio::test]
async fn keys_come_from_the_issuers_discovery_and_a_rotation_is_seen_at_once() {
    let (old, new) = (Signer::generate().unwrap(), Signer::generate().unwrap());
    let issuer = Issuer::start(old.jwks()).await;
    let credential = FederatedCredential::new("cluster", &issuer.url, SUBJECT);
    let emulator = federated(credential).await;
    let claims = claims(&issuer.url);
    let status = async |signer| present(&emulator, &sign(signer, &claims)).await.status;
    assert_eq!((status(&old).await, status(&new).await), (200, 401));
    issuer.set_jwks(new.jwks());
    assert_eq!((status(&old).await, status(&new).await), (401, 200));
}

#[tokio::test]
async fn an_issuer_that_gives_no_keys_is_said_to_be_unreachable() {
    let signer = Signer::generate().unwrap();
    let issuer = Issuer::start(signer.jwks()).await;
    let credential = FederatedCredential::new("cluster", &issuer.url, SUBJECT);
    let emulator = federated(credential).await;
    let url = &issuer.url;
    for (discovery, reason) in [
        (
            json!({"issuer": "http://127.0.0.1:1", "jwks_uri": format!("{url}/keys")}),
            "of another issuer",
        ),
        (json!({"issuer": url}), "has no jwks_uri"),
        (
            json!({"issuer": url, "jwks_uri": "https://keys.example/"}),
            "is not on loopback",
        ),
        (
            json!({"issuer": url, "jwks_uri": format!("{url}/nothing")}),
            "404",
        ),
        (
            json!({"issuer": url, "jwks_uri": format!("{url}/moved")}),
            "no JSON",
        ),
    ] {
        issuer.set_discovery(discovery);
        let answer = present(&emulator, &sign(&signer, &claims(url))).await;
        answer.assert_refused(400, "invalid_request", 50_166);
        let description = answer.text("error_description");
        assert!(description.contains(reason), "{description}");
    }
}

#[tokio::test]
async fn nobody_but_this_machine_is_asked_for_keys() {
    let signer = Signer::generate().unwrap();
    let issuer = "https://issuer.example";
    let emulator = federated(FederatedCredential::new("cluster", issuer, SUBJECT)).await;
    let answer = present(&emulator, &sign(&signer, &claims(issuer))).await;
    answer.assert_refused(400, "invalid_request", 50_166);
    let description = answer.text("error_description");
    assert!(description.contains("is not on loopback"), "{description}");
}

#[tokio::test]
async fn a_managed_identitys_token_stands_for_an_application_on_both_bases() {
    let emulator = Emulator::builder().https().start().await.unwrap();
    let identity = "1de00000-0000-4000-8000-00000000001d";
    for base in [emulator.url(), emulator.https_url().unwrap()] {
        emulator.update_directory(|directory| {
            let api = directory.application_mut(demo::API_CLIENT_ID).unwrap();
            let issuer = format!("{base}/{}/v2.0", demo::CONTOSO);
            api.set_federated(FederatedCredential::new(base, issuer, identity));
        });
    }
    emulator.grant_consent("alice");
    for secure in [false, true] {
        let base = |token: entra_emulator::TokenBuilder| if secure { token.https() } else { token };
        let assertion = base(emulator.token())
            .app_only()
            .claim("aud", AUDIENCE)
            .claim("sub", identity)
            .sign();
        let user = base(emulator.token()).sign();
        let mut form = obo_form(&user);
        form.retain(|(name, _)| *name != "client_secret");
        form.push(("client_assertion_type", JWT_BEARER));
        form.push(("client_assertion", &assertion));
        let url = if secure {
            let base = emulator.https_url().unwrap();
            format!("{base}/{}/oauth2/v2.0/token", demo::CONTOSO)
        } else {
            emulator.token_url(demo::CONTOSO)
        };
        let answer = trusting(&emulator).post(url).form(&form).send().await;
        let answer = Answer::of(answer.unwrap()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(emulator.count(Endpoint::Discovery), 2, "it asked itself");
}
