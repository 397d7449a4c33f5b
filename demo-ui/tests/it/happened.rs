//! The page that shows what became of a request, and of the token on the way.

use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::entra::SIGNATURE;
use crate::support::{World, list};

const FIRST: &str =
    "obo-validation;dur=0.21, obo-exchange;dur=41.5, obo-upstream;dur=8, obo-total;dur=50";
const CACHED: &str = "obo-validation;dur=0.03, obo-upstream;dur=7, obo-total;dur=8";

/// An answer that says where the time went, and what the token said that Resource Manager got.
fn explained(timing: &'static str) -> Response {
    let claims = json!({"aud": "https://arm.example", "scp": "user_impersonation", "appid": "api", "oid": "o"});
    let headers = [
        ("server-timing", timing.to_owned()),
        ("server-timing", "arm;dur=5.25".to_owned()),
        ("x-request-id", "id-of-the-request".to_owned()),
        (
            "x-demo-token-claims",
            URL_SAFE_NO_PAD.encode(claims.to_string()),
        ),
    ];
    let mut answer = list(&["One"]).into_response();
    for (name, value) in headers {
        answer.headers_mut().append(name, value.parse().unwrap());
    }
    answer
}

async fn world() -> World {
    let world = World::start().await;
    world.entra.set(|knobs| {
        knobs.access_claims = Some(json!({
            "aud": "api", "scp": "access_as_user", "azp": "ui", "oid": "o", "name": "<b>Alice</b>",
        }));
    });
    world
}

#[tokio::test]
async fn the_first_time_entra_id_is_in_the_picture_and_then_that_stays_beside_the_new_one() {
    let world = world().await;
    let browser = world.browser();
    world.api.answers(|_| explained(FIRST));
    world.sign_in(&browser, "alice").await;
    let page = browser.get("/what-happened").await;
    assert_eq!(page.status, 200);
    for text in [
        "This request",
        "On-Behalf-Of exchange",
        "41.5 ms",
        "5.2 ms",
        "0.21 ms",
        "8.0 ms",
        "<strong>50.0 ms</strong> passed at the gateway",
        "id-of-the-request",
        "<svg",
        "The same as a table",
        "What the exchange asks for",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ] {
        assert!(page.shows(text), "{text}");
    }
    assert!(!page.shows("Earlier, with the exchange"));
    assert!(!page.shows("This page can show more"), "it is all there");

    world.api.answers(|_| explained(CACHED));
    let page = browser.get("/what-happened").await;
    for text in [
        "Entra ID was not asked",
        "Earlier, with the exchange",
        "41.5 ms",
        "7.0 ms",
    ] {
        assert!(page.shows(text), "{text}");
    }
    // That exchange was somebody else's for another user.
    let other = world.browser();
    world.sign_in(&other, "bob").await;
    let page = other.get("/what-happened").await;
    assert!(page.shows("Entra ID was not asked"));
    assert!(
        !page.shows("What the exchange asks for"),
        "there was none of his"
    );
    assert!(!page.shows("Earlier, with the exchange") && !page.shows("41.5 ms"));
}

#[tokio::test]
async fn ui_08_what_the_exchange_changed_is_shown_and_no_token_is() {
    let world = world().await;
    let browser = world.browser();
    world.api.answers(|_| explained(FIRST));
    world.sign_in(&browser, "alice").await;
    let page = browser.get("/what-happened").await;
    for text in [
        ">https://arm.example<",
        ">access_as_user<",
        ">user_impersonation<",
        "azp / appid",
        ">changed<",
        ">same<",
        ">gone<",
        "Whom the token is for",
        "that is On-Behalf-Of",
        "&#60;b&#62;Alice&#60;/b&#62;",
    ] {
        assert!(page.shows(text), "{text}");
    }
    let token = world.api.seen()[0].token().to_owned();
    let payload = token.split('.').nth(1).unwrap();
    for secret in [SIGNATURE, payload, &token] {
        assert!(!page.shows(secret), "{secret}");
    }
}

#[tokio::test]
async fn an_api_that_explains_nothing_gets_a_small_picture_and_only_our_own_claims() {
    let world = world().await;
    let browser = world.browser();
    world.sign_in(&browser, "alice").await;
    let page = browser.get("/what-happened").await;
    assert!(page.shows("did not say") && page.shows(">access_as_user<"));
    // What matters comes first, and the rest can be opened.
    let (first, rest) = page.text.split_once("<summary>1 more claims").unwrap();
    assert!(first.contains("Whom the token is for") && first.contains(">access_as_user<"));
    assert!(rest.contains("<code>name</code>") && !first.contains("<code>name</code>"));
    assert!(!page.shows("Gateway</text>") && !page.shows(SIGNATURE));
    assert!(
        !page.shows("that is On-Behalf-Of") && !page.shows("What the exchange asks for"),
        "nobody knows whether it was"
    );
    // How both would say more stands beside it, and of each only where it says nothing.
    const GATEWAY: &str = "<code>server_timing = true</code>";
    const API: &str = "<code>demo-backend --explain</code>";
    assert!(page.shows(GATEWAY) && page.shows(API), "{}", page.text);
    world
        .api
        .answers(|_| ([("server-timing", "obo-total;dur=8")], list(&["One"])).into_response());
    let page = browser.get("/what-happened").await;
    assert!(!page.shows(GATEWAY) && page.shows(API), "{}", page.text);
    world.api.answers(|_| explained("other;dur=1"));
    let page = browser.get("/what-happened").await;
    assert!(page.shows(GATEWAY) && !page.shows(API), "{}", page.text);

    // A token that is no JWT has nothing to be read.
    let world = World::start().await;
    let browser = world.browser();
    world.sign_in(&browser, "alice").await;
    let page = browser.get("/what-happened").await;
    assert!(page.shows("not one that can be read") && page.shows("does not say which"));
    assert!(!page.shows("access-alice"));
    // The other token is known all the same, where the API tells.
    world.api.answers(|_| explained(FIRST));
    let page = browser.get("/what-happened").await;
    assert!(page.shows("not one that can be read") && page.shows(">https://arm.example<"));
    assert!(!page.shows("does not say which") && !page.shows("access-alice"));
}

#[tokio::test]
async fn it_needs_a_sign_in_and_comes_back_after_it() {
    let world = world().await;
    let browser = world.browser();
    let page = browser.get("/what-happened").await;
    let login = page.location().to_owned();
    assert_eq!(login, "/account/login?return=%2Fwhat-happened");
    let authorize = browser.get(&login).await.location().to_owned();
    let back = world.entra.approve(&authorize, "alice");
    assert_eq!(browser.get(&back).await.goes_on_to(), "/what-happened");
}
