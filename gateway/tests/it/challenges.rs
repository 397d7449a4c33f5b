//! EX-12 with `retry_challenges`: a claims challenge of the upstream is answered by one exchange with
//! the claims and one resend, where the request has no body or a small one.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use entra_emulator::{Emulator, Endpoint, Fault};
use obo_gateway::Config;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::Instant,
};

use crate::{
    client::{Answer, in_time},
    rig::{PROTECTED, Rig},
    upstream::{Reply, Seen, find, ok},
};

/// What a revoked session is told by (continuous access evaluation).
const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#;
const OF_ENTRA: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;

fn challenge() -> Reply {
    let claims = STANDARD.encode(CLAIMS);
    Reply::Keep(format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nwww-authenticate: Bearer \
         error=\"insufficient_claims\", claims=\"{claims}\"\r\n\r\nno"
    ))
}

fn authorization(seen: &Seen) -> String {
    let [one] = seen.all("authorization")[..] else {
        panic!("one Authorization: {seen:?}");
    };
    one.to_owned()
}

/// Challenges the first token that it sees, and no other.
fn challenges_the_first_token() -> impl Fn(&Seen) -> Reply + Send + Sync {
    let first = Mutex::new(None);
    move |seen| {
        let token = authorization(seen);
        let mut first = first.lock().unwrap();
        if *first.get_or_insert_with(|| token.clone()) == token {
            challenge()
        } else {
            ok()
        }
    }
}

