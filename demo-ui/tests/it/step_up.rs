//! The API asks for a stronger sign-in (claims challenge).

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use crate::support::{World, list};

const CLAIMS: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
const BASE64: &str = "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19";

fn challenge() -> Response {
    let value = format!(
        r#"Bearer realm="", authorization_uri="https://login.example/authorize", error="insufficient_claims", claims="{BASE64}""#
    );
    (StatusCode::UNAUTHORIZED, [("www-authenticate", value)]).into_response()
}

#[tokio::test]
async fn a_challenge_leads_straight_to_a_sign_in_with_its_claims_and_back() {
    let world = World::start().await;
    let browser = world.browser();
    world.sign_in(&browser, "carol").await;
    world.api.answers(|_| challenge());
    let page = browser.get("/raw").await;
    let authorize = page.location().to_owned();
    let request = world.entra.request(&authorize);
    assert_eq!(request["claims"], CLAIMS);
    assert_eq!(request["login_hint"], "carol@contoso.example");

    world.api.answers(|_| list(&["Restricted"]));
    let back = world.entra.approve(&authorize, "carol");
    assert_eq!(browser.get(&back).await.goes_on_to(), "/raw");
    assert!(browser.get("/raw").await.shows("Restricted"));
    let requests = world.entra.token_requests();
    assert_eq!(requests.last().unwrap()["claims"], CLAIMS);
}

#[tokio::test]
async fn an_api_that_is_never_content_does_not_send_the_user_round_in_circles() {
    let world = World::start().await;
    world.api.answers(|_| challenge());
    let browser = world.browser();
    let mut page = world.sign_in(&browser, "carol").await;
    let mut sign_ins = 1;
    while page.status == 303 {
        let authorize = page.location().to_owned();
        page = world.finish(&browser, &authorize, "carol").await;
        sign_ins += 1;
        assert!(sign_ins < 10, "a loop");
    }
    assert_eq!(sign_ins, 3);
    assert_eq!(page.status, 403);
    assert!(page.shows("still asks for more") && page.shows("Sign in again"));
    assert!(page.shows("emulator&#39;s home page") && !page.shows("Microsoft"));
    assert!(
        page.shows("Use another account"),
        "a policy may be of this one"
    );
    assert!(page.shows("acrs"), "what it asks for: {}", page.text);

    // Once it is content, the next challenge is followed again.
    world.api.answers(|_| list(&["fine"]));
    assert_eq!(browser.get("/").await.status, 200);
    world.api.answers(|_| challenge());
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test]
async fn a_stronger_sign_in_that_was_cancelled_is_begun_again_only_when_asked_for() {
    let world = World::start().await;
    world.api.answers(|_| challenge());
    let browser = world.browser();
    let page = world.sign_in(&browser, "carol").await;
    let cancelled = [
        ("error", "access_denied"),
        ("error_description", "AADSTS50126: The user cancelled."),
    ];
    let back = world.entra.refuse(page.location(), &cancelled);
    // Right after it, and when the user comes back to the list: no round trip.
    for path in [back.as_str(), "/", "/raw"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 403, "{path}");
        assert!(page.shows("needs the second factor"), "{path}");
        assert!(page.shows("Try again") && page.shows("Use another account"));
        assert!(page.shows("Sign out"), "carol is signed in");
    }
    let again = browser.get("/account/login?step-up").await;
    let authorize = again.location();
    assert_eq!(world.entra.request(authorize)["claims"], CLAIMS);

    world.api.answers(|_| list(&["Restricted"]));
    let back = world.entra.approve(authorize, "carol");
    assert_eq!(browser.get(&back).await.goes_on_to(), "/raw");
    assert!(browser.get("/").await.shows("Restricted"));
    // The next challenge is another matter.
    world.api.answers(|_| challenge());
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test]
async fn another_account_is_chosen_at_the_identity_provider() {
    let world = World::start().await;
    let browser = world.browser();
    let page = browser.get("/account/login?prompt=select_account").await;
    let request = world.entra.request(page.location());
    assert_eq!(request["prompt"], "select_account");
    // Nothing else is passed on.
    for path in ["/account/login?prompt=none", "/account/login?step-up"] {
        let page = browser.get(path).await;
        assert!(!world.entra.request(page.location()).contains_key("prompt"));
    }
}
