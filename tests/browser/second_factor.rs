//! Carol's organization wants a second factor for Azure: the gateway says so, and she comes back to where
//! she was. With and without scripts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use entra_emulator::{Endpoint, Fault};
use obo_demo::{Demo, Options};

use crate::{
    browser::Browser,
    gallery::look,
    journey::{person, shown, sign_in},
};

/// From the page that asks for the code to the one behind it.
async fn give_the_code(browser: &Browser) {
    let code = browser.find("#shown-code").await.text().await.unwrap();
    browser.type_into("#code", &code).await;
    browser.click("#verify").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claims_challenge_leads_to_the_second_factor_and_back_to_where_the_user_was() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = demo.summary().demo_ui.clone();
    let carol = person(&demo, "carol");
    let browser = Browser::open().await;
    // She wants the raw answer.
    browser.goto(&format!("{ui}/raw")).await;
    browser.type_into("#username", &carol.username).await;
    browser.type_into("#password", &carol.password).await;
    browser.click("#sign-in").await;
    browser.click("#accept").await;
    // No link was followed, no button pressed: the gateway's challenge brought her here.
    browser.find("#code").await;
    look(&browser, "emulator-second-factor").await;
    give_the_code(&browser).await;
    let raw = browser.find("pre").await.text().await.unwrap();
    assert!(browser.url().await.ends_with("/raw"));
    for name in &carol.subscriptions {
        assert!(raw.contains(name.as_str()), "{raw}");
    }
    browser.close().await;
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_turns_away_from_the_second_factor_can_still_go_on() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = demo.summary().demo_ui.clone();
    let carol = person(&demo, "carol");
    let browser = Browser::open().await;
    sign_in(&browser, &ui, &carol).await;
    browser.click("#accept").await;
    browser.click("#cancel").await;
    browser.find(".failure").await;
    look(&browser, "ui-second-factor-cancelled").await;
    browser.click("a[href='/account/login?step-up']").await;
    give_the_code(&browser).await;
    assert_eq!(shown(&browser).await, carol.subscriptions);
    browser.close().await;
    demo.shutdown().await;
}

/// She brings what is asked for, and it is never enough: no round without an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resource_manager_that_always_asks_for_more_is_a_page_with_a_way_on() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let carol = person(&demo, "carol");
    let claims = STANDARD.encode(r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#);
    let challenge = format!(r#"Bearer realm="", error="insufficient_claims", claims="{claims}""#);
    let fault = Fault::status(401).header("www-authenticate", challenge);
    demo.emulator().fail(Endpoint::Arm, fault, 9);
    let browser = Browser::open().await;
    sign_in(&browser, &demo.summary().demo_ui, &carol).await;
    browser.click("#accept").await;
    give_the_code(&browser).await;
    let text = browser.find(".failure").await.text().await.unwrap();
    assert!(text.contains("The API still asks for more"), "{text}");
    look(&browser, "ui-still-asks-for-more").await;
    demo.emulator().clear_faults();
    browser.click(".actions a").await;
    assert_eq!(shown(&browser).await, carol.subscriptions);
    browser.close().await;
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_without_javascript() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = demo.summary().demo_ui.clone();
    let carol = person(&demo, "carol");
    let browser = Browser::open().await;
    browser.without_javascript().await;
    browser
        .goto("data:text/html,<title>off</title><script>document.title='on'</script>")
        .await;
    assert_eq!(browser.title().await, "off", "scripts do run");
    sign_in(&browser, &ui, &carol).await;
    browser.click("#accept").await;
    give_the_code(&browser).await;
    assert_eq!(shown(&browser).await, carol.subscriptions);
    browser.click("a[href='/what-happened']").await;
    browser.find("svg").await;
    browser.click("details summary").await;
    browser.find("details[open] table").await;
    browser.click("form[action='/account/logout'] button").await;
    browser.find("a[href='/account/login']").await;
    assert!(browser.text().await.contains("signed out"));
    browser.close().await;
    demo.shutdown().await;
}
