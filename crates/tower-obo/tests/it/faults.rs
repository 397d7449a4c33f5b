//! EX-07, EX-08, KS-01, KS-02, TL-01: Entra ID hangs, resets, talks no HTTP, never stops talking, or
//! can't prove who it is.

use std::time::Duration;

use entra_emulator::{Emulator, Endpoint, Fault, demo};
use http::StatusCode;
use tower_obo::{Entra, TokenDefect};

use crate::{
    fixture::{World, with_token},
    script::world_of,
    transport::failed,
};

const HUGE: u64 = 64 * 1024 * 1024;
/// The most of an answer that is read.
const LIMIT: usize = 1024 * 1024;
/// What is read, and what the buffers of a connection take on the way.
const TAKEN: u64 = HUGE / 2;
/// Short, and enough for honest answers on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long made-up key ids cause no further fetch.
const COOL_DOWN: Duration = Duration::from_secs(300);

async fn impatient() -> World {
    World::with(|builder| builder.with_http_timeout(TIMEOUT)).await
}

fn endless(announced: bool) -> Fault {
    let fault = Fault::status(200).streamed(HUGE);
    match announced {
        true => fault.header("content-length", HUGE.to_string()),
        false => fault.header("content-type", "application/json"),
    }
}

#[tokio::test]
async fn ex_07_a_token_endpoint_that_never_answers_is_a_time_out() {
    let world = impatient().await;
    world.entra.fail(Endpoint::Token, Fault::hang(), 2);
    failed(&world, "hang", 504, "identity-provider-timeout").await;
    assert_eq!(world.exchanges_asked(), 2, "one attempt more, no further");
    let late = Fault::slow(Duration::from_secs(60));
    world.entra.fail(Endpoint::Token, late, 2);
    failed(&world, "late", 504, "identity-provider-timeout").await;
    let token = world.entra.user_token("alice");
    world.accepted("not remembered", &token).await;
}

#[tokio::test]
async fn ex_07_a_token_endpoint_that_resets_is_unavailable() {
    for fault in [Fault::reset(), Fault::garbage("SSH-2.0-OpenSSH_9.2\r\n")] {
        let world = World::start().await;
        let case = format!("{fault:?}");
        world.entra.fail(Endpoint::Token, fault.clone(), 2);
        failed(&world, &case, 503, "identity-provider-unavailable").await;
        assert_eq!(world.exchanges_asked(), 2, "{case}");
        // Once is no more than a hiccup.
        world.entra.fail(Endpoint::Token, fault, 1);
        let token = world.entra.user_token("bob");
        world.accepted(&case, &token).await;
        assert_eq!(world.exchanges_asked(), 4, "{case}");
    }
}

/// The emulator's certificate is good for its name; that nobody trusts its authority is all.
#[tokio::test]
async fn ex_07_tl_01_a_token_endpoint_of_an_unknown_authority_is_told_nothing() {
    let entra = Emulator::builder().https().start().await.unwrap();
    let authority = entra.https_url().unwrap().to_owned();
    let world = world_of(entra, &authority);
    failed(&world, "unknown CA", 502, "unusable-identity-provider").await;
    assert_eq!(world.exchanges_asked(), 0);
}

#[tokio::test]
async fn tl_01_keys_of_an_unknown_authority_are_none() {
    let entra = Emulator::builder().https().start().await.unwrap();
    let authority = entra.https_url().unwrap().to_owned();
    let token = entra.token().https().sign();
    let clock = tower_obo::TestClock::starting_now();
    let contoso = Entra::tenant(demo::CONTOSO);
    let core = crate::fixture::core_at(&authority, contoso, &clock, |builder| builder);
    let world = World {
        entra,
        clock,
        core,
        upstream: crate::fixture::Upstream::default(),
    };
    let answer = world.refused("unknown CA", with_token(&token)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.problem_type(), "keys-not-loaded");
    assert!(!world.core.is_ready());
    assert_eq!(world.entra.count(Endpoint::Discovery), 0);
    assert_eq!(world.entra.count(Endpoint::Keys), 0);
}

#[tokio::test]
async fn ex_08_an_answer_of_one_mib_is_read_and_not_a_byte_more() {
    let world = World::start().await;
    let good = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"downstream"}"#;
    let blank = LIMIT - good.len();
    for (case, blank, status) in [("the limit", blank, 200), ("one more", blank + 1, 502)] {
        let answer = Fault::status(200).body(good).streamed(blank as u64);
        world.entra.fail(Endpoint::Token, answer, 1);
        let answer = world.get(&world.entra.token().sign()).await;
        assert_eq!(answer.status.as_u16(), status, "{case}");
    }
}

#[tokio::test]
async fn ex_08_of_an_answer_of_64_mb_one_is_read() {
    let world = World::start().await;
    for announced in [true, false] {
        let case = format!("announced: {announced}");
        let before = world.entra.streamed(Endpoint::Token);
        world.entra.fail(Endpoint::Token, endless(announced), 1);
        failed(&world, &case, 502, "unusable-identity-provider").await;
        let read = world.entra.streamed(Endpoint::Token) - before;
        assert!(read < TAKEN, "{case}: {read} bytes");
    }
    let token = world.entra.user_token("alice");
    world.accepted("afterwards", &token).await;
}

#[tokio::test]
async fn ks_02_faults_of_the_connection_leave_the_last_good_keys_in_use() {
    // It waits until the fetch has ended.
    let world = World::callers_alone(|builder| {
        builder
            .with_http_timeout(TIMEOUT)
            .with_key_wait(Duration::from_secs(30))
    })
    .await;
    let good = world.entra.token().expires_in(5 * 24 * 3600).sign();
    let faults = || {
        [
            Fault::hang(),
            Fault::reset(),
            Fault::garbage("no HTTP"),
            endless(true),
            endless(false),
        ]
    };
    for endpoint in [Endpoint::Discovery, Endpoint::Keys] {
        for fault in faults() {
            let case = format!("{endpoint:?} {fault:?}");
            world.clock.advance(COOL_DOWN);
            let before = (world.entra.count(endpoint), world.entra.streamed(endpoint));
            world.entra.fail(endpoint, fault, 1);
            let unknown = world.entra.token().header("kid", "made-up").sign();
            world
                .invalid(&case, TokenDefect::UnknownKey, &unknown)
                .await;
            assert_eq!(world.entra.count(endpoint), before.0 + 1, "{case}");
            let read = world.entra.streamed(endpoint) - before.1;
            assert!(read < TAKEN, "{case}: {read} bytes");
            world.is_valid(&case, &good).await;
        }
    }
}

#[tokio::test]
async fn ks_01_faults_of_the_connection_at_the_start_are_overcome() {
    for endpoint in [Endpoint::Discovery, Endpoint::Keys] {
        let contoso = Entra::tenant(demo::CONTOSO);
        let world =
            World::without_keys(contoso, |builder| builder.with_http_timeout(TIMEOUT)).await;
        let token = world.entra.user_token("alice");
        for fault in [
            Fault::hang(),
            Fault::reset(),
            Fault::garbage("?"),
            endless(false),
        ] {
            let case = format!("{endpoint:?} {fault:?}");
            world.entra.fail(endpoint, fault, 1);
            let answer = world.refused(&case, with_token(&token)).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{case}");
            assert_eq!(answer.problem_type(), "keys-not-loaded", "{case}");
            world.clock.advance(Duration::from_secs(10));
        }
        world.accepted("recovered", &token).await;
    }
}
