//! From "Sign in" to the table, and everything that must not get there.

use std::time::Duration;

use demo_ui::Config;
use serde_json::json;
use tokio::net::TcpListener;

use crate::browser::Browser;
use crate::entra::{CLIENT, Entra};
use crate::support::{Api, LOOPBACK, World, config, nobody};

#[tokio::test]
async fn a_user_signs_in_and_sees_what_the_api_says_to_their_token() {
    let world = World::start().await;
    let browser = world.browser();
    let landing = browser.get("/").await;
    assert_eq!(landing.status, 200);
    assert!(landing.shows(r#"href="/account/login""#));
    assert!(!landing.shows("You are signed out"), "nobody was signed in");
    assert!(world.api.seen().is_empty());

    let page = world.sign_in(&browser, "alice").await;
    assert_eq!(page.status, 200);
    assert!(page.shows("access-alice-"), "the row that the API gave");
    assert!(page.shows("alice@contoso.example"));
    let [seen] = &world.api.seen()[..] else {
        panic!("one call expected");
    };
    assert_eq!(seen.uri, "/subscriptions");
    assert!(seen.token().starts_with("access-alice-"));
    assert!(!seen.headers.contains_key("cookie"));

    let requests = world.entra.token_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        requests[0]["redirect_uri"],
        format!("{}/account/callback", world.ui.url())
    );
}

#[tokio::test]
async fn two_users_in_two_browsers_never_meet() {
    let world = World::start().await;
    let (alice, bob) = (world.browser(), world.browser());
    tokio::join!(world.sign_in(&alice, "alice"), world.sign_in(&bob, "bob"));
    for _ in 0..20 {
        let (hers, his) = tokio::join!(alice.get("/"), bob.get("/"));
        assert!(hers.shows("access-alice-") && !hers.shows("bob"));
        assert!(his.shows("access-bob-") && !his.shows("alice"));
    }
}

#[tokio::test]
async fn the_sign_in_leads_back_to_the_page_it_was_begun_from() {
    let world = World::start().await;
    let browser = world.browser();
    let login = browser.get("/raw").await.location().to_owned();
    let authorize = browser.get(&login).await.location().to_owned();
    let back = world.entra.approve(&authorize, "alice");
    assert_eq!(browser.get(&back).await.goes_on_to(), "/raw");
    assert!(
        browser
            .get("/raw")
            .await
            .shows("&#34;displayName&#34;: &#34;access-alice-")
    );
}

#[tokio::test]
async fn ui_01_an_answer_that_belongs_to_no_sign_in_of_this_browser_is_refused() {
    let world = World::start().await;
    let refused = async |browser: &Browser, path: &str| {
        let before = world.entra.token_requests().len();
        let page = browser.get(path).await;
        assert_eq!(page.status, 400, "{path}");
        assert!(page.shows("Sign in again"), "there is a way on");
        assert_eq!(
            world.entra.token_requests().len(),
            before,
            "no token request"
        );
        assert!(
            browser.get("/").await.shows("Sign in (emulated Entra ID)"),
            "no session"
        );
    };
    let browser = world.browser();
    let authorize = world.begin(&browser).await;
    let good = world.entra.approve(&authorize, "alice");
    let state = &world.entra.request(&authorize)["state"];

    // Missing, empty, made up, given twice.
    refused(&browser, "/account/callback?code=x").await;
    refused(&browser, "/account/callback?code=x&state=").await;
    refused(&browser, "/account/callback?code=x&state=made-up").await;
    refused(&browser, &format!("{good}&state={state}")).await;
    // Without the cookie, and in another browser with a sign-in of its own.
    refused(&world.browser(), &good).await;
    let other = world.browser();
    world.begin(&other).await;
    refused(&other, &good).await;
    // None of that has spoilt the sign-in itself, which works once.
    assert_eq!(browser.get(&good).await.goes_on_to(), "/");
    let again = browser.get(&good).await;
    assert_eq!(again.status, 400);
    assert_eq!(world.entra.token_requests().len(), 1);
}

#[tokio::test]
async fn ui_01_a_sign_in_that_took_too_long_is_refused() {
    let world = World::with(|config| config.login_lifetime = Duration::ZERO).await;
    let browser = world.browser();
    let authorize = world.begin(&browser).await;
    let page = browser.get(&world.entra.approve(&authorize, "alice")).await;
    assert_eq!(page.status, 400);
    assert!(world.entra.token_requests().is_empty());
}

#[tokio::test]
async fn ui_01_of_two_answers_at_once_one_is_taken() {
    let world = World::start().await;
    let browser = world.browser();
    let authorize = world.begin(&browser).await;
    let back = world.entra.approve(&authorize, "alice");
    let (one, two) = tokio::join!(browser.get(&back), browser.get(&back));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(world.entra.token_requests().len(), 1);
}

#[tokio::test]
async fn ui_02_a_code_of_another_sign_in_is_refused_by_its_pkce_challenge() {
    let world = World::start().await;
    let (mallory, alice) = (world.browser(), world.browser());
    let hers = world.begin(&mallory).await;
    let stolen = world.entra.approve(&hers, "mallory");
    let (_, code) = stolen.split_once("code=").unwrap();
    let code = code.split_once('&').unwrap().0;

    let authorize = world.begin(&alice).await;
    let state = &world.entra.request(&authorize)["state"];
    let page = alice
        .get(&format!("/account/callback?code={code}&state={state}"))
        .await;
    assert_eq!(page.status, 400);
    assert!(page.shows("AADSTS501481"));
    assert!(alice.get("/").await.shows("Sign in (emulated Entra ID)"));
}

#[tokio::test]
async fn ui_02_an_id_token_that_does_not_fit_is_refused() {
    let world = World::start().await;
    for (name, value) in [
        ("nonce", json!("of-another-sign-in")),
        ("iss", json!("https://evil.example/v2.0")),
        ("aud", json!("another-client")),
        ("exp", json!(1_000_000_000)),
        ("tid", json!("fab21ca0-0000-4000-8000-000000000002")),
    ] {
        let replaced = value.clone();
        world.entra.set(|knobs| {
            knobs.claims = Box::new(move |claims| claims[name] = replaced.clone());
        });
        let browser = world.browser();
        let authorize = world.begin(&browser).await;
        let page = browser.get(&world.entra.approve(&authorize, "alice")).await;
        assert_eq!(page.status, 502, "{name} {value}");
        assert!(page.shows("Try again"));
        assert!(
            browser.get("/").await.shows("Sign in (emulated Entra ID)"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn ui_03_the_issuer_parameter_must_name_the_server_that_was_asked() {
    let world = World::start().await;
    let browser = world.browser();
    let authorize = world.begin(&browser).await;
    let back = world.entra.approve(&authorize, "alice");
    let page = browser
        .get(&format!("{back}&iss=https%3A%2F%2Fevil.example"))
        .await;
    assert_eq!(page.status, 400);
    assert!(world.entra.token_requests().is_empty());
    // Twice is no better than wrong: one of the two would be the good one.
    let authorize = world.begin(&browser).await;
    let back = world.entra.approve(&authorize, "alice");
    let issuer = format!(
        "{}c0a70500-0000-4000-8000-000000000001/v2.0",
        world.entra.url()
    );
    let page = browser.get(&format!("{back}&iss={issuer}&iss=x")).await;
    assert_eq!(page.status, 400);

    let authorize = world.begin(&browser).await;
    let back = world.entra.approve(&authorize, "alice");
    let page = browser.get(&format!("{back}&iss={issuer}")).await;
    assert_eq!(page.goes_on_to(), "/");
}

#[tokio::test]
async fn ui_03_an_error_description_is_text_and_a_declined_consent_has_a_way_on() {
    let world = World::start().await;
    let browser = world.browser();
    let authorize = world.begin(&browser).await;
    let script = r#"AADSTS65004: <script>alert(1)</script>"'"#;
    let back = world.entra.refuse(
        &authorize,
        &[("error", "access_denied"), ("error_description", script)],
    );
    let page = browser.get(&back).await;
    assert_eq!(page.status, 403);
    assert!(page.shows("You did not agree") && page.shows("Use another account"));
    assert!(page.shows(r#"href="/account/login""#));
    assert!(page.shows("&#60;script&#62;alert(1)"));
    assert!(!page.text.contains("<script"));
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("script-src"));
    assert!(!policy.contains("unsafe-inline"));

    // Cancel on another page of the sign-in is no declined consent.
    let authorize = world.begin(&browser).await;
    let back = world
        .entra
        .refuse(&authorize, &[("error", "access_denied")]);
    let page = browser.get(&back).await;
    assert!(page.shows("The sign-in was cancelled") && !page.shows("agree"));

    // Without a sign-in under way nothing of it is shown at all.
    let page = browser
        .get("/account/callback?error=x&error_description=%3Cscript%3Eboo&state=y")
        .await;
    assert_eq!(page.status, 400);
    assert!(!page.shows("boo"));
}

#[tokio::test]
async fn ui_04_a_return_url_is_a_page_of_our_own() {
    let world = World::start().await;
    for wanted in [
        "//evil.example",
        "/\\evil.example",
        "https:evil.example",
        "https://evil.example/raw",
        "/%09/evil.example",
        "/\t/evil.example",
        "/login?return=//evil.example",
        "/account/logout",
    ] {
        let browser = world.browser();
        let query: String = form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        let login = browser.get(&format!("/account/login?return={query}")).await;
        let back = world.entra.approve(login.location(), "alice");
        assert_eq!(browser.get(&back).await.goes_on_to(), "/", "{wanted}");
    }
}

#[tokio::test]
async fn ui_05_the_session_gets_a_new_id_at_sign_in_and_the_old_one_is_worthless() {
    let world = World::start().await;
    let browser = world.browser();
    let login = browser.get("/account/login").await;
    let cookie = login.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
    assert!(cookie.contains("Path=/") && !cookie.contains("Domain"));
    // Plain http of loopback.
    assert!(!cookie.contains("Secure") && !cookie.starts_with("__Host-"));
    let (name, before) = browser.cookie();

    world.finish(&browser, login.location(), "alice").await;
    let (_, after) = browser.cookie();
    assert_ne!(before, after);
    let fixated = world.browser();
    fixated.set_cookie(&name, &before);
    assert!(fixated.get("/").await.shows("Sign in (emulated Entra ID)"));
}

#[tokio::test]
async fn ui_05_a_session_that_was_tampered_with_is_none() {
    let world = World::start().await;
    let browser = world.browser();
    world.sign_in(&browser, "alice").await;
    let (name, value) = browser.cookie();
    let first = if value.starts_with('A') { "B" } else { "A" };
    for tampered in [
        format!("{first}{}", &value[1..]),
        "x".to_owned(),
        String::new(),
    ] {
        let other = world.browser();
        other.set_cookie(&name, &tampered);
        assert!(
            other.get("/").await.shows("Sign in (emulated Entra ID)"),
            "{tampered}"
        );
    }
    assert!(browser.get("/").await.shows("access-alice"));
}

#[tokio::test]
async fn ui_05_on_https_the_cookie_is_secure_and_bound_to_the_host() {
    let world = World::with(|config: &mut Config| {
        config.public_url = Some("https://ui.example".parse().unwrap());
    })
    .await;
    assert_eq!(world.ui.url(), "https://ui.example");
    // What stands in front and ends TLS speaks http to the listener.
    let browser = Browser::new(&format!("http://{}", world.ui.local_addr()));
    let login = browser.get("/account/login").await;
    let cookie = login.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-"), "{cookie}");
    assert!(cookie.contains("; Secure") && cookie.contains("; Path=/"));
    assert!(!cookie.contains("Domain"));
    assert_eq!(
        world.entra.request(login.location())["redirect_uri"],
        "https://ui.example/account/callback"
    );

    let page = world.finish(&browser, login.location(), "alice").await;
    let out = browser.sign_out(&page.csrf_token()).await;
    let removal = out
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap())
        .find(|cookie| cookie.contains("Secure"))
        .expect("browsers ignore a __Host- cookie without Secure, its removal too");
    assert!(removal.starts_with("__Host-") && removal.contains("Max-Age=0"));
}

#[tokio::test]
async fn a_browser_that_came_by_another_name_is_sent_to_the_public_one() {
    let world = World::start().await;
    let by_address = Browser::new(&format!("http://{}", world.ui.local_addr()));
    assert_eq!(
        by_address
            .get("/account/login?return=%2Fraw")
            .await
            .location(),
        format!("{}/account/login?return=%2Fraw", world.ui.url())
    );
}

#[tokio::test]
async fn the_app_starts_without_entra_and_recovers() {
    let (closed, url) = nobody();
    let api = Api::start().await;
    let ui = demo_ui::start(config(&url, &api.url)).await.unwrap();
    let browser = Browser::new(ui.url());
    assert_eq!(browser.get("/").await.status, 200);
    let page = browser.get("/account/login").await;
    assert_eq!(page.status, 502);
    assert!(page.shows("The emulated Entra ID can&#39;t be reached"));
    assert!(page.shows("Try again"));

    let entra = Entra::start_on(closed.listen(16).unwrap());
    let login = browser.get("/account/login").await;
    assert_eq!(entra.request(login.location())["client_id"], CLIENT);
    ui.shutdown().await;
}

#[tokio::test]
async fn the_port_can_be_known_before_the_identity_provider_is() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (entra, api) = tokio::join!(Entra::start(), Api::start());
    let ui = demo_ui::start_on(listener, config(&entra.url(), &api.url))
        .await
        .unwrap();
    assert_eq!(ui.url(), format!("http://localhost:{port}"));
    ui.shutdown().await;
}
