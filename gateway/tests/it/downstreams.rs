//! Several downstreams on one route.

use std::sync::Mutex;

use crate::{
    client::Answer,
    rig::Rig,
    upstream::{Reply, Seen, ok},
};

const ROUTES: &str = "[downstream.graph]\nscope = 'https://graph.microsoft.com/User.Read'\n\
     header = 'X-Graph-Token'\n\
     [[route]]\npath = '/both'\ndownstream = ['graph', 'arm']\n\
     [[route]]\npath = '/arm'\ndownstream = 'arm'\n\
     [[route]]\npath = '/graph'\ndownstream = 'graph'\n\
     [[route]]\npath = '/open'\naccess = 'public'\n\
     [[route]]\npath = '/tunnel'\ndownstream = ['graph', 'arm']\nupgrade = ['websocket']\n";

async fn get(rig: &Rig, path: &str, token: &str) -> Answer {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         X-Graph-Token: Bearer theirs\r\nX_Graph_Token: Bearer theirs\r\n\r\n"
    );
    rig.exchange(request).await
}

#[tokio::test]
async fn hd_01_each_token_stands_in_its_own_header_and_none_of_the_callers_does() {
    let rig = Rig::new(ROUTES, |_| ok(), |_| {}).await;
    let token = rig.token("alice");
    for path in ["/both", "/arm", "/graph", "/open"] {
        assert_eq!(get(&rig, path, &token).await.status, 200, "{path}");
    }
    let seen = rig.upstream.seen();
    let tokens = |seen: &Seen| {
        ["authorization", "x-graph-token", "x_graph_token"].map(|name| {
            let values = seen.all(name);
            assert!(values.len() <= 1, "{values:?}");
            values.first().map(|value| (*value).to_owned())
        })
    };
    let [both, arm, graph, open] = &seen[..] else {
        panic!("{seen:#?}");
    };
    let [Some(first), Some(second), None] = tokens(both) else {
        panic!("{both:#?}");
    };
    assert!(first.starts_with("Bearer ey") && second.starts_with("Bearer ey"));
    assert!(first != second && !first.contains(&token) && !second.contains(&token));
    // The same tokens alone, and nothing of the caller's where nothing is put.
    assert_eq!(tokens(arm), [Some(first), None, None]);
    assert_eq!(tokens(graph), [None, Some(second), None]);
    assert_eq!(tokens(open), [None, None, None]);
}

#[tokio::test]
async fn an_upstream_that_repeats_any_of_the_tokens_does_not_reach_the_caller_with_it() {
    let rig = Rig::new(ROUTES, repeats, |_| {}).await;
    let answer = get(&rig, "/both", &rig.token("alice")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.all("x-other"), ["stays"]);
    for echo in ["x-echo-authorization", "x-echo-x-graph-token"] {
        assert!(answer.all(echo).is_empty(), "{echo}");
    }
}

#[tokio::test]
async fn up_01_a_wish_for_a_websocket_brings_each_token_in_its_own_header_and_its_answer_none_of_them()
 {
    let changes = |seen: &Seen| {
        let echo = seen.all("x-graph-token").concat();
        Reply::Echo(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: x\r\nX-Echo: {echo}\r\n\r\n"
        ))
    };
    let rig = Rig::new(ROUTES, changes, |_| {}).await;
    let token = rig.token("alice");
    let mut client = rig.client().await;
    client
        .send(format!(
            "GET /tunnel HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
             X-Graph-Token: Bearer theirs\r\nConnection: Upgrade, X-Graph-Token\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ))
        .await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 101);
    assert!(answer.all("x-echo").is_empty(), "{answer:?}");
    client.send("there and back").await;
    assert!(client.until("there and back").await.is_some());
    let seen = rig.only_seen();
    let [arm, graph] = ["authorization", "x-graph-token"].map(|name| seen.all(name));
    assert!(
        arm.len() == 1 && graph.len() == 1 && arm != graph,
        "{seen:?}"
    );
    for value in [arm[0], graph[0]] {
        assert!(
            value.starts_with("Bearer ey") && !value.contains(&token),
            "{value}"
        );
    }
}

fn repeats(seen: &Seen) -> Reply {
    let echoes = ["authorization", "x-graph-token"].map(|name| {
        let value = seen.all(name).concat();
        format!("X-Echo-{name}: {value}\r\n")
    });
    Reply::Keep(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Other: stays\r\n{}\r\n",
        echoes.concat()
    ))
}

/// Nobody can tell which of them the challenge is about.
#[tokio::test]
async fn ex_12_of_several_tokens_none_is_sent_again_after_a_challenge() {
    let rig = Rig::new(ROUTES, challenges_both, |_| {}).await;
    let token = rig.token("alice");
    let answer = get(&rig, "/both", &token).await;
    assert_eq!(answer.status, 401);
    let challenge = answer.all("www-authenticate").concat();
    assert!(challenge.contains("insufficient_claims"), "{challenge}");
    let reached = rig.upstream.seen().len();
    for path in ["/arm", "/graph", "/both"] {
        let answer = get(&rig, path, &token).await;
        assert_eq!(answer.status, 401, "{path}");
        let again = answer.all("www-authenticate").concat();
        assert!(again.contains("insufficient_claims"), "{path}: {again}");
    }
    assert_eq!(rig.upstream.seen().len(), reached, "refused by the gateway");
    // Who signs in again has new ones.
    assert_eq!(get(&rig, "/graph", &rig.token("alice")).await.status, 200);
}

