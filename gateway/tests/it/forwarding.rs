//! What passes through: methods, statuses, bodies, streams.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{
    rig::{PROTECTED, Rig},
    upstream::{Reply, ok},
};

#[tokio::test]
async fn a_body_streams_to_the_client_before_it_has_ended() {
    let rig = Rig::public_with(
        |_| {
            Reply::Pause(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n7\r\nfirst\n\n\r\n"
                    .to_owned(),
                "8\r\nsecond\n\n\r\n0\r\n\r\n".to_owned(),
            )
        },
        |_| {},
    )
    .await;
    let mut client = rig.client().await;
    client
        .send("GET /events HTTP/1.1\r\nHost: gw\r\n\r\n")
        .await;
    assert!(client.until("first\n\n").await.is_some());
    rig.upstream.go_on();
    assert!(client.until("second\n\n").await.is_some());
    assert!(client.until("0\r\n\r\n").await.is_some());
}

#[tokio::test]
async fn a_body_streams_to_the_upstream_and_a_large_one_arrives_whole() {
    let rig = Rig::public().await;
    let body = "x".repeat(3 * 1024 * 1024);
    let answer = rig
        .exchange(format!(
            "PUT /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert_eq!(answer.status, 200);
    let seen = rig.only_seen();
    assert_eq!(seen.all("content-length"), [body.len().to_string()]);
    assert!(seen.all("transfer-encoding").is_empty());
    assert!(seen.body == body.as_bytes());
}

#[tokio::test]
async fn heads_and_statuses_without_a_body_have_none_and_the_connection_goes_on() {
    let rig = Rig::public_with(
        |seen| {
            Reply::Keep(
                match seen.line().split(' ').nth(1) {
                    Some("/204") => "HTTP/1.1 204 No Content\r\nx-kept: 1\r\n\r\n",
                    Some("/304") => {
                        "HTTP/1.1 304 Not Modified\r\netag: \"e\"\r\ncontent-length: 9\r\n\r\n"
                    }
                    Some("/chunked") => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                    _ => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nx-kept: 1\r\n\r\n",
                }
                .to_owned(),
            )
        },
        |_| {},
    )
    .await;
    let mut client = rig.client().await;
    for (method, path, status, length) in [
        ("HEAD", "/x", 200, Some("9")),
        ("HEAD", "/chunked", 200, None),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("9")),
        ("HEAD", "/x", 200, Some("9")),
    ] {
        client
            .send(format!("{method} {path} HTTP/1.1\r\nHost: gw\r\n\r\n"))
            .await;
        let answer = client.answer_to(method).await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
        if status != 304 {
            assert_eq!(
                answer.all("content-length").first().copied(),
                length,
                "{method} {path}"
            );
        }
        assert!(answer.all("transfer-encoding").is_empty() || method == "HEAD");
    }
    assert_eq!(rig.upstream.connections(), 1);
}

#[tokio::test]
async fn redirects_and_errors_of_the_upstream_are_passed_on() {
    let rig = Rig::public_with(
        |seen| {
            Reply::Keep(if seen.line().contains("/302") {
                "HTTP/1.1 302 Found\r\nlocation: http://elsewhere.example/x\r\ncontent-length: 0\r\n\r\n".to_owned()
            } else {
                "HTTP/1.1 418 I'm a teapot\r\nwww-authenticate: X\r\nretry-after: 7\r\ncontent-length: 3\r\n\r\ntea".to_owned()
            })
        },
        |_| {},
    )
    .await;
    let mut client = rig.client().await;
    let redirect = client.get("/302").await;
    assert_eq!(redirect.status, 302);
    assert_eq!(redirect.all("location"), ["http://elsewhere.example/x"]);
    let error = client.get("/tea").await;
    assert_eq!((error.status, error.body.as_str()), (418, "tea"));
    assert_eq!(error.all("www-authenticate"), ["X"]);
    assert_eq!(error.all("retry-after"), ["7"]);
    assert_eq!(rig.upstream.seen().len(), 2);
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_passed_on_whole() {
    let rig = Rig::public_with(
        |_| Reply::Close("HTTP/1.0 200 OK\r\n\r\nto the end".to_owned()),
        |_| {},
    )
    .await;
    let answer = rig.client().await.get("/x").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "to the end"));
}

