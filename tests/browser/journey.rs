//! Sign in, consent, see one's subscriptions, sign out: two people at once.

use std::collections::BTreeSet;

use obo_demo::{Demo, Options};

use crate::{browser::Browser, failures::another, gallery::look};

pub(crate) struct Person {
    pub(crate) username: String,
    pub(crate) password: String,
    display_name: String,
    pub(crate) subscriptions: BTreeSet<String>,
}

pub(crate) fn person(demo: &Demo, name: &str) -> Person {
    let directory = demo.emulator().directory();
    let user = directory.user(name).unwrap();
    let subscriptions = user.subscriptions.iter();
    Person {
        username: user.username.clone(),
        password: user.password.clone(),
        display_name: user.display_name.clone(),
        subscriptions: subscriptions.map(|s| s.display_name.clone()).collect(),
    }
}

/// From the web app to the page that asks for consent.
pub(crate) async fn sign_in(browser: &Browser, ui: &str, person: &Person) {
    browser.goto(ui).await;
    browser.click("a[href='/account/login']").await;
    browser.type_into("#username", &person.username).await;
    browser.type_into("#password", &person.password).await;
    browser.click("#sign-in").await;
}

pub(crate) async fn shown(browser: &Browser) -> BTreeSet<String> {
    browser.find("table tbody").await;
    let names = browser.texts("table tbody th").await;
    names.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alice_and_bob_in_two_browsers_each_see_only_their_own() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = demo.summary().demo_ui.clone();
    let (alice, bob) = (person(&demo, "alice"), person(&demo, "bob"));
    let (of_alice, of_bob) = tokio::join!(Browser::open(), Browser::open());

    for (browser, person) in [(&of_alice, &alice), (&of_bob, &bob)] {
        sign_in(browser, &ui, person).await;
        browser.find("#accept").await;
        let consent = browser.text().await;
        // One consent for the whole chain: the web app, its API, and what the API calls.
        for scope in ["openid", "access_as_user", "user_impersonation"] {
            assert!(consent.contains(scope), "{scope} is not in: {consent}");
        }
        assert!(consent.to_lowercase().contains("not microsoft"));
    }
    // Both go on only now, so that their sign-ins overlap.
    for browser in [&of_alice, &of_bob] {
        browser.click("#accept").await;
    }
    for (browser, person) in [(&of_alice, &alice), (&of_bob, &bob)] {
        assert_eq!(shown(browser).await, person.subscriptions);
        assert!(browser.text().await.contains(&person.display_name));
        let headings = browser.texts("table thead th").await;
        assert_eq!(
            headings.len(),
            5,
            "name, id, state, tags, tenant: {headings:?}"
        );
    }
    assert!(alice.subscriptions.is_disjoint(&bob.subscriptions));
    // Again and at the same time, now from the caches.
    for browser in [&of_alice, &of_bob, &of_bob, &of_alice] {
        browser.goto(&ui).await;
    }
    assert_eq!(shown(&of_alice).await, alice.subscriptions);
    assert_eq!(shown(&of_bob).await, bob.subscriptions);

    of_alice.click("a[href='/raw']").await;
    let raw = of_alice.find("pre").await.text().await.unwrap();
    assert!(raw.contains("\"subscriptionId\"") && raw.contains("\"value\""));

    sign_out(&of_alice, &ui).await;
    // Bob is not concerned.
    of_bob.goto(&ui).await;
    assert_eq!(shown(&of_bob).await, bob.subscriptions);

    of_alice.close().await;
    of_bob.close().await;
    demo.shutdown().await;
}

/// Signing out ends on a page that says so, and the session is really over, here and at Entra ID.
async fn sign_out(browser: &Browser, ui: &str) {
    let session: Vec<_> = browser.cookies().await;
    assert!(!session.is_empty(), "there is a session");
    browser.click("form[action='/account/logout'] button").await;
    browser.find("a[href='/account/login']").await;
    assert!(browser.url().await.starts_with(ui));
    assert!(browser.text().await.contains("signed out"));
    browser.goto(ui).await;
    assert!(browser.texts("table").await.is_empty());
    browser.click("a[href='/account/login']").await;
    browser.find("#password").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_sign_out_the_back_button_shows_nothing_of_the_user() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = demo.summary().demo_ui.clone();
    let alice = person(&demo, "alice");
    let browser = Browser::open().await;
    sign_in(&browser, &ui, &alice).await;
    browser.click("#accept").await;
    // Straight from the page that the sign-in ends on: a browser keeps that one most readily.
    assert_eq!(shown(&browser).await, alice.subscriptions);
    browser.click("form[action='/account/logout'] button").await;
    browser.find("a[href='/account/login']").await;
    for step in 1..=4 {
        browser.back().await;
        let (url, text) = (browser.url().await, browser.text().await);
        // The emulator's own sign-in page names everybody.
        let name = url.starts_with(&ui).then_some(&alice.display_name);
        for hers in alice.subscriptions.iter().chain(name) {
            assert!(!text.contains(hers), "{step} steps back, at {url}: {text}");
        }
    }
    browser.close().await;
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_consent_is_no_dead_end() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = demo.summary().demo_ui.clone();
    let alice = person(&demo, "alice");
    let browser = Browser::open().await;
    sign_in(&browser, &ui, &alice).await;
    browser.click("#decline").await;
    browser.find("main a[href^='/account/login']").await;
    assert!(browser.url().await.starts_with(&ui));
    browser.click("main a[href^='/account/login']").await;
    browser.click("#continue, #accept").await;
    if browser.url().await.starts_with(demo.emulator().url()) {
        browser.click("#accept").await;
    }
    assert_eq!(shown(&browser).await, alice.subscriptions);
    browser.close().await;
    demo.shutdown().await;
}

/// The web app needs no gateway: whatever lists subscriptions will do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resource_manager_itself_is_an_api_as_well() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let list = format!(
        "{}/subscriptions?api-version=2022-12-01",
        demo.emulator().arm_url()
    );
    let ui = another(&demo, |config| {
        config.api_url = list.parse().unwrap();
        config.api_scope = "https://management.azure.com/user_impersonation".to_owned();
    });
    let ui = ui.await;
    let alice = person(&demo, "alice");
    let browser = Browser::open().await;
    sign_in(&browser, ui.url(), &alice).await;
    browser.click("#accept").await;
    assert_eq!(shown(&browser).await, alice.subscriptions);
    // There is no gateway, and nobody says what became of the request.
    browser.click("a[href='/what-happened']").await;
    let hint = browser.find(".hint").await.text().await.unwrap();
    assert!(
        hint.contains("server_timing = true") && hint.contains("--explain"),
        "{hint}"
    );
    look(&browser, "ui-what-happened-unexplained").await;
    browser.close().await;
    ui.shutdown().await;
    demo.shutdown().await;
}
