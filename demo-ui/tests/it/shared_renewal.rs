//! Tokens are renewed once, on however many machines.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use url::Url;

use crate::browser::Browser;
use crate::redis_server::{Redis, goes_on, two};
use crate::renewal::renewals;
use crate::support::{LOOPBACK, config, list, url_of};

#[tokio::test]
async fn tokens_that_one_machine_renewed_serve_the_other() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, there) = two(&redis).await;
    world.entra.set(|knobs| knobs.expires_in = 0);
    world.sign_in(&here, "alice").await;
    goes_on(&here, &there);
    world.entra.set(|knobs| knobs.expires_in = 3600);
    let before = renewals(&world);
    assert!(there.get("/").await.shows("access-alice"));
    assert_eq!(renewals(&world), before + 1);
    let renewed = world.api.seen().last().unwrap().token().to_owned();
    here.get("/").await;
    assert_eq!(world.api.seen().last().unwrap().token(), renewed);
    assert_eq!(renewals(&world), before + 1);
}

/// The stand-in for Entra ID takes every refresh token once: whoever came second would be sent to sign in.
#[tokio::test]
async fn two_machines_that_need_a_new_token_at_once_share_one_renewal() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, there) = two(&redis).await;
    world.entra.set(|knobs| knobs.expires_in = 0);
    let authorize = world.begin(&here).await;
    here.get(&world.entra.approve(&authorize, "alice")).await;
    goes_on(&here, &there);
    world.entra.set(|knobs| {
        knobs.expires_in = 3600;
        knobs.slow = Duration::from_millis(300);
    });
    let pages = tokio::join!(
        here.get("/"),
        there.get("/"),
        here.get("/raw"),
        there.get("/raw"),
    );
    for page in [pages.0, pages.1, pages.2, pages.3] {
        assert_eq!(page.status, 200, "{}", page.text);
    }
    assert_eq!(renewals(&world), 1);
    for browser in [&here, &there] {
        assert_eq!(browser.get("/").await.status, 200);
    }
    assert_eq!(renewals(&world), 1);
    let names = redis.contents().into_iter().map(|(name, _)| name);
    let left: Vec<_> = names.filter(|name| name.contains("renewal")).collect();
    assert!(left.is_empty(), "it is over: {left:?}");
}

/// An API that answers with one subscription when it is told to.
async fn held_back() -> (Url, Arc<Semaphore>) {
    let (listener, go) = (
        TcpListener::bind(LOOPBACK).await.unwrap(),
        Arc::new(Semaphore::new(0)),
    );
    let (url, told) = (url_of(&listener), Arc::clone(&go));
    let answer = async move || {
        told.acquire().await.unwrap().forget();
        list(&["late"])
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, go)
}

#[tokio::test]
async fn a_late_answer_at_one_machine_does_not_bring_back_the_tokens_that_another_has_renewed() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, _) = two(&redis).await;
    let (url, go) = held_back().await;
    let mut slow = config(&world.entra.url(), &url);
    slow.public_url = Some(world.ui.url().parse().unwrap());
    slow.redis_url = Some(redis.url().into());
    let slow = demo_ui::start(slow).await.unwrap();
    let there = Browser::new(&format!("http://{}", slow.local_addr()));

    // She has just brought a second factor, which is written down as soon as the API has accepted her.
    world.api.answers(|_| {
        let challenge = r#"Bearer error="insufficient_claims", claims="e30=""#;
        (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
    });
    let authorize = world.sign_in(&here, "carol").await.location().to_owned();
    world.entra.set(|knobs| knobs.expires_in = 3);
    here.get(&world.entra.approve(&authorize, "carol")).await;
    goes_on(&here, &there);
    world.api.answers(|_| list(&["early"]));
    world.entra.set(|knobs| knobs.expires_in = 3600);
    let before = renewals(&world);
    let (late, early) = tokio::join!(there.get("/"), async {
        sleep(Duration::from_millis(3_200)).await;
        let early = here.get("/").await;
        go.add_permits(1);
        early
    });
    assert!(late.shows("late") && early.shows("early"));
    assert_eq!(renewals(&world), before + 1);
    assert!(
        here.get("/").await.shows("early"),
        "her refresh token is not that of before"
    );
    assert_eq!(renewals(&world), before + 1);
}
