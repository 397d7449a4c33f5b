//! EX-07 … EX-10: the connection to Entra ID, and answers that nobody should give.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entra_emulator::{Emulator, Endpoint, demo};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tower_obo::{Event, Observer};

use crate::{
    answer::Answer,
    fixture::{World, with_token},
    forge::Trap,
    script::{Line, Script, world_at, world_with},
};

/// The request is answered without the service behind, and without a word of what went wrong on
/// the wire.
pub(crate) async fn failed(world: &World, case: &str, status: u16, kind: &str) -> Answer {
    let token = world.entra.token().sign();
    let answer = world.send(with_token(&token)).await;
    assert_eq!(answer.status.as_u16(), status, "{case}: {}", answer.body);
    assert_eq!(answer.problem_type(), kind, "{case}");
    assert_eq!(world.upstream.calls(), 0, "{case}");
    assert!(answer.challenge().is_none(), "{case}");
    let waits = answer.header("retry-after").is_some();
    assert_eq!(waits, status == 503, "{case}");
    answer.is_a_refusal(case);
    for word in [
        &*token,
        "os error",
        "connection",
        "reqwest",
        "hyper",
        "127.0.0.1",
    ] {
        answer.does_not_hold(word, case);
    }
    answer
}

#[tokio::test]
async fn ex_07_silence_of_the_token_endpoint_is_a_time_out() {
    let timeout = Duration::from_millis(300);
    let world = World::with(|builder| builder.with_http_timeout(timeout)).await;
    let hold = world.entra.hold(Endpoint::Token);
    failed(&world, "silence", 504, "identity-provider-timeout").await;
    assert_eq!(
        world.exchanges_asked(),
        2,
        "one attempt more and no further"
    );
    hold.release();
    let token = world.entra.user_token("alice");
    world.accepted("not remembered", &token).await;
}

/// An address where nobody listens, nor anybody else may, for as long as the socket is there.
pub(crate) fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn ex_07_a_token_endpoint_out_of_reach_is_unavailable() {
    let script = Script::start().await;
    let world = world_at(script.url()).await;
    script.will(Line::Reset);
    failed(&world, "reset", 503, "identity-provider-unavailable").await;
    assert_eq!(
        script.requests().len(),
        2,
        "one attempt more and no further"
    );
    drop(script);

    let (_closed, nobody) = nobody();
    let world = world_at(&format!("http://{nobody}")).await;
    failed(&world, "refused", 503, "identity-provider-unavailable").await;
}

#[tokio::test]
async fn ex_07_a_server_that_cannot_prove_who_it_is_gets_nothing() {
    let script = Script::start().await;
    script.will(Line::json(200, "{}"));
    let world = world_at(&script.url().replace("http://", "https://")).await;
    failed(&world, "TLS", 502, "unusable-identity-provider").await;
    let said = script.requests().concat();
    assert!(!said.contains("assertion") && !said.contains(demo::API_CLIENT_SECRET));
}

/// An answer that is good but for what is changed in it.
fn answer(changes: &[(&str, Value)]) -> String {
    let mut body =
        json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "downstream"});
    for (name, value) in changes {
        match value {
            Value::Null => drop(body.as_object_mut().unwrap().remove(*name)),
            value => body[*name] = value.clone(),
        }
    }
    body.to_string()
}

/// What counts is in the head, and that has arrived.
#[tokio::test]
async fn ex_06_a_throttle_or_a_fault_that_breaks_off_is_one_all_the_same() {
    for (status, kind, times) in [
        (429, "throttled", 1),
        (503, "identity-provider-unavailable", 1),
        (504, "identity-provider-unavailable", 1),
    ] {
        let head = format!(
            "HTTP/1.1 {status} Status\r\nretry-after: 17\r\ncontent-length: 67108864\r\n\r\n{{"
        );
        let endless: &'static str = Box::leak(head.clone().into_boxed_str());
        for line in [Line::Say(head.into()), Line::Flood(endless)] {
            let script = Script::start().await;
            let world = world_at(script.url()).await;
            script.will(line);
            let case = status.to_string();
            let answer = failed(&world, &case, 503, kind).await;
            assert_eq!(answer.header("retry-after"), Some("17"), "{case}");
            assert_eq!(script.requests().len(), times, "{case}");
            // A throttle is everybody's.
            let other = world.entra.user_token("bob");
            let asked = usize::from(status != 429);
            assert_eq!(world.get(&other).await.status.as_u16(), 503, "{case}");
            assert_eq!(script.requests().len(), times + asked, "{case}");
        }
    }
    // Without a word of how long, a fault is tried once more.
    let script = Script::start().await;
    let world = world_at(script.url()).await;
    script.will(Line::Say(
        b"HTTP/1.1 500 Status\r\ncontent-length: 999\r\n\r\n{".to_vec(),
    ));
    failed(&world, "500", 503, "identity-provider-unavailable").await;
    assert_eq!(script.requests().len(), 2);
    // A refusal that breaks off does not say whom it refuses.
    script.will(Line::Say(
        b"HTTP/1.1 400 Status\r\ncontent-length: 999\r\n\r\n{".to_vec(),
    ));
    let world = world_at(script.url()).await;
    failed(&world, "400", 502, "unusable-identity-provider").await;
}

