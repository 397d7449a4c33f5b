//! What goes wrong on the way is a page with a way on.

use entra_emulator::{Endpoint, Fault, demo as entra};
use obo_demo::{Demo, Options};
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    browser::Browser,
    gallery::look,
    journey::{person, shown, sign_in},
    redis::Redis,
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
    let text = browser.find(".failure").await.text().await.unwrap();
    assert!(text.contains("no longer accepted"), "{text}");
    look(&browser, "ui-no-longer-accepted").await;
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
        text.contains("The emulated Entra ID can't be reached"),
        "{text}"
    );
    look(&browser, "ui-entra-away").await;
    // Back to the sign-in, not to the page before it.
    browser.click(".actions a").await;
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
    assert!(browser.text().await.contains("Sign in (emulated Entra ID)"));
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

/// One more web app, beside the demo's; the demo's Entra ID knows its address.
pub(crate) async fn another(
    demo: &Demo,
    change: impl FnOnce(&mut demo_ui::Config),
) -> demo_ui::Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    demo.emulator().update_directory(|directory| {
        let app = directory.application_mut(entra::UI_CLIENT_ID).unwrap();
        let uri = format!("http://localhost:{port}/account/callback");
        app.redirect_uris.push(uri);
        let start = format!("http://localhost:{port}/");
        app.post_logout_redirect_uris.push(start);
    });
    started(demo, listener, change).await
}

/// One more web app, on a listener whose address the demo's Entra ID knows.
async fn started(
    demo: &Demo,
    listener: TcpListener,
    change: impl FnOnce(&mut demo_ui::Config),
) -> demo_ui::Running {
    let api = format!("{}/subscriptions", demo.summary().gateway);
    let mut config = demo_ui::Config::new(
        entra::CONTOSO,
        entra::UI_CLIENT_ID,
        entra::UI_CLIENT_SECRET.to_owned().into(),
        api.parse().unwrap(),
        entra::API_DEFAULT_SCOPE,
    );
    config.authority = Some(demo.emulator().url().parse().unwrap());
    change(&mut config);
    demo_ui::start_on(listener, config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_away_is_named() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    // Nobody else may listen there as long as it is there.
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = format!("http://{}/subscriptions", gone.local_addr().unwrap());
    let ui = another(&demo, |config| config.api_url = address.parse().unwrap()).await;
    let browser = Browser::open().await;
    sign_in(&browser, ui.url(), &person(&demo, "alice")).await;
    browser.click("#accept").await;
    let text = browser.find(".failure").await.text().await.unwrap();
    assert!(
        text.contains("The API can't be reached") && text.contains(&address),
        "{text}"
    );
    look(&browser, "ui-gateway-away").await;
    browser.close().await;
    ui.shutdown().await;
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_sessions_that_is_away_is_said() {
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let nowhere = "redis+unix:///nowhere/obo-browser-test";
    let ui = another(&demo, |config| {
        config.redis_url = Some(nowhere.to_owned().into());
    });
    let ui = ui.await;
    let browser = Browser::open().await;
    browser.goto(ui.url()).await;
    let text = browser.find(".failure").await.text().await.unwrap();
    assert!(
        text.contains("Sessions can't be read") && !text.contains(nowhere),
        "{text}"
    );
    look(&browser, "ui-sessions-away").await;
    browser.close().await;
    ui.shutdown().await;
    demo.shutdown().await;
}

/// The app has been started anew since, and has not found out where Entra ID ends sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_that_entra_id_can_not_be_told_of_says_where_the_user_is_signed_in_still() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = another(&demo, |config| config.redis_url = Some(redis.url().into())).await;
    let (url, address) = (ui.url().to_owned(), ui.local_addr());
    let alice = person(&demo, "alice");
    let browser = Browser::open().await;
    sign_in(&browser, &url, &alice).await;
    browser.click("#accept").await;
    shown(&browser).await;
    ui.shutdown().await;
    let listener = TcpListener::bind(address).await.unwrap();
    let ui = started(&demo, listener, |config| {
        config.redis_url = Some(redis.url().into());
    });
    let ui = ui.await;
    browser.goto(&url).await;
    shown(&browser).await;
    demo.emulator().fail(Endpoint::Discovery, Fault::reset(), 1);
    browser.click("form[action='/account/logout'] button").await;
    let text = browser.find(".failure").await.text().await.unwrap();
    assert!(
        text.contains("You are signed out here, but not at the emulated Entra ID")
            && text.contains("The emulated Entra ID can't be reached"),
        "{text}"
    );
    look(&browser, "ui-signed-out-here-only").await;
    // The way on ends it there too, and comes back.
    browser.click(".actions a").await;
    browser.find("a[href='/account/login']").await;
    assert!(
        browser
            .text()
            .await
            .contains("You are signed out of this app.")
    );
    browser.click("a[href='/account/login']").await;
    browser.find("#password").await;
    browser.close().await;
    ui.shutdown().await;
    demo.shutdown().await;
}

/// As after a failover: that Redis is the other's copy now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_that_the_store_does_not_take_is_said() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let demo = Demo::start(Options::free_ports()).await.unwrap();
    let ui = another(&demo, |config| config.redis_url = Some(redis.url().into())).await;
    let alice = person(&demo, "alice");
    let browser = Browser::open().await;
    sign_in(&browser, ui.url(), &alice).await;
    browser.click("#accept").await;
    shown(&browser).await;
    assert_eq!(redis.say("REPLICAOF 127.0.0.1 1").await.unwrap(), "+OK");
    browser.click("form[action='/account/logout'] button").await;
    let text = browser.find(".failure").await.text().await.unwrap();
    assert!(text.contains("You are still signed in here"), "{text}");
    look(&browser, "ui-still-signed-in").await;
    // It is true, and the way on leads to where the sign-out is.
    browser.click(".actions a").await;
    assert_eq!(shown(&browser).await, alice.subscriptions);
    assert_eq!(redis.say("REPLICAOF NO ONE").await.unwrap(), "+OK");
    browser.click("form[action='/account/logout'] button").await;
    browser.find("a[href='/account/login']").await;
    assert!(browser.text().await.contains("signed out"));
    browser.close().await;
    ui.shutdown().await;
    demo.shutdown().await;
}
