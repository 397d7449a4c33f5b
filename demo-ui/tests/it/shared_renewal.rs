//! Tokens are renewed once, on however many machines.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::browser::Browser;
use crate::redis_server::{Redis, goes_on, two};
use crate::renewal::renewals;
use crate::support::{LOOPBACK, World, config, list, url_of};

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

/// A lock that can't be given back ends by itself, and nobody is kept from their pages by it.
#[tokio::test]
async fn where_redis_runs_no_script_a_renewal_is_one_all_the_same() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, there) = two(&redis).await;
    world.entra.set(|knobs| knobs.expires_in = 0);
    let authorize = world.begin(&here).await;
    here.get(&world.entra.approve(&authorize, "alice")).await;
    goes_on(&here, &there);
    world.entra.set(|knobs| knobs.expires_in = 3600);
    redis.say(&["ACL", "SETUSER", "default", "-eval"]);
    for browser in [&here, &there] {
        assert!(browser.get("/").await.shows("access-alice"));
    }
    assert_eq!(renewals(&world), 1);
    let names = redis.contents().into_iter().map(|(name, _)| name);
    let left: Vec<_> = names.filter(|name| name.contains("renewal")).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let mut connection = redis.connection().unwrap();
    let mut life = redis::cmd("PTTL");
    let life: i64 = life.arg(&left[0]).query(&mut connection).unwrap();
    assert!((60_000..=80_000).contains(&life), "{life} ms");
}

/// An API that answers with one subscription when it is told to, and the tokens that it has got.
async fn held_back() -> (Url, Arc<Semaphore>, Arc<Mutex<Vec<String>>>) {
    let (listener, go) = (
        TcpListener::bind(LOOPBACK).await.unwrap(),
        Arc::new(Semaphore::new(0)),
    );
    let (url, told) = (url_of(&listener), Arc::clone(&go));
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let tokens = Arc::clone(&seen);
    let answer = async move |headers: HeaderMap| {
        let token = headers["authorization"].to_str().unwrap();
        tokens.lock().unwrap().push(token.to_owned());
        told.acquire().await.unwrap().forget();
        list(&["late"])
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, go, seen)
}

#[tokio::test]
async fn a_late_answer_at_one_machine_does_not_bring_back_the_tokens_that_another_has_renewed() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (world, _other, here, _) = two(&redis).await;
    let (url, go, held) = held_back().await;
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
    let renewed = format!("Bearer {}", world.api.seen().last().unwrap().token());
    let held = held.lock().unwrap().clone();
    assert!(
        held.len() == 1 && held[0] != renewed,
        "it was under way with the token of before"
    );
    assert_eq!(renewals(&world), before + 1);
    assert!(
        here.get("/").await.shows("early"),
        "her refresh token is not that of before"
    );
    assert_eq!(renewals(&world), before + 1);
}

async fn read(from: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 1024];
    let length = from.read(&mut bytes).await.unwrap_or(0);
    bytes.truncate(length);
    bytes
}

fn has(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// When a way to Redis breaks off.
#[derive(Clone, Copy)]
enum Breaks {
    /// Once: when the first lock was taken, before it is said so.
    LockTaken,
    /// Twice, as whatever breaks is sent again: when renewed tokens come, before they are kept.
    TokensNotKept,
}

async fn breaking_off(redis: &Redis, breaks: Breaks) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let (socket, broken) = (redis.socket(), Arc::new(AtomicUsize::new(0)));
    let times = Arc::clone(&broken);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = UnixStream::connect(&socket).await.unwrap();
            let times = Arc::clone(&times);
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        asked = read(&mut client) => {
                            // As words of the protocol: what is sealed has any two letters sometimes.
                            let (words, most) = match breaks {
                                Breaks::LockTaken => ([b"renewal:".as_slice(), b"\r\nNX\r\n"], 1),
                                Breaks::TokensNotKept => ([b"tokens:".as_slice(), b"\r\nXX\r\n"], 2),
                            };
                            let now = words.iter().all(|word| has(&asked, word))
                                && times.fetch_add(1, Ordering::Relaxed) < most;
                            if now && matches!(breaks, Breaks::TokensNotKept) {
                                return;
                            }
                            if asked.is_empty() || server.write_all(&asked).await.is_err() {
                                return;
                            }
                            if now {
                                read(&mut server).await;
                                return;
                            }
                        }
                        answer = read(&mut server) => {
                            if answer.is_empty() || client.write_all(&answer).await.is_err() {
                                return;
                            }
                        }
                    }
                }
            });
        }
    });
    (url, broken)
}

