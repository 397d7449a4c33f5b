//! Tokens are renewed without the user, once for everybody who needs one.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::entra::SCOPE;
use crate::support::World;

/// How many renewals there were.
pub(crate) fn renewals(world: &World) -> usize {
    let requests = world.entra.token_requests();
    let renewal =
        |form: &&std::collections::HashMap<String, String>| form["grant_type"] == "refresh_token";
    requests.iter().filter(renewal).count()
}

#[tokio::test]
async fn a_token_that_is_about_to_end_is_renewed_and_a_fresh_one_is_not() {
    let world = World::start().await;
    world.entra.set(|knobs| knobs.expires_in = 0);
    let browser = world.browser();
    // The stand-in takes every refresh token once: the app has to keep the new one.
    world.sign_in(&browser, "alice").await;
    browser.get("/").await;
    assert_eq!(renewals(&world), 2);
    world.entra.set(|knobs| knobs.expires_in = 3600);
    browser.get("/").await;
    browser.get("/").await;
    assert_eq!(renewals(&world), 3);

    let requests = world.entra.token_requests();
    assert_eq!(
        requests[1]["scope"],
        format!("{SCOPE} openid profile offline_access")
    );
    let tokens: Vec<_> = world
        .api
        .seen()
        .iter()
        .map(|seen| seen.token().to_owned())
        .collect();
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(tokens[2], tokens[3]);
}

#[tokio::test]
async fn many_requests_at_once_share_one_renewal() {
    let world = World::start().await;
    world.entra.set(|knobs| knobs.expires_in = 0);
    let browser = world.browser();
    let authorize = world.begin(&browser).await;
    browser.get(&world.entra.approve(&authorize, "alice")).await;
    world.entra.set(|knobs| knobs.expires_in = 3600);

    let pages = tokio::join!(
        browser.get("/"),
        browser.get("/"),
        browser.get("/raw"),
        browser.get("/"),
        browser.get("/raw"),
    );
    for page in [pages.0, pages.1, pages.2, pages.3, pages.4] {
        assert_eq!(page.status, 200);
    }
    assert_eq!(renewals(&world), 1);
}

#[tokio::test]
async fn a_browser_that_goes_away_does_not_take_the_new_tokens_with_it() {
    let world = World::start().await;
    world.entra.set(|knobs| knobs.expires_in = 0);
    let browser = world.browser();
    let authorize = world.begin(&browser).await;
    browser.get(&world.entra.approve(&authorize, "alice")).await;
    world.entra.set(|knobs| {
        knobs.expires_in = 3600;
        knobs.slow = Duration::from_millis(800);
    });
    let asked = async {
        while renewals(&world) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        page = browser.get("/") => panic!("it was to go away meanwhile: {}", page.text),
        asked = timeout(Duration::from_secs(30), asked) => asked.expect("its refresh token is used up"),
    }
    let page = browser.get("/").await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(renewals(&world), 1);
}

#[tokio::test]
async fn a_renewal_that_needs_the_user_leads_to_a_sign_in() {
    let world = World::start().await;
    world.entra.set(|knobs| knobs.expires_in = 0);
    let browser = world.browser();
    let authorize = world.begin(&browser).await;
    browser.get(&world.entra.approve(&authorize, "alice")).await;
    world.entra.set(|knobs| {
        knobs.token_answer = Some(Box::new(|| {
            let error = json!({"error": "invalid_grant", "error_codes": [700_082]});
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }));
    });
    let page = browser.get("/").await;
    assert_eq!(page.status, 401);
    assert!(page.shows("Sign in again") && page.shows("/account/login"));
    assert!(world.api.seen().is_empty());
}

#[tokio::test]
async fn a_renewal_that_asks_for_claims_takes_them_to_the_sign_in() {
    let world = World::start().await;
    world.entra.set(|knobs| knobs.expires_in = 0);
    let browser = world.browser();
    let authorize = world.begin(&browser).await;
    browser.get(&world.entra.approve(&authorize, "alice")).await;
    world.entra.set(|knobs| {
        knobs.token_answer = Some(Box::new(|| {
            let error =
                json!({"error": "interaction_required", "claims": r#"{"access_token":{}}"#});
            (StatusCode::BAD_REQUEST, Json(error)).into_response()
        }));
    });
    let page = browser.get("/raw").await;
    let request = world.entra.request(page.location());
    assert_eq!(request["claims"], r#"{"access_token":{}}"#);
    assert_eq!(request["login_hint"], "alice@contoso.example");
}

#[tokio::test]
async fn without_a_refresh_token_the_access_token_is_used_until_the_api_refuses_it() {
    let world = World::start().await;
    world.entra.set(|knobs| knobs.refresh_tokens = false);
    let browser = world.browser();
    assert_eq!(world.sign_in(&browser, "alice").await.status, 200);
    world
        .api
        .answers(|_| StatusCode::UNAUTHORIZED.into_response());
    let page = browser.get("/").await;
    assert_eq!(page.status, 401);
    assert!(page.shows("Sign in again"));
    assert_eq!(renewals(&world), 0);
}
