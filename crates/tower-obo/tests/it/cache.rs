//! CA-01 … CA-06: whose token is whose, and for how long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use entra_emulator::{Endpoint, Fault, demo};
use http::StatusCode;
use serde_json::{Value, json};
use tower_obo::{
    AccessPolicy, Clock, Downstream, ExchangeError, ExchangeErrorKind, ExchangeRequest, Exchanging,
    Policy, Secret, TokenDefect, TokenExchange, TokenResponse,
};

use crate::{
    fixture::{Seen, World, policy, with_token},
    forge::{self, base64url, decoded, parts},
    tcp,
};

/// Whom the downstream token stands for that a service got.
fn user_of(seen: &Seen) -> String {
    let token = seen.authorization();
    let claims: Value = serde_json::from_slice(&decoded(parts(&token)[1])).unwrap();
    claims["oid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ca_01_each_user_gets_the_own_token_on_shared_connections() {
    let world = Arc::new(World::start().await);
    let users = [("alice", demo::ALICE_OID), ("bob", demo::BOB_OID)];
    let tokens = users.map(|(user, _)| world.entra.user_token(user));
    let url = tcp::serve(world.core.layer(policy()).unwrap(), world.upstream.clone()).await;
    let client = reqwest::Client::new();
    let mut lines = tokio::task::JoinSet::new();
    for line in 0..10 {
        let (client, url, tokens) = (client.clone(), url.clone(), tokens.clone());
        lines.spawn(async move {
            for at in 0..100 {
                let user = (line + at) % 2;
                let request = client.get(&url).bearer_auth(&tokens[user]);
                let request = request.header("x-test-user", users[user].1);
                assert_eq!(request.send().await.unwrap().status(), 200);
            }
        });
    }
    while let Some(line) = lines.join_next().await {
        line.unwrap();
    }
    let seen = world.upstream.seen();
    assert_eq!(seen.len(), 1_000);
    for request in seen {
        assert_eq!(request.headers["x-test-user"], user_of(&request));
    }
    assert_eq!(world.exchanges_asked(), 2);
}

#[tokio::test]
async fn ca_02_two_tokens_of_one_user_are_two_entries() {
    let world = World::start().await;
    world.entra.grant_consent("alice");
    let claims = || world.entra.token().claims();
    let base = claims();
    let signed = |name: &str, value: Value| {
        let mut claims = base.clone();
        claims.insert(name.to_owned(), value);
        forge::with_payload(&world.entra, Value::Object(claims).to_string().as_bytes())
    };
    let iat = base["iat"].as_u64().unwrap();
    let tokens = [
        signed("iat", json!(iat)),
        signed("iat", json!(iat - 1)),
        signed("scp", json!("access_as_user User.Read")),
        signed("azp", json!("b1e00000-0000-4000-8000-00000000000c")),
        signed("acrs", json!(["c1"])),
        signed("uti", json!("another-token-id")),
    ];
    let mut downstream = Vec::new();
    for round in 0..2 {
        for (at, token) in tokens.iter().enumerate() {
            world.accepted(&at.to_string(), token).await;
            downstream.push(world.upstream.last().authorization());
        }
        let expected = tokens.len() as u64;
        assert_eq!(world.exchanges_asked(), expected, "round {round}");
    }
    let (first, second) = downstream.split_at(tokens.len());
    assert_eq!(first, second);
    let mut different = first.to_vec();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), tokens.len());
}

/// Answers with a token that says what it was asked for, and is another one each time.
#[derive(Clone, Debug, Default)]
struct Naming(Arc<AtomicUsize>);

impl TokenExchange for Naming {
    fn exchange(&self, request: ExchangeRequest) -> Exchanging {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let name = base64url(format!("{number} {:?}", request.scopes));
        Box::pin(async move {
            let token = Secret::from(name);
            Ok(TokenResponse::new(token, Duration::from_secs(3600)))
        })
    }
}

