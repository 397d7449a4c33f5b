//! An upstream that speaks HTTP/2 without TLS, and what the gateway makes of what it does.

mod failures;
pub(crate) mod server;

use std::sync::Arc;

use bytes::Bytes;
use h2::{Reason, server::Builder};
use http::{HeaderMap, Request, Response, Version};
use tokio::sync::Semaphore;

use self::server::{Call, Http2Upstream, get};
use crate::{
    client::{Client, in_time},
    http2::connect,
    rig::{PROTECTED, PUBLIC},
};

#[tokio::test]
async fn a_request_over_http2_says_what_it_said_over_http1_and_one_connection_serves_many() {
    let upstream = Http2Upstream::start(Builder::new(), |call: Call| async move {
        call.answer(200, "ok")
    })
    .await;
    let rig = upstream.rig(PROTECTED).await;
    let token = rig.token("alice");
    let mut client = rig.client().await;
    for _ in 0..5 {
        client
            .send(format!(
                "GET /a/b%2Fc?x=%20 HTTP/1.1\r\nHost: gw\r\nVia: 1.0 fred\r\nAuthorization: Bearer {token}\r\nTE: trailers\r\nConnection: TE, keep-alive\r\nKeep-Alive: 5\r\nCookie: a=b\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
    assert_eq!(upstream.connections(), 1);
    let (parts, headers) = upstream.head(0);
    assert_eq!(parts.version, Version::HTTP_2);
    assert_eq!(
        parts.uri.to_string(),
        format!("http://{}/a/b%2Fc?x=%20", upstream.address)
    );
    assert_eq!(headers["te"], "trailers");
    assert_eq!(headers["cookie"], "a=b");
    for (name, value) in [
        ("x-forwarded-host", "gw"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1;host=\"gw\";proto=http"),
    ] {
        let all: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(all, [value], "{name}");
    }
    assert_eq!(headers.get_all("x-request-id").iter().count(), 1);
    let via: Vec<_> = headers.get_all("via").iter().collect();
    assert_eq!(via, ["1.0 fred", "1.1 obo-gateway"]);
    for absent in [
        "trailer",
        "host",
        "connection",
        "keep-alive",
        "transfer-encoding",
    ] {
        assert!(!headers.contains_key(absent), "{absent}");
    }
    let bearer = headers["authorization"].to_str().unwrap();
    assert!(bearer.starts_with("Bearer ") && !bearer.contains(&token));
}

#[tokio::test]
async fn what_has_no_body_has_none_from_an_upstream_over_http2_either() {
    let upstream = Http2Upstream::start(Builder::new(), |mut call: Call| async move {
        let answer = Response::builder();
        let answer = match call.request.uri().path() {
            "/head" => answer.status(200).header("content-length", "5"),
            "/204" => answer.status(204),
            _ => answer.status(304).header("etag", "\"x\""),
        };
        let answer = answer.body(()).unwrap();
        call.respond.send_response(answer, true).map(drop)
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    // Over HTTP/1: on one connection, which a body that is none would put out of step.
    let mut client = rig.client().await;
    for _ in 0..2 {
        for (method, path, status, length) in [
            ("HEAD", "/head", 200, &["5"][..]),
            ("GET", "/204", 204, &[]),
            ("GET", "/304", 304, &[]),
        ] {
            client
                .send(format!("{method} {path} HTTP/1.1\r\nHost: gw\r\n\r\n"))
                .await;
            let answer = client.answer_to(method).await.unwrap();
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(answer.all("content-length"), length, "{answer:?}");
            assert!(answer.all("transfer-encoding").is_empty(), "{answer:?}");
        }
    }
    // And over HTTP/2.
    let (mut client, _connection) = connect(&rig).await;
    for (method, path, status, length) in [
        ("HEAD", "/head", 200, Some("5")),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, None),
    ] {
        let request = Request::builder().method(method);
        let request = request.uri(format!("http://gw{path}")).body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = in_time(answer).await.unwrap();
        assert_eq!(answer.status(), status);
        let said = answer.headers().get("content-length");
        assert_eq!(said.map(|length| length.to_str().unwrap()), length);
        let (_, mut body) = answer.into_parts();
        assert!(in_time(body.data()).await.is_none(), "{path}");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn bodies_stream_both_ways_over_http2() {
    // Each piece of the request is answered before the next is sent.
    let upstream = Http2Upstream::start(Builder::new(), |mut call: Call| async move {
        let mut answer = call.respond.send_response(Response::new(()), false)?;
        let mut body = call.request.into_body();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            answer.send_data(data, false)?;
        }
        answer.send_data(Bytes::new(), true)
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let mut client = rig.client().await;
    client
        .send("POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client.until("\r\n\r\n").await.unwrap();
    for piece in ["one", "two", "six"] {
        client.send(format!("3\r\n{piece}\r\n")).await;
        assert_eq!(
            client.until("\r\n").await.as_deref(),
            Some("3\r\n"),
            "{piece}"
        );
        assert_eq!(client.until("\r\n").await.unwrap().trim_end(), piece);
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.until("\r\n\r\n").await.as_deref(), Some("0\r\n\r\n"));
    // A body of known length, larger than any window, on another connection: after an answer that
    // began before the last chunk, the gateway reads no more.
    let mut client = rig.client().await;
    let size = 3 * 1024 * 1024;
    client
        .send(format!(
            "PUT /y HTTP/1.1\r\nHost: gw\r\nContent-Length: {size}\r\n\r\n"
        ))
        .await;
    let Client { stream, .. } = client;
    let (mut reading, mut writing) = stream.into_split();
    let sending = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        writing.write_all(&vec![b'x'; size]).await.unwrap();
        writing
    });
    let received = in_time(async {
        use tokio::io::AsyncReadExt as _;
        let mut count = 0;
        let mut buffer = vec![0; 64 * 1024];
        while count < size {
            let read = reading.read(&mut buffer).await.unwrap();
            assert!(read > 0, "ended after {count}");
            count += buffer[..read].iter().filter(|byte| **byte == b'x').count();
        }
        count
    })
    .await;
    assert!(received >= size);
    drop(in_time(sending).await.unwrap());
    let (_, headers) = upstream.head(1);
    assert_eq!(headers["content-length"], size.to_string());
}

#[tokio::test]
async fn an_upstream_that_takes_few_requests_at_once_gets_more_connections_and_refuses_none() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let upstream = Http2Upstream::start(
        Builder::new().max_concurrent_streams(2).clone(),
        move |call: Call| {
            let held = Arc::clone(&held);
            async move {
                held.acquire().await.unwrap().forget();
                call.answer(200, "ok")
            }
        },
    )
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let mut clients = Vec::new();
    for _ in 0..7 {
        let mut client = rig.client().await;
        // With a body: none of them could go out twice.
        client
            .send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 1\r\n\r\nx")
            .await;
        clients.push(client);
    }
    upstream.until_seen(7).await;
    assert!(
        (4..=7).contains(&upstream.connections()),
        "{}",
        upstream.connections()
    );
    gate.add_permits(7);
    for mut client in clients {
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn pa_11_a_whole_url_is_a_path_for_an_upstream_over_http_2_too() {
    let upstream = Http2Upstream::start(Builder::new(), |call: Call| async move {
        call.answer(200, "ok")
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let targets = [
        ("http://gw?x=1", "/?x=1"),
        ("http://gw", "/"),
        ("http://gw/a?b", "/a?b"),
    ];
    for (index, (target, path)) in targets.into_iter().enumerate() {
        assert_eq!(server::status(&rig, get(target)).await, 200, "{target}");
        let (parts, _) = upstream.head(index);
        assert_eq!(parts.uri.path_and_query().unwrap().as_str(), path);
    }
}

#[tokio::test]
async fn requests_that_come_at_once_wait_for_one_connection() {
    let upstream = Http2Upstream::start(Builder::new(), |call: Call| async move {
        call.answer(200, "ok")
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(rig.client().await);
    }
    for client in &mut clients {
        client.send(get("/x")).await;
    }
    for mut client in clients {
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_call_streams_both_ways_over_http2_from_end_to_end_and_so_do_its_trailers() {
    let upstream = Http2Upstream::start(Builder::new(), |mut call: Call| async move {
        let answer = Response::builder()
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let mut answer = call.respond.send_response(answer, false)?;
        let body = call.request.body_mut();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            answer.send_data(data, false)?;
        }
        let mut trailers = body.trailers().await?.unwrap_or_default();
        trailers.insert("grpc-status", 0.into());
        trailers.insert("x-token", call.request.headers()["authorization"].clone());
        answer.send_trailers(trailers)
    })
    .await;
    let rig = upstream.rig(PROTECTED).await;
    let (mut client, _connection) = connect(&rig).await;
    let request = Request::post("http://gw/pkg.Service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("trailer", "x-sum, x-real-ip")
        .header("authorization", format!("Bearer {}", rig.token("alice")))
        .body(())
        .unwrap();
    let (answer, mut sending) = client.send_request(request, false).unwrap();
    let answer = in_time(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    for piece in ["one", "two", "three"] {
        sending.send_data(Bytes::from(piece), false).unwrap();
        let got = in_time(body.data()).await.unwrap().unwrap();
        assert_eq!(got, piece);
        body.flow_control().release_capacity(got.len()).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", 7.into());
    trailers.insert("x-real-ip", 1.into());
    sending.send_trailers(trailers).unwrap();
    assert!(in_time(body.data()).await.is_none());
    let trailers = in_time(body.trailers()).await.unwrap().unwrap();
    // Neither the reserved name nor the token that the upstream repeats.
    let mut wanted = HeaderMap::new();
    wanted.insert("x-sum", 7.into());
    wanted.insert("grpc-status", 0.into());
    assert_eq!(trailers, wanted);
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_cancelled_at_the_upstream() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Http2Upstream::start(Builder::new(), move |mut call: Call| {
        let tell = tell.clone();
        async move {
            let mut answer = call.respond.send_response(Response::new(()), false)?;
            answer.send_data(Bytes::from_static(b"one"), false)?;
            let reason = std::future::poll_fn(|cx| answer.poll_reset(cx)).await?;
            let _ = tell.send(reason);
            Ok(())
        }
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let (mut client, _connection) = connect(&rig).await;
    let request = Request::get("http://gw/x").body(()).unwrap();
    let (answer, mut sending) = client.send_request(request, true).unwrap();
    let mut body = in_time(answer).await.unwrap().into_body();
    assert_eq!(in_time(body.data()).await.unwrap().unwrap(), "one");
    sending.send_reset(Reason::CANCEL);
    assert_eq!(in_time(told.recv()).await, Some(Reason::CANCEL));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn hd_12_the_token_is_not_repeated_in_trailers_behind_a_body_of_known_length() {
    let upstream = Http2Upstream::start(Builder::new(), |mut call: Call| async move {
        let answer = Response::builder().header("content-length", 2).body(());
        let mut answer = call.respond.send_response(answer.unwrap(), false)?;
        answer.send_data(Bytes::from_static(b"ok"), false)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-token", call.request.headers()["authorization"].clone());
        trailers.insert("x-sum", 7.into());
        answer.send_trailers(trailers)
    })
    .await;
    let rig = upstream.rig(PROTECTED).await;
    let (mut client, _connection) = connect(&rig).await;
    let request = Request::get("http://gw/x")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", rig.token("alice")))
        .body(())
        .unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let mut body = in_time(answer).await.unwrap().into_body();
    assert_eq!(in_time(body.data()).await.unwrap().unwrap(), "ok");
    let trailers = in_time(body.trailers()).await.unwrap().unwrap();
    let mut wanted = HeaderMap::new();
    wanted.insert("x-sum", 7.into());
    assert_eq!(trailers, wanted);
}
