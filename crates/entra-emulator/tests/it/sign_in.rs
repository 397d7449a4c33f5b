//! People sign in: the pages, the session, consent and second factors.

use entra_emulator::{Directory, Event, demo};

use crate::browser::{Browser, redeem, shown_code};
use crate::support::{claims_of, exchange, start};

#[tokio::test]
async fn a_user_signs_in_consents_and_comes_back_with_a_code() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let page = browser.authorize(&[]).await;
    page.assert_shows("Sign in");
    assert!(page.html.contains("Subscriptions web app"));
    for user in ["alice@contoso.example", "alice-demo", "bob@contoso.example"] {
        assert!(page.html.contains(user), "{user}");
    }
    assert!(!page.html.contains("erin@fabrikam.example"));

    let consent = browser
        .sign_in(&page, "alice@contoso.example", "alice-demo")
        .await;
    consent.assert_shows("Permissions requested");
    for scope in [
        ">openid<",
        ">profile<",
        ">offline_access<",
        ">api://a9100000-0000-4000-8000-00000000000a/access_as_user<",
        ">https://management.azure.com/user_impersonation<",
        "Behind it, Subscriptions API wants to",
    ] {
        assert!(consent.html.contains(scope), "{scope}");
    }

    let back = browser.accept(&consent).await;
    assert_eq!(back.status, 303);
    let location = back.location();
    assert!(location.as_str().starts_with(demo::UI_REDIRECT_URI));
    assert_eq!(back.answered("state").as_deref(), Some("st&te"));
    assert!(back.answered("session_state").is_some());
    let code = back.answered("code").unwrap();

    let tokens = redeem(&emulator, &code, &[]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let assertion = tokens.text("access_token");
    assert_eq!(claims_of(assertion)["scp"], "access_as_user");
    // The one consent page covered the API's access to ARM too.
    let exchanged = exchange(&emulator, assertion, &[]).await;
    assert_eq!(exchanged.status, 200, "{}", exchanged.body);

    let events = emulator.events();
    assert!(matches!(events[0], Event::SignedIn { mfa: false, .. }));
    assert!(matches!(events[1], Event::Consented { .. }));
    assert!(matches!(events[2], Event::CodeRedeemed { .. }));
    assert!(matches!(events[3], Event::Exchanged { .. }));
}

#[tokio::test]
async fn a_signed_in_user_who_consented_goes_straight_through() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    browser.code("alice", &[]).await;
    let again = browser.authorize(&[]).await;
    assert!(again.answered("code").is_some());
    let silent = browser.authorize(&[("prompt", "none")]).await;
    assert!(silent.answered("code").is_some());
    // Another browser knows nothing of it.
    Browser::new(&emulator)
        .authorize(&[])
        .await
        .assert_shows("Sign in");
}

#[tokio::test]
async fn one_click_on_a_listed_user_signs_in() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let page = browser.authorize(&[]).await;
    let flow = page.hidden("flow");
    let consent = browser
        .post("/sign-in", &[("flow", &flow), ("as", demo::BOB_OID)])
        .await;
    consent.assert_shows("Permissions requested");
    assert!(consent.html.contains("bob@contoso.example"));
}

#[tokio::test]
async fn a_declined_consent_is_told_to_the_client_and_records_nothing() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let page = browser.authorize(&[]).await;
    let consent = browser
        .sign_in(&page, "alice@contoso.example", "alice-demo")
        .await;
    let flow = consent.hidden("flow");
    let back = browser
        .post("/consent", &[("flow", &flow), ("decision", "decline")])
        .await;
    back.assert_refused("access_denied", 65_004);
    assert_eq!(emulator.directory().consents, Directory::demo().consents);
    assert!(
        browser.authorize(&[]).await.html.contains("id=\"accept\""),
        "asked again"
    );
}

#[tokio::test]
async fn a_wrong_password_and_a_disabled_account_stay_on_the_page() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let page = browser.authorize(&[]).await;
    for (user, password, code) in [
        ("alice@contoso.example", "wrong", "AADSTS50126"),
        ("nobody@contoso.example", "alice-demo", "AADSTS50126"),
        ("dave@contoso.example", "dave-demo", "AADSTS50057"),
        ("erin@fabrikam.example", "erin-demo", "AADSTS50020"),
    ] {
        let page = browser.sign_in(&page, user, password).await;
        page.assert_shows("Sign in");
        assert!(page.html.contains(code), "{user}: {}", page.html);
    }
    let flow = page.hidden("flow");
    browser
        .post("/sign-in", &[("flow", &flow), ("cancel", "1")])
        .await
        .assert_cancelled();
}

