//! What goes wrong on the way is a page with a way on.

use entra_emulator::{Endpoint, Fault};
use obo_demo::{Demo, Options};

use crate::{
    browser::Browser,
    gallery::look,
    journey::{person, shown, sign_in},
};

/// Alice, signed in, before her list.
async fn alice(demo: &Demo) -> Browser {
    let browser = Browser::open().await;
    sign_in(&browser, &demo.summary().demo_ui, &person(demo, "alice")).await;
    browser.click("#accept").await;
    shown(&browser).await;
    browser
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resource_manager_that_is_busy_or_away_says_when_to_come_back() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let browser = alice(&demo).await;
    let ui = &demo.summary().demo_ui;
    for (status, wait) in [(429, "7"), (503, "90")] {
        let fault = Fault::status(status).header("retry-after", wait);
        demo.emulator().fail(Endpoint::Arm, fault, 1);
        browser.goto(ui).await;
        let text = browser.find(".failure").await.text().await.unwrap();
        assert!(text.contains(&format!("in {wait} seconds")), "{text}");
        if status == 429 {
            look(&browser, "ui-busy").await;
        }
        browser.click(".actions a").await;
        assert_eq!(shown(&browser).await, person(&demo, "alice").subscriptions);
    }
    browser.close().await;
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_disabled_meanwhile_is_told_so() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let browser = alice(&demo).await;
    let ui = &demo.summary().demo_ui;
    demo.emulator().update_directory(|directory| {
        directory.user_mut("alice").unwrap().disabled = true;
    });
    // What was cached is let go of, so that Entra ID is asked again.
    let fault = Fault::status(401).header("www-authenticate", "Bearer error=\"invalid_token\"");
    demo.emulator().fail(Endpoint::Arm, fault, 1);
    browser.goto(ui).await;
    browser.find(".failure").await;
    browser.goto(ui).await;
    let text = browser.find(".failure").await.text().await.unwrap();
    assert!(
        text.contains("disabled") && text.contains("AADSTS50057"),
        "{text}"
    );
    look(&browser, "ui-disabled").await;
    assert!(!browser.texts(".actions a").await.is_empty(), "a way on");
    browser.close().await;

    // Dave's was disabled from the beginning: Entra ID itself says so.
    let browser = Browser::open().await;
    sign_in(&browser, ui, &person(&demo, "dave")).await;
    let problem = browser.find("#problem").await.text().await.unwrap();
    assert!(problem.to_lowercase().contains("disabled"), "{problem}");
    browser.close().await;
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entra_id_that_is_away_is_a_page_and_trying_again_works() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let browser = Browser::open().await;
    demo.emulator().fail(Endpoint::Discovery, Fault::reset(), 1);
    browser.goto(&demo.summary().demo_ui).await;
    browser.click("a[href='/account/login']").await;
    let text = browser.find(".failure").await.text().await.unwrap();
    assert!(
        text.contains("Microsoft Entra ID can't be reached"),
        "{text}"
    );
    look(&browser, "ui-entra-away").await;
    browser.click(".actions a").await;
    browser.click("a[href='/account/login']").await;
    browser.find("#password").await;
    browser.close().await;
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_session_is_the_start_page_and_a_sign_in_leads_back() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let browser = alice(&demo).await;
    let ui = &demo.summary().demo_ui;
    browser.forget().await;
    browser.goto(ui).await;
    assert!(browser.text().await.contains("Sign in with Microsoft"));
    // Entra ID still knows her, and she has agreed before.
    browser.goto(&format!("{ui}/what-happened")).await;
    browser.click("#continue, h2#now").await;
    browser.find("#now").await;
    assert!(browser.url().await.ends_with("/what-happened"));
    browser.close().await;
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_consent_is_a_page_that_says_what_it_means() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let browser = Browser::open().await;
    sign_in(&browser, &demo.summary().demo_ui, &person(&demo, "bob")).await;
    browser.click("#decline").await;
    let text = browser.find(".failure").await.text().await.unwrap();
    assert!(text.contains("You did not agree"), "{text}");
    look(&browser, "ui-declined").await;
    browser.close().await;
    demo.shutdown().await;
}
