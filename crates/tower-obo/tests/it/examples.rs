//! The examples, run: what they show works.

#[allow(dead_code, reason = "its `main` listens on a port of its own")]
#[path = "../../examples/axum.rs"]
mod one_api;
#[allow(dead_code, reason = "its `main` listens on a port of its own")]
#[path = "../../examples/two_apis.rs"]
mod two_apis;

use axum::{Router, body::Body};
use entra_emulator::{Emulator, Endpoint, Fault, demo};
use http::{
    Request, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tower_obo::{Credential, Entra, OboLayer, OboLayerBuilder};

fn layer(emulator: &Emulator) -> OboLayerBuilder {
    let entra = Entra::tenant(demo::CONTOSO).authority(emulator.url());
    let secret = Credential::secret(demo::API_CLIENT_SECRET);
    OboLayer::builder(entra).client(demo::API_CLIENT_ID, secret)
}

fn one_api(emulator: &Emulator) -> Router {
    let arm = one_api::Arm {
        url: emulator.arm_url().to_owned(),
        client: reqwest::Client::new(),
    };
    one_api::app(layer(emulator), arm).unwrap()
}

fn two_apis(emulator: &Emulator) -> Router {
    let apis = two_apis::Apis {
        arm: emulator.arm_url().to_owned(),
        graph: emulator.graph_url().to_owned(),
        client: reqwest::Client::new(),
    };
    two_apis::app(layer(emulator), apis).unwrap()
}

async fn service() -> (Emulator, Router) {
    let emulator = Emulator::builder().start().await.unwrap();
    let app = two_apis(&emulator);
    (emulator, app)
}

async fn answer(app: &Router, path: &str, token: &str) -> http::Response<Body> {
    let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {token}"));
    let request = request.body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap()
}

async fn get(app: &Router, path: &str, token: &str) -> (StatusCode, Value) {
    let answer = answer(app, path, token).await;
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn each_handler_exchanges_for_the_apis_that_it_calls() {
    let (emulator, app) = service().await;
    let token = emulator.user_token("alice");
    for (path, exchanges) in [("/subscriptions", 1), ("/me", 2), ("/overview", 2)] {
        let (status, body) = get(&app, path, &token).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        assert_eq!(emulator.count(Endpoint::Token), exchanges, "{path}");
        if path != "/me" {
            let list = body.get("subscriptions").unwrap_or(&body);
            assert!(!list["value"].as_array().unwrap().is_empty(), "{body}");
        }
        if path != "/subscriptions" {
            let user = body.get("user").unwrap_or(&body);
            assert!(user["displayName"].is_string(), "{body}");
        }
    }
}

#[tokio::test]
async fn a_refusal_of_one_api_refuses_only_who_needs_it() {
    let (emulator, app) = service().await;
    emulator.update_directory(|directory| {
        let consents = &mut directory.consents;
        consents.retain(|consent| consent.resource != demo::GRAPH_CLIENT_ID);
    });
    let token = emulator.user_token("alice");
    assert_eq!(get(&app, "/subscriptions", &token).await.0, StatusCode::OK);
    for path in ["/me", "/overview"] {
        let (status, problem) = get(&app, path, &token).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        let kind = problem["type"].as_str().unwrap();
        assert!(kind.ends_with("consent-required"), "{problem}");
    }
}

#[tokio::test]
async fn ex_12_a_challenge_of_an_api_reaches_the_client_and_its_token_is_not_sent_again() {
    let challenge = r#"Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ==""#;
    for (name, example) in [
        ("axum", one_api as fn(&Emulator) -> Router),
        ("two_apis", two_apis),
    ] {
        let emulator = Emulator::builder().start().await.unwrap();
        let app = example(&emulator);
        let token = emulator.user_token("alice");
        let fault = Fault::status(401).header("www-authenticate", challenge);
        emulator.fail(Endpoint::Arm, fault, 1);
        for round in 0..2 {
            let answer = answer(&app, "/subscriptions", &token).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{name}");
            let said = answer.headers()[WWW_AUTHENTICATE].to_str().unwrap();
            assert!(said.contains("insufficient_claims"), "{name}: {said}");
            assert!(
                said.contains("eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="),
                "{name}: {said}"
            );
            assert_eq!(emulator.count(Endpoint::Arm), 1, "{name}, round {round}");
        }
        // What the user proved stands in a token of their own.
        let fresh = emulator.user_token("alice");
        assert_eq!(get(&app, "/subscriptions", &fresh).await.0, StatusCode::OK);
        assert_eq!(emulator.count(Endpoint::Token), 2, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_of_an_api_that_asks_for_nothing_is_passed_on_as_it_is() {
    for example in [one_api as fn(&Emulator) -> Router, two_apis] {
        let emulator = Emulator::builder().start().await.unwrap();
        let app = example(&emulator);
        let token = emulator.user_token("alice");
        // A 401 without claims drops the token.
        for (status, exchanges) in [(403, 1), (500, 1), (401, 1), (403, 2)] {
            emulator.fail(Endpoint::Arm, Fault::status(status), 1);
            let answer = answer(&app, "/subscriptions", &token).await;
            assert_eq!(answer.status().as_u16(), status);
            assert!(!answer.headers().contains_key(WWW_AUTHENTICATE));
            assert_eq!(emulator.count(Endpoint::Token), exchanges, "{status}");
        }
    }
}
