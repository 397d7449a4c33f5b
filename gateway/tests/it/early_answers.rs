//! Upstreams that answer before they have the whole request, and clients that go on sending it.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use entra_emulator::{Endpoint, Fault};
use h2::server::Builder;
use http::{Request, Response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
    time,
};

use crate::{
    client::{Client, in_time},
    frames::{DATA, END_HEADERS, HEADERS, RST_STREAM, frame, hello, request},
    http2::connect,
    http2_upstream::server::{Call, Http2Upstream, body_of},
    rig::{PUBLIC, Rig},
    upstream::{find, ok},
};

const NOTHING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// An upstream that answers as soon as it has a head, and reads on for as long as it can.
struct Hasty {
    address: SocketAddr,
    /// What came behind the head, of each connection that has ended.
    bodies: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Hasty {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, bodies) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let mut answered = false;
                    while matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                        if !answered && find(&bytes, b"\r\n\r\n").is_some() {
                            answered = true;
                            stream.write_all(answer.as_bytes()).await.unwrap();
                        }
                    }
                    let head = find(&bytes, b"\r\n\r\n").unwrap();
                    let _ = tell.send(bytes.split_off(head + 4));
                });
            }
        });
        Self { address, bodies }
    }

    async fn rig(&self, file: &str) -> Rig {
        let url = format!("http://{}", self.address);
        let change = |config: &mut obo_gateway::Config| {
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&url).unwrap();
            }
        };
        Rig::new(file, |_| ok(), change).await
    }

    async fn body(&mut self) -> Vec<u8> {
        in_time(self.bodies.recv()).await.unwrap()
    }
}

fn post(framing: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: gw\r\n{framing}\r\n\r\n")
}

#[tokio::test]
async fn an_upload_ends_with_its_answer_whether_its_client_goes_on_or_waits() {
    let mut upstream = Hasty::start(NOTHING).await;
    let rig = upstream.rig(PUBLIC).await;
    for framing in [
        "Transfer-Encoding: chunked",
        "Content-Length: 1000000000000",
    ] {
        for goes_on in [true, false] {
            let mut client = rig.client().await;
            client.send(post(framing) + "5\r\nhello\r\n").await;
            assert_eq!(client.answer().await.unwrap().status, 200);
            let body = if goes_on {
                let (mut reading, mut writing) = client.stream.into_split();
                let sending = tokio::spawn(async move {
                    while writing.write_all(b"5\r\nhello\r\n").await.is_ok() {
                        time::sleep(Duration::from_millis(20)).await;
                    }
                });
                let body = upstream.body().await;
                // It hears of that too: what it sends is not waited for any more.
                in_time(async { while matches!(reading.read(&mut [0; 64]).await, Ok(1..)) {} })
                    .await;
                sending.abort();
                body
            } else {
                upstream.body().await
            };
            assert!(!body.ends_with(b"0\r\n\r\n"), "{framing} {goes_on}");
        }
    }
}

#[tokio::test]
async fn an_upload_over_http_2_ends_with_its_answer_and_the_connection_goes_on() {
    let mut upstream = Hasty::start(NOTHING).await;
    let rig = upstream.rig(PUBLIC).await;
    let (mut client, _connection) = connect(&rig).await;
    for _ in 0..3 {
        let post = Request::post("http://gw/x").body(()).unwrap();
        let (answer, mut sending) = client.send_request(post, false).unwrap();
        sending
            .send_data(Bytes::from_static(b"hello"), false)
            .unwrap();
        assert_eq!(in_time(answer).await.unwrap().status(), 200);
        assert_eq!(upstream.body().await, b"5\r\nhello\r\n");
        // The rest is not wanted, and that is no fault of the client's (RFC 9113 §8.1).
        let reset = std::future::poll_fn(|cx| sending.poll_reset(cx));
        assert_eq!(in_time(reset).await.unwrap(), h2::Reason::NO_ERROR);
    }
}

#[tokio::test]
async fn h1_14_an_upload_ends_with_an_early_answer_that_is_none() {
    let twice = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n";
    let mut upstream = Hasty::start(twice).await;
    let rig = upstream.rig(PUBLIC).await;
    let (mut client, _connection) = connect(&rig).await;
    let post = Request::post("http://gw/x").body(()).unwrap();
    let (answer, mut sending) = client.send_request(post, false).unwrap();
    sending
        .send_data(Bytes::from_static(b"hello"), false)
        .unwrap();
    assert_eq!(in_time(answer).await.unwrap().status(), 502);
    assert_eq!(upstream.body().await, b"5\r\nhello\r\n");
    let reset = std::future::poll_fn(|cx| sending.poll_reset(cx));
    assert_eq!(in_time(reset).await.unwrap(), h2::Reason::NO_ERROR);
}