/// Whichever of the two is the one that the upstream finds fault with.
#[tokio::test]
async fn ex_12_of_several_tokens_each_is_exchanged_for_the_claims_before_the_request_is_sent_again()
{
    for fault in ["authorization", "x-graph-token"] {
        let first = Mutex::new(None);
        let script = move |seen: &Seen| {
            let token = seen.all(fault).concat();
            match *first.lock().unwrap().get_or_insert_with(|| token.clone()) == token {
                true => challenge(),
                false => ok(),
            }
        };
        let rig = Rig::new(ROUTES, script, |config| config.retry_challenges = true).await;
        let token = rig.token("alice");
        assert_eq!(get(&rig, "/both", &token).await.status, 200, "{fault}");
        let seen = rig.upstream.seen();
        let [refused, again] = &seen[..] else {
            panic!("{fault}: {seen:#?}");
        };
        for name in ["authorization", "x-graph-token"] {
            assert_ne!(refused.all(name), again.all(name), "{fault}: {name}");
        }
        let asked = rig.emulator.as_ref().unwrap();
        let asked = asked.requests(entra_emulator::Endpoint::Token);
        let claims = asked.iter().map(|request| request.parameter("claims"));
        let claims: Vec<_> = claims.map(|claims| claims.is_some()).collect();
        assert_eq!(claims, [false, false, true, true], "{fault}");
    }
}

/// An upstream that says 401 for reasons of its own: a successor of each, once a minute.
#[tokio::test]
async fn ex_13_of_several_tokens_each_is_dropped_after_a_401_without_claims() {
    let script = |seen: &Seen| match seen.line().starts_with("GET /both ") {
        true => Reply::Keep("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".to_owned()),
        false => ok(),
    };
    let rig = Rig::new(ROUTES, script, |_| {}).await;
    let token = rig.token("alice");
    for _ in 0..3 {
        assert_eq!(get(&rig, "/both", &token).await.status, 401);
    }
    let seen = rig.upstream.seen();
    for name in ["authorization", "x-graph-token"] {
        assert_ne!(seen[0].all(name), seen[1].all(name), "{name}");
        assert_eq!(seen[1].all(name), seen[2].all(name), "{name}");
    }
    let asked = rig.emulator.as_ref().unwrap();
    assert_eq!(asked.requests(entra_emulator::Endpoint::Token).len(), 4);
}

fn challenges_both(seen: &Seen) -> Reply {
    match seen.line().starts_with("GET /both ") {
        true => challenge(),
        false => ok(),
    }
}

fn challenge() -> Reply {
    let challenge = r#"Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ==""#;
    Reply::Keep(format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: {challenge}\r\n\r\n"
    ))
}

const JOBS: &str = "[downstream.own]\nscope = 'https://graph.microsoft.com/.default'\n\
     grant = 'client_credentials'\n\
     [[route]]\npath = '/jobs'\naccess = 'app-only'\nroles = ['Jobs.Run']\ndownstream = 'own'\n\
     [[route]]\npath = '/users'\ndownstream = 'own'\n\
     [[route]]\npath = '/arm'\ndownstream = 'arm'\n";

#[tokio::test]
async fn a_downstream_of_the_application_has_one_token_for_all_callers_and_none_for_other_routes() {
    let rig = Rig::new(JOBS, |_| ok(), |_| {}).await;
    let emulator = rig.emulator.as_ref().unwrap();
    let job = emulator.token().app_only();
    let job = job.claim("roles", serde_json::json!(["Jobs.Run"])).sign();
    let bob = emulator.user_token_without_consent("bob");
    assert_eq!(get(&rig, "/jobs", &job).await.status, 200);
    assert_eq!(get(&rig, "/users", &bob).await.status, 200);
    assert_eq!(get(&rig, "/jobs", &bob).await.status, 403);
    assert_eq!(get(&rig, "/users", &job).await.status, 403);
    // What the user may not have himself, the application does not get for him.
    assert_eq!(get(&rig, "/arm", &bob).await.status, 403);
    assert_eq!(get(&rig, "/arm", &job).await.status, 403);
    let seen = rig.upstream.seen();
    let [first, second] = &seen[..] else {
        panic!("{seen:#?}");
    };
    assert_eq!(first.all("authorization"), second.all("authorization"));
    let grants = emulator.requests(entra_emulator::Endpoint::Token);
    let grants = grants
        .iter()
        .map(|request| request.parameter("grant_type").unwrap());
    assert_eq!(
        grants.collect::<Vec<_>>(),
        [
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:jwt-bearer"
        ]
    );
}
