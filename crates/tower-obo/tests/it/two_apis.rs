//! The example with two APIs, run: what it shows works.

#[allow(dead_code, reason = "its `main` listens on a port of its own")]
#[path = "../../examples/two_apis.rs"]
mod example;

use axum::{Router, body::Body};
use entra_emulator::{Emulator, Endpoint, demo};
use http::{Request, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use tower_obo::{Credential, Entra, OboLayer};

use self::example::{Apis, app};

async fn service() -> (Emulator, Router) {
    let emulator = Emulator::builder().start().await.unwrap();
    let entra = Entra::tenant(demo::CONTOSO).authority(emulator.url());
    let secret = Credential::secret(demo::API_CLIENT_SECRET);
    let builder = OboLayer::builder(entra).client(demo::API_CLIENT_ID, secret);
    let apis = Apis {
        arm: emulator.arm_url().to_owned(),
        graph: emulator.graph_url().to_owned(),
        client: reqwest::Client::new(),
    };
    let app = app(builder, apis).unwrap();
    (emulator, app)
}

async fn get(app: &Router, path: &str, token: &str) -> (StatusCode, Value) {
    let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {token}"));
    let request = request.body(Body::empty()).unwrap();
    let answer = app.clone().oneshot(request).await.unwrap();
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
