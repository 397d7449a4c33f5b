//! What can be made to go wrong at an endpoint, in a test and by the control API.

use std::net::SocketAddr;
use std::time::Duration;

use entra_emulator::{Emulator, Endpoint, Fault, demo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Answer, client, exchange, obo_form, start, trusting};

/// Both ways to order the same fault.
async fn order(emulator: &Emulator, by_http: bool, fault: Fault, order: &Value) {
    if !by_http {
        return emulator.fail(Endpoint::Token, fault, 1);
    }
    let answer = set(emulator, order).await;
    assert_eq!(answer.status, 204, "{order}: {}", answer.body);
}

async fn set(emulator: &Emulator, order: &Value) -> Answer {
    let url = format!("{}/emulator/endpoints/token/faults", emulator.url());
    let request = client().post(url).json(order);
    Answer::of(request.send().await.unwrap()).await
}

/// What a connection of its own gets for a request of the token endpoint, and how it ends.
async fn raw(address: SocketAddr) -> (Vec<u8>, std::io::Result<()>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let path = format!("/{}/oauth2/v2.0/token", demo::CONTOSO);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\na="
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.map(drop);
    (bytes, end)
}

/// After a fault the endpoint is as it was.
async fn works_again(emulator: &Emulator) {
    let assertion = emulator.user_token("alice");
    assert_eq!(exchange(emulator, &assertion, &[]).await.status, 200);
}

#[tokio::test]
async fn a_reset_is_a_reset_and_comes_without_a_byte() {
    let emulator = start().await;
    for by_http in [false, true] {
        order(
            &emulator,
            by_http,
            Fault::reset(),
            &json!({"kind": "reset"}),
        )
        .await;
        let (bytes, end) = raw(emulator.address()).await;
        assert_eq!(bytes, b"");
        let kind = end.unwrap_err().kind();
        assert_eq!(kind, std::io::ErrorKind::ConnectionReset);
        works_again(&emulator).await;
    }
}

#[tokio::test]
async fn garbage_is_exactly_the_bytes_and_the_end_of_the_connection() {
    let emulator = start().await;
    let long = "no HTTP ".repeat(100_000);
    for by_http in [false, true] {
        for (text, wish) in [
            ("SSH-2.0-OpenSSH_9.2\r\n", json!({"kind": "garbage"})),
            (&*long, json!({"kind": "garbage", "body": long})),
        ] {
            order(&emulator, by_http, Fault::garbage(text), &wish).await;
            let (bytes, end) = raw(emulator.address()).await;
            assert!(bytes == text.as_bytes(), "{} bytes", bytes.len());
            assert!(end.is_ok(), "{end:?}");
            works_again(&emulator).await;
        }
    }
}

#[tokio::test]
async fn a_hanging_endpoint_answers_nobody_and_lets_go_at_the_end() {
    let emulator = start().await;
    for by_http in [false, true] {
        order(&emulator, by_http, Fault::hang(), &json!({"kind": "hang"})).await;
        let patience = Duration::from_millis(100);
        let waits = tokio::time::timeout(patience, raw(emulator.address())).await;
        assert!(waits.is_err(), "it was answered");
        works_again(&emulator).await;
    }
    emulator.fail(Endpoint::Token, Fault::hang(), 1);
    let before = emulator.count(Endpoint::Token);
    let hanging = tokio::spawn(raw(emulator.address()));
    while emulator.count(Endpoint::Token) == before {
        tokio::task::yield_now().await;
    }
    emulator.shutdown().await;
    let (bytes, end) = hanging.await.unwrap();
    assert_eq!(bytes, b"");
    assert!(end.is_err(), "an end is no answer either");
}

#[tokio::test]
async fn an_answer_comes_later_the_real_one_or_another() {
    let emulator = start().await;
    let delay = Duration::from_millis(300);
    for by_http in [false, true] {
        for (status, fault, wish) in [
            (
                "400",
                Fault::slow(delay),
                json!({"kind": "slow", "after": 0.3}),
            ),
            (
                "503",
                Fault::status(503).after(delay),
                json!({"status": 503, "after": 0.3}),
            ),
        ] {
            order(&emulator, by_http, fault, &wish).await;
            let begun = Instant::now();
            let (answer, _) = raw(emulator.address()).await;
            let answer = String::from_utf8(answer).unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
            assert!(begun.elapsed() >= delay);
        }
    }
}

#[tokio::test]
async fn a_huge_body_is_made_as_it_is_taken() {
    const HUGE: u64 = 64 * 1024 * 1024;
    let emulator = start().await;
    for by_http in [false, true] {
        for announced in [false, true] {
            let mut fault = Fault::status(200).body("{").streamed(HUGE);
            let mut wish = json!({"status": 200, "body": "{", "streamed": HUGE});
            if announced {
                let length = (HUGE + 1).to_string();
                fault = fault.header("content-length", &length);
                wish["headers"] = json!({"content-length": length});
            }
            order(&emulator, by_http, fault.clone(), &wish).await;
            let before = emulator.streamed(Endpoint::Token);
            let token = client().post(emulator.token_url(demo::CONTOSO));
            let mut response = token.send().await.unwrap();
            let length = response.headers().get("content-length").is_some();
            assert_eq!(length, announced);
            let first = response.chunk().await.unwrap().unwrap();
            assert_eq!(first[0], b'{');
            drop(response);
            // What the connection's buffers hold, and far less than there is.
            let taken = emulator.streamed(Endpoint::Token) - before;
            assert!(taken < HUGE / 2, "{taken}");

            order(&emulator, by_http, fault, &wish).await;
            let token = client().post(emulator.token_url(demo::CONTOSO));
            let mut response = token.send().await.unwrap();
            let mut read = 0;
            while let Some(chunk) = response.chunk().await.unwrap() {
                read += chunk.len() as u64;
            }
            assert_eq!(read, HUGE + 1);
            works_again(&emulator).await;
        }
    }
}

#[tokio::test]
async fn the_same_goes_wrong_over_https() {
    let emulator = Emulator::builder().https().start().await.unwrap();
    let assertion = emulator.token().https().sign();
    let url = format!(
        "{}/{}/oauth2/v2.0/token",
        emulator.https_url().unwrap(),
        demo::CONTOSO
    );
    let client = trusting(&emulator);
    for fault in [Fault::reset(), Fault::garbage("no HTTP")] {
        emulator.fail(Endpoint::Token, fault, 1);
        let sent = client.post(&url).form(&obo_form(&assertion)).send().await;
        assert!(!sent.unwrap_err().is_timeout());
    }
    emulator.grant_consent("alice");
    let sent = client.post(&url).form(&obo_form(&assertion)).send().await;
    assert_eq!(sent.unwrap().status(), 200);
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused() {
    let emulator = start().await;
    for wish in [
        json!({}),
        json!({"status": 99}),
        json!({"status": 600}),
        json!({"kind": "explode"}),
        json!({"kind": "slow"}),
        json!({"kind": "slow", "after": -1}),
        json!({"kind": "hang", "status": 200}),
        json!({"kind": "reset", "body": "x"}),
        json!({"status": 200, "delay": 1}),
    ] {
        let answer = set(&emulator, &wish).await;
        assert_eq!(answer.status, 422, "{wish}");
    }
    works_again(&emulator).await;
}
