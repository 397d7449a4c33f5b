//! Every failure is a page that says what happened and how to go on.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{LOOPBACK, World, nobody, url_of};

#[tokio::test]
async fn a_problem_of_the_gateway_is_shown_in_its_words() {
    let world = World::start().await;
    world.api.answers(|_| {
        let problem = json!({
            "type": "https://problems.example/consent-required",
            "title": "Consent <is> missing",
            "status": 403,
            "detail": "An administrator has to agree.",
            "correlation_id": "c0ffee",
        });
        let headers = [("content-type", "application/problem+json")];
        (StatusCode::FORBIDDEN, headers, problem.to_string()).into_response()
    });
    let page = world.sign_in(&world.browser(), "alice").await;
    assert_eq!(page.status, 403);
    for text in [
        "Consent &#60;is&#62; missing",
        "An administrator has to agree.",
        "c0ffee",
        "consent-required",
        "<dt>Correlation ID</dt>",
        "<summary>More for whoever looks into it</summary>",
        "<dt>Kind of problem</dt>",
        "Try again",
        "Sign out",
    ] {
        assert!(page.shows(text), "{text}");
    }
}

#[tokio::test]
async fn a_busy_api_says_when_to_come_back() {
    for (status, retry_after, text) in [
        (429, "17", "Try again in 17 seconds."),
        (503, "600", "Try again in 10 minutes."),
        (
            503,
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "Try again after Wed, 21 Oct 2026",
        ),
    ] {
        let world = World::start().await;
        world.api.answers(move |_| {
            let status = StatusCode::from_u16(status).unwrap();
            let error = json!({"error": {"code": "TooManyRequests", "message": "Slow down."}});
            let headers = [("retry-after", retry_after), ("x-request-id", "r-17")];
            (status, headers, Json(error)).into_response()
        });
        let page = world.sign_in(&world.browser(), "alice").await;
        assert_eq!(page.status, status);
        assert_eq!(page.headers["retry-after"], retry_after);
        assert!(page.shows(text), "{}", page.text);
        assert!(page.shows("Slow down."));
        assert!(page.shows("<dt>Request ID</dt><dd>r-17</dd>"));
    }
}