#[tokio::test]
async fn ex_08_a_success_that_holds_no_usable_token_is_none() {
    let script = Script::start().await;
    let mut lines = vec![
        ("HTML", Line::json(200, "<html>Sign in</html>")),
        ("nothing", Line::json(200, "")),
        ("a list", Line::json(200, "[]")),
        ("null", Line::json(200, "null")),
        (
            "cut off",
            Line::json(200, "{\"access_token\":\"downstream\""),
        ),
        ("201", Line::json(201, &answer(&[]))),
        ("no HTTP", Line::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        (
            "broken off",
            Line::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{".to_vec()),
        ),
        (
            "64 MB announced",
            Line::Flood("HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n"),
        ),
        ("without end", Line::Flood("HTTP/1.1 200 OK\r\n\r\n")),
    ];
    let changes = [
        ("access_token", json!(null)),
        ("access_token", json!("")),
        ("access_token", json!(5)),
        ("access_token", json!(["downstream"])),
        ("access_token", json!("down stream")),
        ("access_token", json!("down\r\nx-injected: 1")),
        ("access_token", json!("down\nstream")),
        ("access_token", json!("down\tstream")),
        ("access_token", json!("down\u{0}stream")),
        ("access_token", json!("döwnstream")),
        ("token_type", json!(null)),
        ("token_type", json!("mac")),
        ("token_type", json!("pop")),
        ("token_type", json!(["Bearer"])),
        ("expires_in", json!(null)),
        ("expires_in", json!(0)),
        ("expires_in", json!(-1)),
        ("expires_in", json!(1.5)),
        ("expires_in", json!("soon")),
        ("expires_in", json!("")),
        ("expires_in", json!("-5")),
        ("expires_in", json!(u64::MAX)),
        ("expires_in", json!([3599])),
    ];
    for change in &changes {
        lines.push((
            change.0,
            Line::json(200, &answer(std::slice::from_ref(change))),
        ));
    }
    let world = world_at(script.url()).await;
    for (case, line) in lines {
        script.will(line.clone());
        let case = format!("{case}: {line:.120?}");
        // What is no HTTP at all is a connection that failed.
        let (status, kind) = match case.starts_with("no HTTP") {
            true => (503, "identity-provider-unavailable"),
            false => (502, "unusable-identity-provider"),
        };
        failed(&world, &case, status, kind).await;
        // What says that nobody is there holds the user back for a while.
        world.clock.advance(Duration::from_secs(5));
    }
    for change in [
        ("expires_in", json!("3599")),
        ("token_type", json!("bearer")),
        ("more", json!({"a": [1]})),
    ] {
        script.will(Line::json(200, &answer(&[change])));
        let token = world.entra.token().sign();
        let answer = world.send(with_token(&token)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(world.upstream.last().authorization(), "Bearer downstream");
    }
}

#[tokio::test]
async fn ex_09_a_redirect_is_not_followed() {
    let script = Script::start().await;
    let world = world_at(script.url()).await;
    let trap = Trap::set();
    for status in [301, 302, 303, 307, 308] {
        let head = format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {}/token\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n",
            trap.url()
        );
        script.will(Line::Say(head.into()));
        let before = script.requests().len();
        let case = status.to_string();
        failed(&world, &case, 502, "unusable-identity-provider").await;
        assert_eq!(script.requests().len(), before + 1, "{case}");
    }
    trap.was_never_called();
}

#[tokio::test]
async fn ex_10_a_token_of_somebody_else_is_refused() {
    let script = Script::start().await;
    let alarms = Alarms::default();
    let entra = Emulator::builder().start().await.unwrap();
    let world = world_with(entra, script.url(), |builder| {
        builder.observer(alarms.clone())
    });
    let jwt = |claims: Value| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let own = world.entra.token().sign();
    for (case, token) in [
        ("the assertion", own.clone()),
        (
            "another user",
            jwt(json!({"tid": demo::CONTOSO, "oid": demo::BOB_OID})),
        ),
        (
            "another tenant",
            jwt(json!({"tid": demo::FABRIKAM, "oid": demo::ALICE_OID})),
        ),
        (
            "another user, no tenant",
            jwt(json!({"oid": demo::BOB_OID})),
        ),
    ] {
        script.will(Line::json(200, &answer(&[("access_token", json!(token))])));
        let answer = world.send(with_token(&own)).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{case}");
        assert_eq!(
            answer.problem_type(),
            "unusable-identity-provider",
            "{case}"
        );
        assert_eq!(world.upstream.calls(), 0, "{case}");
        answer.does_not_hold(&token, case);
        // Not every request of the same caller causes another.
        let asked = script.requests().len();
        assert_eq!(world.get(&own).await.status, StatusCode::BAD_GATEWAY);
        assert_eq!(script.requests().len(), asked, "{case}");
        world.clock.advance(Duration::from_secs(5));
    }
    let alarms_of_these = alarms.0.swap(0, Ordering::Relaxed);
    assert_eq!(alarms_of_these, 4, "one alarm each");
    for token in [
        jwt(json!({"tid": demo::CONTOSO, "oid": demo::ALICE_OID})),
        jwt(json!({"other": 1})),
        "opaque".to_owned(),
    ] {
        script.will(Line::json(200, &answer(&[("access_token", json!(token))])));
        let fresh = world.entra.token().sign();
        assert_eq!(world.get(&fresh).await.status, StatusCode::OK);
    }
    assert_eq!(alarms.0.load(Ordering::Relaxed), 0);
}

/// How many times a token of somebody else has come.
#[derive(Clone, Debug, Default)]
struct Alarms(Arc<AtomicUsize>);

impl Observer for Alarms {
    fn on(&self, event: &Event<'_>) {
        if matches!(event, Event::ForeignToken) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
