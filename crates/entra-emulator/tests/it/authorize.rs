//! What the authorization endpoint takes, and how it answers the client.

use entra_emulator::{Directory, demo};

use crate::browser::{Browser, redeem};
use crate::support::{claims_of, start, start_with};

#[tokio::test]
async fn an_address_that_is_not_registered_is_never_redirected_to() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    for (changes, code) in [
        (
            ("redirect_uri", "http://localhost:8000/account/callback/"),
            "AADSTS50011",
        ),
        (
            ("redirect_uri", "http://localhost:8001/account/callback"),
            "AADSTS50011",
        ),
        (("redirect_uri", "https://attacker.example/"), "AADSTS50011"),
        (("redirect_uri", ""), "AADSTS900144"),
        (
            ("client_id", "00000000-0000-4000-8000-000000000000"),
            "AADSTS700016",
        ),
        (("client_id", ""), "AADSTS900144"),
    ] {
        let page = browser.authorize(&[changes]).await;
        assert_eq!(page.status, 400);
        assert!(page.headers.get("location").is_none());
        assert!(page.html.contains(code), "{changes:?}: {}", page.html);
    }
    let nowhere = browser.authorize_at("nowhere.example", &[]).await;
    assert!(nowhere.html.contains("AADSTS90002"), "{}", nowhere.html);
}

#[tokio::test]
async fn what_the_client_sends_is_shown_as_text() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let evil = "\"><script>alert(1)</script>";
    let pages = [
        browser.authorize(&[("redirect_uri", evil)]).await,
        browser.authorize(&[("client_id", evil)]).await,
        browser.authorize(&[("login_hint", evil)]).await,
        browser.get("/error?code=1").await,
    ];
    for page in &pages {
        assert!(!page.html.contains("<script"), "{}", page.html);
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("script-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.headers["x-frame-options"], "DENY");
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
    }
    let policy = pages[2].headers["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(
        policy.contains("form-action 'self' http://localhost:8000;"),
        "{policy}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_to_the_client() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    for (changes, error, code) in [
        (
            ("response_type", "token"),
            "unsupported_response_type",
            700_054,
        ),
        (("response_type", ""), "invalid_request", 900_144),
        (("response_mode", "telepathy"), "invalid_request", 90_023),
        (("scope", ""), "invalid_request", 900_144),
        (
            ("scope", "https://vault.azure.net/.default"),
            "invalid_resource",
            500_011,
        ),
        (
            (
                "scope",
                "api://a9100000-0000-4000-8000-00000000000a/nothing",
            ),
            "invalid_scope",
            70_011,
        ),
        (("prompt", "please"), "invalid_request", 90_023),
        (
            ("code_challenge_method", "plain"),
            "invalid_request",
            50_147,
        ),
        (("code_challenge_method", ""), "invalid_request", 50_147),
        (("code_challenge", "short"), "invalid_request", 50_147),
        (("claims", "[]"), "invalid_request", 90_023),
        (("prompt", "none"), "login_required", 50_058),
    ] {
        println!("{changes:?}");
        browser
            .authorize(&[changes])
            .await
            .assert_refused(error, code);
    }
    // Not among the permissions that the registration lists.
    let page = browser
        .authorize(&[("scope", "https://management.azure.com/.default")])
        .await;
    let refused = browser
        .sign_in(&page, "alice@contoso.example", "alice-demo")
        .await;
    refused.assert_refused("invalid_resource", 650_057);
}

#[tokio::test]
async fn silence_is_kept_about_everything_that_needs_a_page() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let page = browser.authorize(&[]).await;
    browser
        .sign_in(&page, "carol@contoso.example", "carol-demo")
        .await;
    browser
        .authorize(&[("prompt", "none")])
        .await
        .assert_refused("consent_required", 65_001);
    let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
    let refused = browser
        .authorize(&[("prompt", "none"), ("claims", claims)])
        .await;
    refused.assert_refused("interaction_required", 50_076);
    browser
        .authorize(&[("prompt", "none"), ("login_hint", "alice@contoso.example")])
        .await
        .assert_refused("login_required", 50_058);
}

#[tokio::test]
async fn answers_come_in_the_mode_that_was_asked_for() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    browser.code("alice", &[]).await;
    let fragment = browser.authorize(&[("response_mode", "fragment")]).await;
    let location = fragment.location();
    assert!(location.query().is_none());
    assert!(
        location.fragment().unwrap().contains("code=1."),
        "{location}"
    );
    assert!(location.fragment().unwrap().contains("state=st%26te"));

    let posted = browser.authorize(&[("response_mode", "form_post")]).await;
    assert_eq!(posted.status, 200);
    assert!(
        posted
            .html
            .contains(&format!("action=\"{}\"", demo::UI_REDIRECT_URI))
    );
    assert_eq!(posted.hidden("state"), "st&#38;te");
    let policy = posted.headers["content-security-policy"].to_str().unwrap();
    let nonce = posted.html.split("nonce=\"").nth(1).unwrap();
    let nonce = nonce.split('"').next().unwrap();
    assert!(
        policy.contains(&format!("script-src 'nonce-{nonce}'")),
        "{policy}"
    );
    let code = posted.hidden("code");
    assert_eq!(redeem(&emulator, &code, &[]).await.status, 200);
}

#[tokio::test]
async fn common_is_for_applications_of_several_tenants() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let page = browser.authorize_at("common", &[]).await;
    page.assert_shows("Sign in");
    assert!(page.html.contains("erin@fabrikam.example"));
    let consent = browser
        .sign_in(&page, "erin@fabrikam.example", "erin-demo")
        .await;
    let code = browser.accept(&consent).await.answered("code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", demo::UI_CLIENT_ID),
        ("client_secret", demo::UI_CLIENT_SECRET),
        ("code", &code),
        ("redirect_uri", demo::UI_REDIRECT_URI),
        ("code_verifier", crate::browser::VERIFIER),
    ];
    let tokens = crate::support::token_at(&emulator, "common", &form).await;
    let claims = claims_of(tokens.text("access_token"));
    assert_eq!(claims["tid"], demo::FABRIKAM);

    let mut directory = Directory::demo();
    directory
        .application_mut(demo::UI_CLIENT_ID)
        .unwrap()
        .multi_tenant = false;
    let single = start_with(directory).await;
    let refused = Browser::new(&single).authorize_at("common", &[]).await;
    assert!(refused.html.contains("AADSTS50194"), "{}", refused.html);
}