#[tokio::test]
async fn a_failure_leads_back_to_the_page_it_was_on() {
    let world = World::start().await;
    let browser = world.browser();
    world.sign_in(&browser, "alice").await;
    for (page, login) in [
        ("/", "/account/login"),
        ("/raw", "/account/login?return=%2Fraw"),
        ("/what-happened", "/account/login?return=%2Fwhat-happened"),
    ] {
        for (status, label, way) in [
            (429, "Try again", page),
            (403, "Try again", page),
            (403, "Sign in again", login),
            (401, "Sign in again", login),
            (500, "Try again", page),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            world.api.answers(move |_| status.into_response());
            let shown = browser.get(page).await;
            let link = format!(r#"href="{way}">{label}"#);
            assert!(shown.shows(&link), "{status} on {page}: {}", shown.text);
        }
    }
    // A sign-in that fails is begun anew, and leads to where it should have led.
    let world = World::start().await;
    world.entra.set(|knobs| knobs.discovery_fails = true);
    let page = world.browser().get("/account/login?return=%2Fraw").await;
    assert!(
        page.shows(r#"href="/account/login?return=%2Fraw">Try again"#),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn a_refused_token_leads_to_a_sign_in() {
    let world = World::start().await;
    world.api.answers(|_| {
        let challenge = [("www-authenticate", "Bearer error=\"invalid_token\"")];
        (StatusCode::UNAUTHORIZED, challenge).into_response()
    });
    let page = world.sign_in(&world.browser(), "alice").await;
    assert_eq!(page.status, 401);
    assert!(page.shows(r#"href="/account/login">Sign in again"#));
}

#[tokio::test]
async fn an_api_that_makes_no_sense_is_a_page_too() {
    let world = World::start().await;
    let browser = world.browser();
    world.sign_in(&browser, "alice").await;
    for body in [
        "<html>",
        "",
        "[",
        "7",
        r#"{"value":7}"#,
        r#"{"value":[]"#,
        "\u{0}",
    ] {
        world.api.answers(move |_| body.into_response());
        let page = browser.get("/").await;
        assert_eq!(page.status, 502, "{body}");
        assert!(
            page.shows("can&#39;t be read") || page.shows("can't be read"),
            "{body}"
        );
    }
    world
        .api
        .answers(|_| (StatusCode::INTERNAL_SERVER_ERROR, "<b>trace</b>").into_response());
    let page = browser.get("/").await;
    assert_eq!(page.status, 502);
    assert!(page.shows("status 500") && !page.shows("trace"));
}

#[tokio::test]
async fn an_api_that_is_not_there_or_silent_is_named() {
    let (_closed, url) = nobody();
    let world = World::with(|config| config.api_url = url.clone()).await;
    let page = world.sign_in(&world.browser(), "alice").await;
    assert_eq!(page.status, 502);
    assert!(page.shows("The API can&#39;t be reached") && page.shows(url.as_str()));

    // Accepts by way of its backlog and says nothing.
    let silent = TcpListener::bind(LOOPBACK).await.unwrap();
    let url = url_of(&silent);
    let world = World::with(|config| {
        config.api_url = url;
        config.timeout = Duration::from_secs(1);
    })
    .await;
    let page = world.sign_in(&world.browser(), "alice").await;
    assert_eq!(page.status, 504);
    assert!(page.shows("The API does not answer"));
}

#[tokio::test]
async fn an_identity_provider_that_is_busy_or_misconfigured_is_named() {
    let world = World::start().await;
    world.entra.set(|knobs| knobs.discovery_fails = true);
    let browser = world.browser();
    let page = browser.get("/account/login").await;
    assert_eq!(page.status, 503);
    assert_eq!(page.headers["retry-after"], "9");
    assert!(page.shows("The emulated Entra ID is too busy"));

    world.entra.set(|knobs| knobs.discovery_fails = false);
    let answers: [(u16, &str, u16, &str); 4] = [
        (
            401,
            r#"{"error":"invalid_client","error_codes":[7000215],"error_description":"sesame"}"#,
            502,
            "AADSTS7000215",
        ),
        (500, "<html>", 503, "too busy"),
        (200, "<html>", 502, "can&#39;t be used"),
        (
            200,
            r#"{"token_type":"Bearer","access_token":"sesame"}"#,
            502,
            "without ID token",
        ),
    ];
    for (status, body, expected, text) in answers {
        world.entra.set(|knobs| {
            knobs.token_answer = Some(Box::new(move || {
                let status = StatusCode::from_u16(status).unwrap();
                (status, [("content-type", "application/json")], body).into_response()
            }));
        });
        let authorize = world.begin(&browser).await;
        let page = browser.get(&world.entra.approve(&authorize, "alice")).await;
        assert_eq!(page.status, expected, "{body}");
        assert!(page.shows(text), "{body}: {}", page.text);
        assert!(!page.shows("sesame"), "{body}");
        assert!(browser.get("/").await.shows("Sign in (emulated Entra ID)"));
    }
}

#[tokio::test]
async fn a_disabled_account_is_told_so_once_and_may_be_another() {
    let world = World::start().await;
    world.api.answers(|_| {
        let problem = json!({
            "type": "urn:tower-obo:problem:account-refused",
            "title": "This account may not use the application",
            "status": 403,
            "detail": "this account may not use the application",
            "aadsts": "AADSTS50057",
        });
        (StatusCode::FORBIDDEN, Json(problem)).into_response()
    });
    let page = world.sign_in(&world.browser(), "dave").await;
    assert_eq!(page.status, 403);
    for text in [
        "This account is disabled",
        "AADSTS50057",
        "prompt=select_account",
    ] {
        assert!(page.shows(text), "{text}");
    }
    assert_eq!(page.text.matches("The API says").count(), 1);
}
