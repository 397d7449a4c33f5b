//! Sign-out, and that nothing but a page of ours can cause it.

use reqwest::Method;
use url::Url;

use crate::support::World;

#[tokio::test]
async fn a_sign_out_ends_here_and_at_the_identity_provider_on_a_signed_out_page() {
    let world = World::start().await;
    let browser = world.browser();
    let page = world.sign_in(&browser, "alice").await;
    let (name, value) = browser.cookie();

    let out = browser.sign_out(&page.csrf_token()).await;
    let end_session = Url::parse(out.location()).unwrap();
    assert_eq!(end_session.origin(), world.entra.url().origin());
    assert_eq!(end_session.path(), "/logout");
    let back = end_session
        .query_pairs()
        .find(|(name, _)| name == "post_logout_redirect_uri")
        .unwrap();
    assert_eq!(back.1, format!("{}/", world.ui.url()));
    let landing = browser.get("/").await;
    assert!(landing.shows("You are signed out"));
    let landing = browser.get("/").await;
    assert!(!landing.shows("You are signed out"), "it is news once");
    assert!(landing.shows("Sign in (emulated Entra ID)"));

    // UI-06: the session is over on the server, whoever kept the cookie.
    let kept = world.browser();
    kept.set_cookie(&name, &value);
    assert!(kept.get("/").await.shows("Sign in (emulated Entra ID)"));
}

#[tokio::test]
async fn ui_06_nothing_but_a_page_of_ours_signs_a_user_out() {
    let world = World::start().await;
    let browser = world.browser();
    let token = world.sign_in(&browser, "alice").await.csrf_token();
    let ours = world.ui.url().to_owned();
    let other = world.browser();
    let foreign_token = world.sign_in(&other, "bob").await.csrf_token();

    let cases: [(&[(&str, &str)], &str); 9] = [
        // A fetch or a form without the token, or with another user's.
        (&[("origin", &ours), ("sec-fetch-site", "same-origin")], ""),
        (&[], ""),
        (&[("origin", &ours)], &foreign_token),
        // Forms of other origins, even with the token.
        (&[("origin", "https://evil.example")], &token),
        (&[("origin", "null")], &token),
        (
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &token,
        ),
        (&[("origin", "http://localhost:1")], &token),
        (&[("sec-fetch-site", "same-site")], &token),
        (&[("sec-fetch-site", "cross-site")], &token),
    ];
    for (headers, token) in cases {
        let mut request = browser
            .request(Method::POST, "/account/logout")
            .form(&[("csrf_token", token)]);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let page = browser.send(request).await;
        assert_eq!(page.status, 403, "{headers:?}");
        assert!(browser.get("/").await.shows("access-alice"), "{headers:?}");
    }
    // An image, a link.
    let page = browser.get("/account/logout").await;
    assert_eq!(page.status, 405);
    assert_eq!(page.headers["allow"], "POST");
    let page = browser
        .get(&format!("/account/logout?csrf_token={token}"))
        .await;
    assert_eq!(page.status, 405);
    let huge = "x".repeat(100_000);
    let request = browser
        .request(Method::POST, "/account/logout")
        .form(&[("csrf_token", &token), ("more", &huge)]);
    assert_eq!(browser.send(request).await.status, 403);
    assert!(browser.get("/").await.shows("access-alice"));

    assert_eq!(browser.sign_out(&token).await.status, 303);
}

#[tokio::test]
async fn a_sign_out_without_a_session_leads_to_the_start_page() {
    let world = World::start().await;
    let page = world.browser().sign_out("whatever").await;
    assert_eq!(page.location(), "/");
}

#[tokio::test]
async fn a_sign_in_that_was_begun_before_the_sign_out_is_dead_after_it() {
    let world = World::start().await;
    let browser = world.browser();
    let page = world.sign_in(&browser, "alice").await;
    let pending = world.begin(&browser).await;
    browser.sign_out(&page.csrf_token()).await;
    let answer = browser.get(&world.entra.approve(&pending, "alice")).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn ui_06_a_sign_in_as_somebody_else_forgets_the_user_before() {
    let world = World::start().await;
    let browser = world.browser();
    world.sign_in(&browser, "alice").await;
    let (name, value) = browser.cookie();
    let page = world.sign_in(&browser, "bob").await;
    assert!(page.shows("access-bob") && !page.shows("alice"));
    let kept = world.browser();
    kept.set_cookie(&name, &value);
    assert!(kept.get("/").await.shows("Sign in (emulated Entra ID)"));
}