#[tokio::test]
async fn every_method_but_two_is_forwarded() {
    let rig = Rig::public().await;
    let mut client = rig.client().await;
    for method in [
        "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY",
    ] {
        client
            .send(format!(
                "{method} /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
        assert_eq!(client.answer().await.unwrap().status, 200, "{method}");
        let seen = rig.upstream.seen().pop().unwrap();
        assert_eq!(seen.line(), format!("{method} /x HTTP/1.1"));
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_connections_is_502() {
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            if let Some(upstream) = config.upstreams.get_mut(obo_gateway::DEFAULT_UPSTREAM) {
                // Nobody listens on the discard port.
                upstream.set_url("http://127.0.0.1:9").unwrap();
            }
        },
    )
    .await;
    let answer = rig.client().await.get("/x").await;
    assert_eq!(answer.status, 502);
    assert!(answer.body.contains("\"actor\":\"upstream\""), "{answer:?}");
    assert_eq!(answer.all("content-type"), ["application/problem+json"]);
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_meanwhile_costs_no_request() {
    // Announces nothing, closes after each answer: the gateway finds its connections dead.
    let rig = Rig::public_with(
        |_| Reply::Close("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned()),
        |_| {},
    )
    .await;
    let mut client = rig.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("/x").await.status, 200);
    }
    assert_eq!(rig.upstream.seen().len(), 20);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_request_upstream() {
    let rig = Rig::public_with(
        |seen| {
            if seen.line().contains("/slow") {
                Reply::Hang(String::new())
            } else {
                ok()
            }
        },
        |config| config.limits.requests = 1,
    )
    .await;
    let mut client = rig.client().await;
    client.send("GET /slow HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    rig.upstream.until_seen(1).await;
    drop(client);
    // The one request that is allowed at once has ended when another may begin.
    let mut client = rig.client().await;
    while client.get("/x").await.status != 200 {}
}

#[tokio::test]
async fn users_who_share_connections_get_each_their_own_token() {
    let seen_by = AtomicUsize::new(0);
    let rig = Rig::new(
        PROTECTED,
        move |_| {
            seen_by.fetch_add(1, Ordering::SeqCst);
            ok()
        },
        |config| config.workers = 2,
    )
    .await;
    let (alice, bob) = (rig.token("alice"), rig.token("bob"));
    let mut clients = [rig.client().await, rig.client().await, rig.client().await];
    for round in 0..30 {
        for (index, client) in clients.iter_mut().enumerate() {
            let (name, token) = if (round + index) % 2 == 0 {
                ("alice", &alice)
            } else {
                ("bob", &bob)
            };
            client
                .send(format!(
                    "GET /{name} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n"
                ))
                .await;
            assert_eq!(client.answer().await.unwrap().status, 200);
        }
    }
    let mut tokens = std::collections::BTreeMap::new();
    for seen in rig.upstream.seen() {
        let token = seen.all("authorization")[0].to_owned();
        let path = seen.line().to_owned();
        assert_eq!(tokens.entry(path).or_insert_with(|| token.clone()), &token);
    }
    assert_eq!(tokens.len(), 2);
    let distinct: std::collections::BTreeSet<_> = tokens.values().collect();
    assert_eq!(distinct.len(), 2, "one token each");
    assert_eq!(rig.emulator.as_ref().unwrap().exchanges(), 2);
}

#[tokio::test]
async fn the_upstream_is_told_by_which_way_a_request_has_come() {
    let rig = Rig::public().await;
    let mut client = rig.client().await;
    client.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    client.answer().await.unwrap();
    client
        .send("GET /x HTTP/1.1\r\nHost: gw\r\nVia: 1.0 fred\r\n\r\n")
        .await;
    client.answer().await.unwrap();
    let (mut client, _connection) = crate::http2::connect(&rig).await;
    let get = http::Request::get("http://gw/x").body(()).unwrap();
    let (answer, _) = client.send_request(get, true).unwrap();
    crate::client::in_time(answer).await.unwrap();
    rig.exchange("GET /x HTTP/1.0\r\nHost: gw\r\n\r\n").await;
    let seen = rig.upstream.seen();
    assert_eq!(seen[3].all("via"), ["1.0 obo-gateway"]);
    assert_eq!(seen[0].all("via"), ["1.1 obo-gateway"]);
    assert_eq!(seen[1].all("via"), ["1.0 fred", "1.1 obo-gateway"]);
    assert_eq!(seen[2].all("via"), ["2.0 obo-gateway"]);
}

#[tokio::test]
async fn an_options_request_goes_as_far_as_it_may() {
    let file = "[[route]]\npath = '/*'\naccess = 'public'\nmethods = ['GET', 'OPTIONS']";
    let rig = Rig::new(file, |_| ok(), |_| {}).await;
    let request = |method: &str, hops: &str| {
        format!("{method} /x HTTP/1.1\r\nHost: gw\r\nMax-Forwards: {hops}\r\n\r\n")
    };
    let mut client = rig.client().await;
    client.send(request("OPTIONS", "0")).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 204);
    assert_eq!(answer.all("allow"), ["GET, OPTIONS"]);
    rig.assert_nothing_reached_the_upstream();
    for (method, hops, left) in [
        ("OPTIONS", "2", "1"),
        ("OPTIONS", "1", "0"),
        ("OPTIONS", "x", "x"),
        ("OPTIONS", "+1", "+1"),
        // Of other methods it says nothing.
        ("GET", "0", "0"),
    ] {
        client.send(request(method, hops)).await;
        assert_eq!(
            client.answer().await.unwrap().status,
            200,
            "{method} {hops}"
        );
        let seen = rig.upstream.seen().pop().unwrap();
        assert_eq!(seen.all("max-forwards"), [left], "{method} {hops}");
    }
}