#[tokio::test]
async fn whoever_still_has_to_send_a_body_behind_its_answer_is_told_that_the_connection_ends() {
    let upstream = Hasty::start(NOTHING).await;
    let rig = upstream.rig(PUBLIC).await;
    for (path, status) in [("/x", 200), ("/.", 400)] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\n");
        let mut client = rig.client().await;
        client.send(&head).await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.all("connection"), ["close"], "{path}");
        client.send("hello").await;
        assert_eq!(client.rest().await, "");
        // Part of it is there, and no more comes by itself.
        let mut client = rig.client().await;
        let large = head.replace(": 5", ": 500000");
        client.send(large + "hello").await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.all("connection"), ["close"], "{path}");
    }
    // All of it is there: nothing is in the way of another request.
    let mut client = rig.client().await;
    for _ in 0..2 {
        client
            .send("POST /. HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, 400);
        assert!(answer.all("connection").is_empty(), "{answer:?}");
    }
}

#[tokio::test]
async fn an_upload_to_an_upstream_over_http_2_ends_with_its_answer_which_stays_whole() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let upstream = Http2Upstream::start(Builder::new(), move |mut call: Call| {
        let tell = tell.clone();
        async move {
            let mut answer = call.respond.send_response(Response::new(()), false)?;
            answer.send_data(Bytes::from_static(b"early"), true)?;
            let _ = tell.send(body_of(call.request.body_mut()).await.is_ok());
            Ok(())
        }
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let mut client = rig.client().await;
    client
        .send(post("Transfer-Encoding: chunked") + "5\r\nhello\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().body, "early");
    assert_eq!(in_time(told.recv()).await, Some(false));
}

/// It comes as a server says that it wants no more of the request: whole answer, then a reset.
#[tokio::test]
async fn an_answer_that_is_whole_stays_so_where_the_rest_of_its_request_is_not_wanted() {
    let upstream = Http2Upstream::start(Builder::new(), |call: Call| async move {
        call.answer(200, "whole")
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    for _ in 0..5 {
        let mut client = rig.client().await;
        client
            .send(post("Transfer-Encoding: chunked") + "5\r\nhello\r\n")
            .await;
        assert_eq!(client.answer().await.unwrap().body, "whole");
    }
}

#[tokio::test]
async fn h1_13_an_upload_that_is_taken_back_after_its_answer_has_begun_is_never_whole() {
    let begun = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut upstream = Hasty::start(begun).await;
    let rig = upstream.rig(PUBLIC).await;
    for code in [0, 8] {
        let mut client = rig.client().await;
        let head = frame(HEADERS, END_HEADERS, 1, &request("POST", "/x", &[]));
        let half = frame(DATA, 0, 1, b"half");
        client.send([hello(), head, half].concat()).await;
        while client.frame().await.unwrap().kind != HEADERS {}
        client.send(frame(RST_STREAM, 0, 1, &[0, 0, 0, code])).await;
        assert_eq!(upstream.body().await, b"4\r\nhalf\r\n", "{code}");
    }
}

#[tokio::test]
async fn what_comes_late_of_a_body_counts_for_no_other_request() {
    let limited = "[[route]]\npath = '/*'\naccess = 'public'\nlimits = { body_bytes = 6 }";
    let upstream = Hasty::start(NOTHING).await;
    let rig = upstream.rig(limited).await;
    for _ in 0..20 {
        let mut client = rig.client().await;
        client.send(post("Content-Length: 6") + "h").await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        let next = "ello!".to_owned() + &post("Content-Length: 6") + "hello!";
        client.try_send(next).await;
        // Served, or the connection has ended with the first.
        if let Some(next) = Client::answer(&mut client).await {
            assert_eq!(next.status, 200);
        }
    }
}

/// A large upload whose end nobody waits for.
fn upload(more: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000000\r\n{more}\r\nthe beginning")
}

#[tokio::test]
async fn a_refusal_in_front_of_the_rest_of_a_body_says_that_it_is_the_last_also_when_it_was_waited_for()
 {
    let rig = Rig::protected().await;
    let emulator = rig.emulator.as_ref().unwrap();
    emulator.fail(Endpoint::Token, Fault::status(429), 1);
    let token = format!("Authorization: Bearer {}\r\n", rig.token("alice"));
    let answer = rig.exchange(upload(&token)).await;
    assert_eq!(answer.status, 503, "{}", answer.head);
    assert_eq!(answer.all("connection"), ["close"]);
}

#[tokio::test]
async fn an_upstream_s_short_answer_in_front_of_the_rest_of_a_body_says_that_it_is_the_last() {
    let no = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno";
    let hasty = Hasty::start(no).await;
    let rig = hasty.rig(PUBLIC).await;
    let answer = rig.exchange(upload("")).await;
    assert_eq!((answer.status, answer.body.as_str()), (413, "no"));
    assert_eq!(answer.all("connection"), ["close"]);
}
