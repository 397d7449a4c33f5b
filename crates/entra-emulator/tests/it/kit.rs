//! The test kit: holding back, failing, counting, recording, starting and stopping.

use std::net::SocketAddr;
use std::time::Duration;

use entra_emulator::{Emulator, Endpoint, Fault, Signature, StartError, demo};
use serde_json::json;

use crate::support::{claims_of, client, exchange, header_of, start};

/// Fails rather than waits for what never comes.
async fn soon(arrival: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(20), arrival)
        .await
        .unwrap();
}

#[tokio::test]
async fn held_requests_wait_for_each_other() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    let hold = emulator.hold(Endpoint::Token);
    let waits = async {
        soon(hold.arrived(3)).await;
        assert_eq!(hold.waiting(), 3);
        assert_eq!(emulator.exchanges(), 0);
        hold.release();
    };
    let exchanges = async {
        tokio::join!(
            exchange(&emulator, &assertion, &[]),
            exchange(&emulator, &assertion, &[]),
            exchange(&emulator, &assertion, &[]),
        )
    };
    let ((), (first, second, third)) = tokio::join!(waits, exchanges);
    assert_eq!([first.status, second.status, third.status], [200; 3]);
    assert_eq!(emulator.count(Endpoint::Token), 3);
}

#[tokio::test]
async fn a_client_that_gives_up_no_longer_waits() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    let hold = emulator.hold(Endpoint::Token);
    tokio::select! {
        _ = exchange(&emulator, &assertion, &[]) => panic!("it was not held"),
        () = soon(hold.arrived(1)) => {}
    }
    // The dropped connection reaches the server a moment later.
    while hold.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(emulator.count(Endpoint::Token), 1);
}

#[tokio::test]
async fn so_many_requests_fail_and_the_next_does_not() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    let fault = Fault::status(429)
        .header("retry-after", "7")
        .json(&json!({"error": "temporarily_unavailable"}));
    emulator.fail(Endpoint::Token, fault, 2);
    for _ in 0..2 {
        let answer = exchange(&emulator, &assertion, &[]).await;
        assert_eq!(answer.status, 429);
        assert_eq!(answer.header("retry-after"), "7");
        assert_eq!(answer.text("error"), "temporarily_unavailable");
    }
    assert_eq!(exchange(&emulator, &assertion, &[]).await.status, 200);
    assert_eq!(emulator.count(Endpoint::Token), 3);
    assert_eq!(emulator.exchanges(), 1);
}

#[tokio::test]
async fn requests_are_recorded_and_their_debug_shows_nothing() {
    let emulator = start().await;
    let assertion = emulator.user_token("alice");
    exchange(&emulator, &assertion, &[]).await;
    let recorded = emulator.requests(Endpoint::Token);
    let [request] = &recorded[..] else {
        panic!("{recorded:?}");
    };
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.path,
        format!("/{}/oauth2/v2.0/token", demo::CONTOSO)
    );
    assert_eq!(request.parameter("assertion").unwrap(), assertion);
    assert_eq!(request.form().len(), 6);
    let debug = format!("{request:?}");
    assert!(!debug.contains(demo::API_CLIENT_SECRET), "{debug}");
    assert!(!debug.contains(&assertion), "{debug}");
}

#[tokio::test]
async fn tokens_are_made_to_order() {
    let emulator = start().await;
    let good = emulator.token().sign();
    let claims = claims_of(&good);
    for (name, value) in [
        ("aud", json!(demo::API_CLIENT_ID)),
        (
            "iss",
            json!(format!("{}/{}/v2.0", emulator.url(), demo::CONTOSO)),
        ),
        ("azp", json!(demo::UI_CLIENT_ID)),
        ("azpacr", json!("1")),
        ("scp", json!("access_as_user")),
        ("oid", json!(demo::ALICE_OID)),
        ("tid", json!(demo::CONTOSO)),
        ("ver", json!("2.0")),
        ("preferred_username", json!("alice@contoso.example")),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert_eq!(
        header_of(&good),
        json!({"typ": "JWT", "alg": "RS256", "kid": emulator.current_kid()})
    );

    let changed = emulator
        .token()
        .user("bob")
        .claim("exp", json!("tomorrow"))
        .without_claim("tid")
        .header("alg", json!("HS256"))
        .without_header("kid")
        .signature(Signature::Hs256(emulator.public_key_pem().into_bytes()))
        .sign();
    assert_eq!(claims_of(&changed)["exp"], "tomorrow");
    assert_eq!(claims_of(&changed)["oid"], demo::BOB_OID);
    assert!(claims_of(&changed).get("tid").is_none());
    assert_eq!(header_of(&changed), json!({"typ": "JWT", "alg": "HS256"}));
    // HMAC-SHA-256 is 32 bytes, 43 characters of base64url.
    assert_eq!(changed.rsplit('.').next().unwrap().len(), 43);

    let app = claims_of(&emulator.token().app_only().sign());
    assert_eq!(app["idtyp"], "app");
    assert!(app.get("scp").is_none() && app["roles"].is_array());
    let unsigned = emulator.token().signature(Signature::Empty).sign();
    assert!(unsigned.ends_with('.'));
}

#[tokio::test]
async fn instances_share_nothing() {
    let (one, other) = (start().await, start().await);
    assert_ne!(one.url(), other.url());
    let foreign = one.user_token("alice");
    other.grant_consent("alice");
    exchange(&other, &foreign, &[])
        .await
        .assert_refused(400, "invalid_grant", 50_013);
    assert_eq!(one.count(Endpoint::Token), 0);
}

#[tokio::test]
async fn it_listens_on_loopback_alone_unless_told_otherwise() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let refused = Emulator::builder().listen(everywhere).start().await;
    assert!(matches!(refused, Err(StartError::Exposed { .. })));
    let refused = Emulator::builder().arm_listen(everywhere).start().await;
    assert!(matches!(refused, Err(StartError::Exposed { .. })));
}

#[tokio::test]
async fn a_shutdown_lets_go_of_held_requests_and_closes_the_ports() {
    let emulator = start().await;
    let (address, url) = (emulator.address(), emulator.token_url(demo::CONTOSO));
    let hold = emulator.hold(Endpoint::Token);
    let held = tokio::spawn(client().post(url).form(&[("grant_type", "x")]).send());
    soon(hold.arrived(1)).await;
    emulator.shutdown().await;
    assert_eq!(held.await.unwrap().unwrap().status(), 400);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    drop(hold);
}