#[tokio::test]
async fn prompts_show_the_page_they_name() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    browser.code("alice", &[]).await;

    let login = browser.authorize(&[("prompt", "login")]).await;
    login.assert_shows("Sign in");
    let done = browser
        .sign_in(&login, "alice@contoso.example", "alice-demo")
        .await;
    assert!(done.answered("code").is_some());

    let consent = browser.authorize(&[("prompt", "consent")]).await;
    consent.assert_shows("Permissions requested");
    assert!(browser.accept(&consent).await.answered("code").is_some());

    let choice = browser.authorize(&[("prompt", "select_account")]).await;
    choice.assert_shows("Pick an account");
    let flow = choice.hidden("flow");
    let other = browser
        .post("/account", &[("flow", &flow), ("account", "other")])
        .await;
    other.assert_shows("Sign in");
    let same = browser
        .post("/account", &[("flow", &flow), ("account", "current")])
        .await;
    assert!(same.answered("code").is_some());

    // Somebody else is hinted at.
    let hinted = browser
        .authorize(&[("login_hint", "bob@contoso.example")])
        .await;
    hinted.assert_shows("Sign in");
    assert!(hinted.html.contains("value=\"bob@contoso.example\""));
}

#[tokio::test]
async fn carol_steps_up_when_claims_ask_for_it() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let plain = browser.code("carol", &[]).await;
    let tokens = redeem(&emulator, &plain, &[]).await;
    let refused = exchange(&emulator, tokens.text("access_token"), &[]).await;
    refused.assert_refused(400, "interaction_required", 50_076);

    let claims = refused.text("claims").to_owned();
    let page = browser.authorize(&[("claims", &claims)]).await;
    page.assert_shows("One more step");
    let (flow, first) = (page.hidden("flow"), shown_code(&page));
    let wrong = if first == "000000" {
        "111111"
    } else {
        "000000"
    };
    let again = browser
        .post("/second-factor", &[("flow", &flow), ("code", wrong)])
        .await;
    again.assert_shows("One more step");
    assert!(again.html.contains("That was not the code"));
    let code = shown_code(&again);
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let back = browser
        .post("/second-factor", &[("flow", &flow), ("code", &spaced)])
        .await;
    let code = back.answered("code").unwrap();
    let tokens = redeem(&emulator, &code, &[]).await;
    let assertion = tokens.text("access_token");
    assert_eq!(
        claims_of(assertion)["amr"],
        serde_json::json!(["pwd", "mfa"])
    );
    let exchanged = exchange(&emulator, assertion, &[]).await;
    assert_eq!(exchanged.status, 200, "{}", exchanged.body);
}

#[tokio::test]
async fn an_authentication_context_that_was_asked_for_is_in_the_token() {
    let emulator = start().await;
    let claims =
        r#"{"access_token":{"acrs":{"essential":true,"value":"c1"},"xms_cc":{"values":["cp1"]}}}"#;
    let code = Browser::new(&emulator)
        .code("carol", &[("claims", claims)])
        .await;
    let tokens = redeem(&emulator, &code, &[]).await;
    let token = claims_of(tokens.text("access_token"));
    assert_eq!(token["acrs"], serde_json::json!(["c1"]));
    assert_eq!(token["xms_cc"], serde_json::json!(["cp1"]));
}

#[tokio::test]
async fn who_never_set_up_a_second_factor_does_so() {
    let emulator = start().await;
    let claims = r#"{"access_token":{"polids":{"essential":true,"values":["p"]}}}"#;
    let mut browser = Browser::new(&emulator);
    let page = browser.authorize(&[("claims", claims)]).await;
    let page = browser
        .sign_in(&page, "heidi@contoso.example", "heidi-demo")
        .await;
    assert!(page.html.contains("Set up a second factor"));
    browser.code("heidi", &[("claims", claims)]).await;
    let heidi = emulator.directory().user("heidi").unwrap().mfa;
    assert_eq!(heidi, entra_emulator::directory::Mfa::Required);
}