#[tokio::test]
async fn ca_03_what_is_asked_for_cannot_run_into_its_neighbour() {
    let naming = Naming::default();
    let exchange = naming.clone();
    let world = World::with(|builder| builder.with_exchange(exchange)).await;
    let token = world.entra.user_token("alice");
    let wishes: Vec<Vec<&str>> = vec![
        vec!["ab", "c"],
        vec!["a", "bc"],
        vec!["abc"],
        vec!["ab c"],
        vec!["a", "b", "c"],
        vec!["ab,c"],
    ];
    let mut sent = Vec::new();
    for _ in 0..2 {
        for wish in &wishes {
            let access = AccessPolicy::any_scope([demo::API_SCOPE]);
            let downstream = Downstream::new("same name", wish.iter().copied());
            let policy = Policy::new(access).downstream(downstream);
            let answer = world.send_by(policy, with_token(&token)).await;
            assert_eq!(answer.status, StatusCode::OK);
            let got = world.upstream.last().authorization();
            let name = decoded(got.strip_prefix("Bearer ").unwrap());
            let mut wish = wish.clone();
            wish.sort_unstable();
            let name = String::from_utf8(name).unwrap();
            assert!(name.ends_with(&format!(" {wish:?}")), "{name} for {wish:?}");
            sent.push(got);
        }
    }
    assert_eq!(naming.0.load(Ordering::SeqCst), wishes.len());
    let (first, second) = sent.split_at(wishes.len());
    assert_eq!(first, second);
}

#[tokio::test]
async fn ca_04_nothing_is_served_past_its_end() {
    let world = World::start().await;
    world.entra.grant_consent("alice");
    // The caller's token outlives the downstream token.
    let long = world.entra.token().expires_in(100_000).sign();
    world.accepted("first", &long).await;
    let admitted = world.upstream.last().admitted.unwrap();
    let token = admitted.first_downstream().unwrap();
    let first = world.upstream.last().authorization();
    world.clock.set(token.expires_at());
    world.entra.fail(Endpoint::Token, Fault::status(429), 1);
    let answer = world.get(&long).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        world.upstream.calls(),
        1,
        "an expired token is never served"
    );
    world.clock.advance(Duration::from_secs(5));
    world.accepted("a new exchange", &long).await;
    assert_ne!(world.upstream.last().authorization(), first);

    // And the other way round.
    let world = World::start().await;
    world.entra.grant_consent("alice");
    let short = world.entra.token().expires_in(30).sign();
    world.accepted("short", &short).await;
    let admitted = world.upstream.last().admitted.unwrap();
    let end = admitted.valid_until().unwrap();
    assert_eq!(admitted.first_downstream().unwrap().expires_at(), end);
    world.clock.set(end.saturating_sub(Duration::from_secs(1)));
    world.accepted("last second", &short).await;
    world.clock.set(end);
    world
        .invalid("past the caller's end", TokenDefect::Expired, &short)
        .await;
}

#[tokio::test]
async fn ca_05_an_altered_copy_never_finds_the_entry_of_the_original() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    world.accepted("first", &token).await;
    let [header, payload, signature] = parts(&token);
    let mut copies = vec![
        format!("{token}="),
        format!("{token}=="),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}."),
    ];
    // Every byte of the token counts.
    for at in 0..token.len() {
        let byte = token.as_bytes()[at];
        if byte == b'.' {
            continue;
        }
        let other = if byte == b'A' { 'B' } else { 'A' };
        copies.push(format!("{}{other}{}", &token[..at], &token[at + 1..]));
    }
    for copy in copies {
        assert_ne!(copy, token);
        let answer = world.refused("altered", with_token(&copy)).await;
        answer.is_invalid_token("altered");
    }
    world.accepted("the original", &token).await;
    assert_eq!(world.exchanges_asked(), 1);
}

