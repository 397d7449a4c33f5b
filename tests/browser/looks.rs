//! Every page that people come by, looked at.

use obo_demo::{Demo, Options};

use crate::{
    browser::Browser,
    gallery::{EXCHANGE, cut_out, fits_a_phone, look},
    journey::{person, shown, sign_in},
};

/// What `5.2 ms` says.
fn ms(text: &str) -> f64 {
    text.trim_end_matches(" ms").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_pages_of_a_sign_in_that_goes_well_can_be_used_by_everybody() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = demo.summary().demo_ui.clone();
    let alice = person(&demo, "alice");
    let browser = Browser::open().await;
    browser.goto(&ui).await;
    browser.find("a[href='/account/login']").await;
    look(&browser, "ui-start").await;
    browser.click("a[href='/account/login']").await;
    browser.find("#password").await;
    look(&browser, "emulator-sign-in").await;
    browser.type_into("#username", &alice.username).await;
    browser.type_into("#password", &alice.password).await;
    browser.click("#sign-in").await;
    browser.find("#accept").await;
    look(&browser, "emulator-consent").await;
    browser.click("#accept").await;
    assert_eq!(shown(&browser).await, alice.subscriptions);
    look(&browser, "ui-subscriptions").await;
    // Tags may be as long as Azure allows.
    let tagged = |name: String, value: String| {
        demo.emulator().update_directory(|directory| {
            let alice = directory.user_mut("alice").unwrap();
            alice.subscriptions[0].tags = [(name, value)].into();
        });
    };
    tagged("n".repeat(512), "v".repeat(256));
    browser.goto(&ui).await;
    fits_a_phone(&browser, "ui-subscriptions with a long tag").await;
    tagged("environment".to_owned(), "production".to_owned());

    browser.click("a[href='/what-happened']").await;
    browser.find("#now").await;
    // Of the first sight of a page there is more to wait for than what it is about: the picture is of a
    // request that is as quick beside one with an exchange as it is where nothing else keeps the machine busy.
    for _ in 0..20 {
        browser.goto(&format!("{ui}/what-happened")).await;
        let times = browser.texts(".took").await;
        if let [now, first] = &times[..]
            && ms(now) < ms(first)
        {
            break;
        }
    }
    browser.find("#now").await;
    let text = browser.text().await;
    // The table before was the first: its exchange stands beside this request, which needed none.
    assert!(
        text.contains("Entra ID was not asked") && text.contains("Earlier, with the exchange"),
        "{text}"
    );
    let claims = browser.texts("table.claims th[scope=row] code").await;
    for claim in ["aud", "scp", "azp / appid", "oid"] {
        assert!(
            claims.iter().any(|shown| shown == claim),
            "{claim}: {claims:?}"
        );
    }
    for summary in ["details:first-of-type summary"] {
        browser.click(summary).await;
    }
    look(&browser, "ui-what-happened").await;
    cut_out(&browser, "[aria-labelledby='before']", EXCHANGE).await;
    // No token, and no half of one, is anywhere on the page.
    let source = browser
        .evaluate("return document.documentElement.outerHTML")
        .await;
    assert!(!source.as_str().unwrap().contains("eyJ"));

    browser.goto(&format!("{ui}/raw")).await;
    browser.find("pre").await;
    look(&browser, "ui-raw").await;
    browser.goto(&format!("{ui}/no-such-page")).await;
    browser.find(".failure").await;
    look(&browser, "ui-failure").await;
    browser.click("form[action='/account/logout'] button").await;
    browser.find("a[href='/account/login']").await;
    look(&browser, "ui-signed-out").await;
    browser.goto(demo.emulator().url()).await;
    // What the exchange went through stands there, opened up.
    browser.click(".requests summary").await;
    let checks = browser
        .find("details[open] .checks")
        .await
        .text()
        .await
        .unwrap();
    assert!(
        checks.contains("who presents it") && checks.contains("A token was issued"),
        "{checks}"
    );
    look(&browser, "emulator-home").await;
    let emulator = demo.emulator().url();
    for (path, name) in [
        ("/error?code=50076", "emulator-about-an-error"),
        ("/common/oauth2/v2.0/authorize", "emulator-error"),
        ("/common/oauth2/v2.0/logout", "emulator-signed-out"),
    ] {
        browser.goto(&format!("{emulator}{path}")).await;
        browser.find("h1").await;
        look(&browser, name).await;
    }
    browser.goto(demo.emulator().arm_url()).await;
    browser.find("h1").await;
    look(&browser, "emulator-resource-manager").await;
    browser.goto(emulator).await;
    browser.click("#fail-token-429").await;
    // It stands on the page that comes, not on the one that was left.
    let pending = browser.find("#pending").await.text().await.unwrap();
    assert!(pending.contains("1 at token"), "{pending}");
    browser.close().await;
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_subscriptions_is_told_what_to_check() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = demo.summary().demo_ui.clone();
    let browser = Browser::open().await;
    sign_in(&browser, &ui, &person(&demo, "frank")).await;
    browser.click("#accept").await;
    let list = browser.find(".empty ul").await.text().await.unwrap();
    assert!(list.contains("frank@contoso.example"), "{list}");
    look(&browser, "ui-no-subscriptions").await;
    browser
        .click("a[href='/account/login?prompt=select_account']")
        .await;
    browser.find("#other").await;
    look(&browser, "emulator-accounts").await;
    browser.close().await;
    demo.shutdown().await;
}
