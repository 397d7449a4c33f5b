//! All of the way by keyboard.

use std::time::Duration;

use obo_demo::{Demo, Options};
use thirtyfour::Key;
use tokio::time::{Instant, sleep};

use crate::{
    browser::{Browser, PATIENCE},
    journey::{person, shown},
};

/// Tabs on until `wanted` has the focus.
async fn tab_to(browser: &Browser, wanted: &str) {
    let mut passed = Vec::new();
    for _ in 0..30 {
        browser.press(Key::Tab + "").await;
        let focused = browser.focused().await;
        if focused == wanted {
            return;
        }
        passed.push(focused);
    }
    panic!("{wanted} is not reached by Tab: {passed:?}");
}

/// Without a key being pressed. A browser moves the focus when it draws the page, which may be after it is there.
async fn gets_the_focus(browser: &Browser, wanted: &str) {
    let begun = Instant::now();
    while browser.focused().await != wanted {
        assert!(begun.elapsed() < PATIENCE, "{wanted} has not got the focus");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_looking_around_and_signing_out_need_no_mouse() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = demo.summary().demo_ui.clone();
    let alice = person(&demo, "alice");
    let browser = Browser::open().await;
    browser.goto(&ui).await;
    browser.press(Key::Tab + "").await;
    assert_eq!(browser.focused().await, "Skip to content", "comes first");
    tab_to(&browser, "Sign in (emulated Entra ID)").await;
    browser.press(Key::Enter + "").await;
    browser.find("#username").await;
    gets_the_focus(&browser, "username").await;
    browser.press(alice.username.as_str()).await;
    tab_to(&browser, "password").await;
    browser.press(alice.password.as_str()).await;
    browser.press(Key::Enter + "").await;
    browser.find("#accept").await;
    gets_the_focus(&browser, "accept").await;
    browser.press(Key::Enter + "").await;
    assert_eq!(shown(&browser).await, alice.subscriptions);
    tab_to(&browser, "What happened").await;
    browser.press(Key::Enter + "").await;
    browser.find("#now").await;
    tab_to(&browser, "The same as a table").await;
    browser.press(Key::Enter + "").await;
    browser.find("details[open] table").await;
    browser.goto(&ui).await;
    tab_to(&browser, "Sign out").await;
    browser.press(Key::Enter + "").await;
    browser.find("a[href='/account/login']").await;
    assert!(browser.text().await.contains("signed out"));
    browser.close().await;
    demo.shutdown().await;
}