#[tokio::test]
async fn ca_06_five_hundred_first_requests_are_one_exchange() {
    let world = Arc::new(World::start().await);
    let token = world.entra.user_token("alice");
    let statuses = all_at_once(&world, &token).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(world.exchanges_asked(), 1);
    let seen = world.upstream.seen();
    assert_eq!(seen.len(), 500);
    let first = seen[0].authorization();
    assert!(seen.iter().all(|seen| seen.authorization() == first));

    // A failure is shared once and kept by nobody.
    let token = world.entra.user_token("bob");
    let refusal = json!({"error": "invalid_client", "error_codes": [7000215]});
    let fault = Fault::status(400).json(&refusal);
    world.entra.fail(Endpoint::Token, fault, 1);
    let statuses = all_at_once(&world, &token).await;
    let failed = |status: &&StatusCode| **status == StatusCode::BAD_GATEWAY;
    assert_eq!(statuses.iter().filter(failed).count(), 500);
    assert_eq!(world.exchanges_asked(), 2);
    // The secret that was refused is not presented at once again.
    world.clock.advance(Duration::from_secs(5));
    world.accepted("not stored", &token).await;
    assert_eq!(world.exchanges_asked(), 3);
}

/// Five hundred requests, all of which wait before the exchange ends.
async fn all_at_once(world: &Arc<World>, token: &str) -> Vec<StatusCode> {
    let hold = world.entra.hold(Endpoint::Token);
    let calls: Vec<_> = (0..500)
        .map(|_| {
            let (world, token) = (Arc::clone(world), token.to_owned());
            tokio::spawn(async move { world.get(&token).await.status })
        })
        .collect();
    // One thread runs all of it: when the exchange has arrived, every call has had its turn.
    let patience = Duration::from_secs(60);
    let arrived = tokio::time::timeout(patience, hold.arrived(1)).await;
    assert!(arrived.is_ok(), "no exchange for a token that is not known");
    hold.release();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap());
    }
    statuses
}

/// Answers with long tokens, until it is told to fail.
#[derive(Clone, Debug, Default)]
struct Long(Arc<AtomicBool>);

impl TokenExchange for Long {
    fn exchange(&self, _: ExchangeRequest) -> Exchanging {
        let away = self.0.load(Ordering::SeqCst);
        Box::pin(async move {
            if away {
                let error = ExchangeError::new(ExchangeErrorKind::Unavailable, "away");
                return Err(error);
            }
            let token = Secret::from(format!("ey{}", "t".repeat(8_190)));
            Ok(TokenResponse::new(token, Duration::from_secs(1_000)))
        })
    }
}

/// The cache of tokens has long let go what this caller uses, and the authorization server is away in
/// the last minutes of the token's life.
#[tokio::test]
async fn ca_04_a_token_that_only_the_caller_still_has_serves_to_its_end() {
    let exchange = Long::default();
    let away = Arc::clone(&exchange.0);
    let world =
        World::with(|builder| builder.with_exchange(exchange).cache_max_bytes(1 << 20)).await;
    let token = world.entra.user_token("alice");
    world.accepted("first", &token).await;
    for _ in 0..150 {
        let other = world.entra.user_token("bob");
        world.accepted("other", &other).await;
        world.accepted("again", &token).await;
    }
    away.store(true, Ordering::SeqCst);
    let asked = world.clock.now();
    world.clock.advance(Duration::from_secs(950));
    world.accepted("in its last minute", &token).await;
    world.clock.set(asked + Duration::from_secs(1_000));
    let answer = world.get(&token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// After a reload a caller who is known may come to a route whose downstream is new.
#[tokio::test]
async fn the_token_of_a_downstream_that_came_after_its_caller_is_renewed_ahead_too() {
    let world = World::start().await;
    world.entra.grant_consent("alice");
    let token = world.entra.token().user("alice");
    let token = token.expires_in(20 * 3600).sign();
    world.is_valid("before there is a downstream", &token).await;
    world.accepted("exchanged", &token).await;
    let admitted = world.upstream.last().admitted.unwrap();
    let first = admitted.first_downstream().unwrap();
    let life = first.expires_at().saturating_since(world.clock.now());
    world.clock.advance(life.mul_f64(0.85));
    let hold = world.entra.hold(Endpoint::Token);
    world.accepted("served, and renewed", &token).await;
    let renewal = hold.arrived(1);
    tokio::time::timeout(Duration::from_secs(30), renewal)
        .await
        .expect("it is renewed");
    hold.release();
}