#[tokio::test]
async fn a_form_of_another_session_is_refused() {
    let emulator = start().await;
    let mut victim = Browser::new(&emulator);
    let page = victim.authorize(&[]).await;
    let mut attacker = Browser::new(&emulator);
    attacker.authorize(&[]).await;
    let flow = page.hidden("flow");
    let form = [
        ("flow", flow.as_str()),
        ("username", "bob@contoso.example"),
        ("password", "bob-demo"),
    ];
    let refused = attacker.post("/sign-in", &form).await;
    assert_eq!(refused.status, 400);
    assert!(refused.html.contains("AADSTS165000"), "{}", refused.html);
    let bare = Browser::new(&emulator).post("/sign-in", &form).await;
    assert_eq!(bare.status, 400);
    for path in ["/consent", "/account", "/second-factor"] {
        let refused = attacker.post(path, &[("flow", &flow)]).await;
        assert_eq!(refused.status, 400, "{path}");
    }
}

#[tokio::test]
async fn consent_is_worked_out_anew_and_not_taken_from_the_form() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let page = browser.authorize(&[]).await;
    let flow = page.hidden("flow");
    // Nobody has signed in yet.
    let shown = browser
        .post("/consent", &[("flow", &flow), ("decision", "accept")])
        .await;
    shown.assert_shows("Sign in");
    assert_eq!(emulator.directory().consents, Directory::demo().consents);
}

#[tokio::test]
async fn signing_in_changes_the_session_and_its_cookie_is_closed() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let page = browser.authorize(&[]).await;
    let before = browser.cookies.clone();
    let cookie = page.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
    let port = emulator.address().port().to_string();
    assert!(cookie.starts_with(&format!("entra-emulator-{port}=")));
    browser
        .sign_in(&page, "alice@contoso.example", "alice-demo")
        .await;
    assert_ne!(before, browser.cookies);
    let mut fixated = Browser::new(&emulator);
    fixated.cookies = before;
    fixated.authorize(&[]).await.assert_shows("Sign in");
}

#[tokio::test]
async fn signing_out_ends_the_session_and_goes_only_where_it_may() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    browser.code("alice", &[]).await;
    let path = format!("/{}/oauth2/v2.0/logout", demo::CONTOSO);
    let registered = "http%3A%2F%2Flocalhost%3A8000%2F";
    let out = browser
        .get(&format!(
            "{path}?post_logout_redirect_uri={registered}&state=x"
        ))
        .await;
    assert_eq!(out.location().as_str(), "http://localhost:8000/?state=x");
    browser.authorize(&[]).await.assert_shows("Sign in");
    assert!(emulator.events().contains(&Event::SignedOut {
        username: "alice@contoso.example".to_owned()
    }));

    browser.get(&path).await.assert_shows("Signed out");
    let elsewhere = browser
        .get(&format!(
            "{path}?post_logout_redirect_uri=https%3A%2F%2Fattacker.example%2F"
        ))
        .await;
    elsewhere.assert_shows("Signed out");
    assert!(elsewhere.html.contains("not registered"));
    // Registered, but not for the application that the hint names.
    let hint = emulator.token().id_token().sign();
    let other = browser
        .get(&format!(
            "{path}?post_logout_redirect_uri={registered}&id_token_hint={hint}"
        ))
        .await;
    other.assert_shows("Signed out");
}

#[tokio::test]
async fn the_home_pages_say_what_there_is() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    let home = browser.get("/").await;
    home.assert_shows("Home");
    for text in [
        demo::CONTOSO,
        demo::FABRIKAM,
        "alice-demo",
        "erin@fabrikam.example",
        demo::API_CLIENT_ID,
        demo::UI_REDIRECT_URI,
        emulator.arm_url(),
    ] {
        assert!(home.html.contains(text), "{text}");
    }
    let style = browser.get("/style.css").await;
    assert!(
        style.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/css")
    );
    let unknown = browser.get("/contoso/oauth2/token").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.html.contains("Not emulated"));

    let arm = crate::support::client()
        .get(emulator.arm_url())
        .send()
        .await
        .unwrap();
    assert!(arm.text().await.unwrap().contains("Azure Resource Manager"));
    assert_eq!(emulator.count(entra_emulator::Endpoint::Arm), 0);
}