/// The name and the owner of the one lock that there is.
fn lock(redis: &Redis) -> Option<(String, Vec<u8>)> {
    let mut all = redis.contents().into_iter();
    all.find(|(name, _)| name.contains("renewal"))
}

#[tokio::test]
async fn a_lock_that_was_taken_when_the_connection_broke_is_not_taken_for_another_s() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (url, broken) = breaking_off(&redis, Breaks::LockTaken).await;
    let world = World::with(|config| config.redis_url = Some(url.into())).await;
    let browser = world.browser();
    world.entra.set(|knobs| knobs.expires_in = 0);
    let authorize = world.begin(&browser).await;
    browser.get(&world.entra.approve(&authorize, "alice")).await;
    world.entra.set(|knobs| knobs.expires_in = 3600);
    let begun = Instant::now();
    let page = browser.get("/").await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(broken.load(Ordering::Relaxed), 2, "it was sent again");
    assert!(begun.elapsed() < Duration::from_secs(20), "for itself");
    assert_eq!(renewals(&world), 1);
    assert_eq!(lock(&redis), None, "it is over");
}

#[tokio::test]
async fn renewed_tokens_that_redis_did_not_take_are_put_there_once_more() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let (url, broken) = breaking_off(&redis, Breaks::TokensNotKept).await;
    let world = World::with(|config| config.redis_url = Some(url.into())).await;
    let browser = world.browser();
    world.entra.set(|knobs| knobs.expires_in = 0);
    let authorize = world.begin(&browser).await;
    browser.get(&world.entra.approve(&authorize, "alice")).await;
    world.entra.set(|knobs| knobs.expires_in = 3600);
    for _ in 0..2 {
        let page = browser.get("/").await;
        assert_eq!(page.status, 200, "{}", page.text);
    }
    assert_eq!(broken.load(Ordering::Relaxed), 3);
    assert_eq!(renewals(&world), 1);
}

#[tokio::test]
async fn another_s_lock_is_neither_taken_away_nor_passed_by() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let world = World::with(|config| {
        config.redis_url = Some(redis.url().into());
        config.timeout = Duration::from_secs(2);
    })
    .await;
    let browser = world.browser();
    world.entra.set(|knobs| knobs.expires_in = 0);
    let authorize = world.begin(&browser).await;
    browser.get(&world.entra.approve(&authorize, "alice")).await;
    world
        .entra
        .set(|knobs| knobs.slow = Duration::from_millis(1_000));
    // Its time was over meanwhile, and another has it.
    let (page, name) = tokio::join!(browser.get("/"), async {
        while renewals(&world) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        let (name, _) = lock(&redis).unwrap();
        redis.say(&["SET", &name, "another"]);
        name
    });
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(lock(&redis), Some((name, b"another".to_vec())));

    let begun = Instant::now();
    let page = browser.get("/").await;
    assert_eq!(page.status, 504, "{}", page.text);
    assert!(page.shows("The emulated Entra ID"), "{}", page.text);
    assert!(
        begun.elapsed() > Duration::from_secs(4),
        "it may ask for two answers, of 2 s each"
    );
    assert_eq!(renewals(&world), 1, "the refresh token is another's");
}