async fn rig(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Rig {
    Rig::new(PROTECTED, script, |config| config.retry_challenges = true).await
}

async fn send(rig: &Rig, method: &str, token: &str, rest: &str) -> Answer {
    let request = format!(
        "{method} /a%2fb?q=1 HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\
         X-Own: 1\r\n{rest}"
    );
    let mut client = rig.client().await;
    client.send(request).await;
    client.answer_to(method).await.unwrap()
}

fn emulator(rig: &Rig) -> &Emulator {
    rig.emulator.as_ref().unwrap()
}

/// The claims that exchanges asked for, one after the other.
fn asked(rig: &Rig) -> Vec<Option<String>> {
    let requests = emulator(rig).requests(Endpoint::Token);
    requests.iter().map(|r| r.parameter("claims")).collect()
}

/// The caller gets these claims to answer (C4), and nothing of what the upstream said.
fn is_challenged(answer: &Answer, claims: &str) {
    assert_eq!(answer.status, 401, "{answer:?}");
    let [challenge] = answer.all("www-authenticate")[..] else {
        panic!("one challenge: {answer:?}");
    };
    assert!(challenge.contains("error=\"insufficient_claims\""));
    let claims = format!("claims=\"{}\"", STANDARD.encode(claims));
    assert!(challenge.contains(&claims), "{challenge}");
    assert!(challenge.contains("authorization_uri="), "{challenge}");
}

#[tokio::test]
async fn ex_12_a_challenge_that_entra_satisfies_costs_one_exchange_and_one_resend() {
    let rig = rig(challenges_the_first_token()).await;
    let token = rig.token("alice");
    let answer = send(&rig, "GET", &token, "\r\n").await;
    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    assert_eq!(asked(&rig), [None, Some(CLAIMS.to_owned())]);

    let seen = rig.upstream.seen();
    let [first, second] = &seen[..] else {
        panic!("two requests: {seen:#?}");
    };
    assert_ne!(authorization(first), authorization(second));
    let without_token = |seen: &Seen| {
        let lines = seen.head.lines();
        lines
            .filter(|line| !line.to_ascii_lowercase().starts_with("authorization:"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(without_token(first), without_token(second));
    assert!(!second.head.contains(&token));

    // It has taken the place of the old token, for all requests.
    let answer = send(&rig, "DELETE", &token, "\r\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        authorization(&rig.upstream.seen()[2]),
        authorization(second)
    );
    assert_eq!(asked(&rig).len(), 2);
}

#[tokio::test]
async fn ex_12_without_retry_challenges_the_caller_answers_and_nothing_is_sent_again() {
    let rig = Rig::new(PROTECTED, challenges_the_first_token(), |_| {}).await;
    let answer = send(&rig, "GET", &rig.token("alice"), "\r\n").await;
    is_challenged(&answer, CLAIMS);
    assert_eq!(rig.upstream.seen().len(), 1);
    assert_eq!(asked(&rig), [None]);
}

#[tokio::test]
async fn ex_12_a_small_body_is_kept_and_sent_again_byte_for_byte() {
    for length in [1, 64 * 1024] {
        let rig = rig(challenges_the_first_token()).await;
        let body = "0123456789abcdef".repeat(4096)[..length].to_owned();
        let rest = format!("Content-Length: {length}\r\n\r\n{body}");
        let answer = send(&rig, "POST", &rig.token("alice"), &rest).await;
        assert_eq!((answer.status, &*answer.body), (200, "ok"));
        assert_eq!(asked(&rig), [None, Some(CLAIMS.to_owned())]);
        let seen = rig.upstream.seen();
        let [first, second] = &seen[..] else {
            panic!("two requests: {}", seen.len());
        };
        assert_ne!(authorization(first), authorization(second));
        for seen in [first, second] {
            assert_eq!(seen.body, body.as_bytes());
            assert_eq!(seen.all("content-length"), [length.to_string()]);
        }
    }
}

#[tokio::test]
async fn ex_12_a_body_that_is_sent_again_counts_once_and_its_connections_stay_in_use() {
    let rig = Rig::new(PROTECTED, challenges_the_first_token(), |config| {
        config.retry_challenges = true;
        for route in &mut config.routes {
            route.limits.body_bytes = Some(10);
        }
    })
    .await;
    let token = rig.token("alice");
    let mut client = rig.client().await;
    for _ in 0..3 {
        client
            .send(format!(
                "PUT /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\
                 Content-Length: 8\r\n\r\n12345678"
            ))
            .await;
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
    assert_eq!(rig.upstream.seen().len(), 4);
    // One left with the challenge, whose body nobody read.
    assert_eq!(rig.upstream.connections(), 2);
}

#[tokio::test]
async fn ex_12_a_body_that_is_large_or_of_unknown_length_is_never_sent_again() {
    let large = 64 * 1024 + 1;
    for body in [
        format!("Content-Length: {large}\r\n\r\n{}", "x".repeat(large)),
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".to_owned(),
    ] {
        let rig = rig(challenges_the_first_token()).await;
        let answer = send(&rig, "POST", &rig.token("alice"), &body).await;
        is_challenged(&answer, CLAIMS);
        assert_eq!(rig.upstream.seen().len(), 1);
        assert_eq!(asked(&rig), [None]);
    }
}

#[tokio::test]
async fn ex_12_only_so_much_is_kept_at_once_and_what_finds_no_room_is_sent_once() {
    let challenges = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&challenges);
    let rig = rig(move |_| {
        if left.load(Ordering::SeqCst) > 0 {
            left.fetch_sub(1, Ordering::SeqCst);
            challenge()
        } else {
            Reply::Close("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned())
        }
    })
    .await;
    let put = |user, length| {
        let token = rig.token(user);
        format!(
            "PUT /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {length}\r\n\r\n1"
        )
    };
    let whole = || rig.upstream.seen().iter().filter(|s| s.complete).count();
    // 8 MiB of bodies that do not come to their end, each on a connection of its own.
    let mut uploads = Vec::new();
    for _ in 0..128 {
        let mut client = rig.client().await;
        client.send(put("bob", 64 * 1024)).await;
        uploads.push(client);
    }
    in_time(async {
        while rig.upstream.connections() < 128 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    challenges.store(1, Ordering::SeqCst);
    is_challenged(&rig.exchange(put("alice", 1)).await, CLAIMS);
    assert_eq!(whole(), 1);
    drop(uploads);
    rig.upstream.until_ended(128).await;
    challenges.store(1, Ordering::SeqCst);
    assert_eq!(rig.exchange(put("bob", 1)).await.status, 200);
    assert_eq!(whole(), 3);
}

#[tokio::test]
async fn ex_12_a_body_of_which_a_part_is_missing_is_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let rig = Rig::new(
        PROTECTED,
        |_| challenge(),
        |config| {
            config.retry_challenges = true;
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&url).unwrap();
            }
        },
    )
    .await;
    // Challenges as soon as it has seen the head.
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while find(&head, b"\r\n\r\n").is_none() {
            assert!(stream.read_buf(&mut head).await.unwrap() > 0);
        }
        let Reply::Keep(challenge) = challenge() else {
            panic!("no challenge");
        };
        stream.write_all(challenge.as_bytes()).await.unwrap();
        stream
    });
    let half = "Content-Length: 4\r\n\r\nha";
    let answer = send(&rig, "POST", &rig.token("alice"), half).await;
    is_challenged(&answer, CLAIMS);
    assert_eq!(asked(&rig), [None]);
    drop(serving.await.unwrap());
}

#[tokio::test]
async fn ex_12_what_entra_refuses_the_claims_with_reaches_the_caller() {
    let refused = |error: &str, code: u32, claims: Option<&str>| {
        let body = json!({"error": error, "error_codes": [code], "claims": claims});
        Fault::status(400).json(&body)
    };
    for (fault, claims) in [
        (
            refused("interaction_required", 50076, Some(OF_ENTRA)),
            OF_ENTRA,
        ),
        (refused("interaction_required", 50076, None), CLAIMS),
        (refused("invalid_grant", 50057, None), CLAIMS),
        (Fault::status(429), CLAIMS),
        (Fault::status(503).header("retry-after", "9"), CLAIMS),
        (Fault::status(200).body("<html>"), CLAIMS),
    ] {
        let strict = Arc::new(AtomicBool::new(false));
        let is_strict = Arc::clone(&strict);
        let rig = rig(move |_| match is_strict.load(Ordering::SeqCst) {
            true => challenge(),
            false => ok(),
        })
        .await;
        let (case, token) = (format!("{fault:?}"), rig.token("alice"));
        assert_eq!(send(&rig, "GET", &token, "\r\n").await.status, 200);
        strict.store(true, Ordering::SeqCst);
        emulator(&rig).fail(Endpoint::Token, fault, 1);
        // It stands: no further exchange, and nothing more for the upstream.
        for _ in 0..5 {
            is_challenged(&send(&rig, "GET", &token, "\r\n").await, claims);
            assert_eq!(rig.upstream.seen().len(), 2, "{case}");
            assert_eq!(asked(&rig), [None, Some(CLAIMS.to_owned())], "{case}");
        }
    }
}

#[tokio::test]
async fn ex_12_an_upstream_that_always_challenges_costs_no_exchange_a_request() {
    let rig = rig(|_| challenge()).await;
    let token = rig.token("alice");
    for _ in 0..20 {
        is_challenged(&send(&rig, "GET", &token, "\r\n").await, CLAIMS);
    }
    assert_eq!(rig.upstream.seen().len(), 2, "one resend, once");
    assert_eq!(asked(&rig), [None, Some(CLAIMS.to_owned())]);
}

#[tokio::test]
async fn ex_13_a_401_without_claims_is_passed_on_and_nothing_is_sent_again() {
    let reply = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\nx-own: 1\r\n\r\nown";
    let rig = rig(move |_| Reply::Keep(reply.to_owned())).await;
    let answer = send(&rig, "GET", &rig.token("alice"), "\r\n").await;
    assert_eq!((answer.status, &*answer.body), (401, "own"));
    assert_eq!(rig.upstream.seen().len(), 1);
}

#[tokio::test]
async fn entra_is_told_that_challenges_are_answered_where_the_setting_says_so() {
    const CP1: &str = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#;
    let file = "[downstream.arm]\nscopes = ['https://management.azure.com/user_impersonation']\n";
    for (told, claims) in [(false, None), (true, Some(CP1))] {
        let change = |config: &mut Config| config.entra.answer_claims_challenges = told;
        let rig = Rig::new(file, |_| challenge(), change).await;
        let answer = send(&rig, "GET", &rig.token("alice"), "\r\n").await;
        assert_eq!(asked(&rig), [claims.map(str::to_owned)], "{told}");
        // The upstream's challenge reaches the caller, who is the one to answer it.
        assert_eq!(answer.status, 401);
        let challenge = answer.all("www-authenticate").concat();
        assert!(challenge.contains("insufficient_claims"), "{challenge}");
    }
}

/// No user could satisfy what is wanted of the application, and no exchange of a user's token would.
#[tokio::test]
async fn a_challenge_of_the_applications_own_token_is_answered_by_nobody() {
    let file = "[downstream.own]\nscope = 'https://graph.microsoft.com/.default'\n\
         grant = 'client_credentials'\n[[route]]\npath = '/*'\ndownstream = 'own'\n";
    let retries = |config: &mut Config| config.retry_challenges = true;
    let rig = Rig::new(file, |_| challenge(), retries).await;
    let answer = send(&rig, "GET", &rig.token("alice"), "\r\n").await;
    assert_eq!(answer.status, 502);
    assert!(answer.all("www-authenticate").is_empty());
    assert_eq!(asked(&rig), [None]);
    assert_eq!(rig.upstream.seen().len(), 1);
}

#[tokio::test]
async fn up_05_a_tunnel_that_a_resend_has_opened_ends_with_the_callers_token_too() {
    let challenged = AtomicBool::new(false);
    let script = move |_: &Seen| {
        if challenged.swap(true, Ordering::SeqCst) {
            let changed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                           Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
            return Reply::Echo(changed.to_owned());
        }
        challenge()
    };
    let file = "[[route]]\npath = '/ws'\ndownstream = 'arm'\nupgrade = ['websocket']";
    let rig = Rig::new(file, script, |config| {
        config.retry_challenges = true;
        config.accept.clock_skew = Duration::ZERO;
    })
    .await;
    // With her consent.
    drop(rig.token("alice"));
    let token = emulator(&rig).token().user("alice");
    let token = token.expires_in(4).sign();
    let mut client = rig.client().await;
    let begun = Instant::now();
    client
        .send(format!(
            "GET /ws HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n"
        ))
        .await;
    assert_eq!(client.answer().await.unwrap().status, 101);
    client.send("ping").await;
    assert!(client.until("ping").await.is_some());
    client.rest().await;
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "it was not idle for so long"
    );
    assert_eq!(rig.upstream.seen().len(), 2);
}
