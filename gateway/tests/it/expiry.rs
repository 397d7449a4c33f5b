//! Streams and the end of the caller's token.

use tokio::io::AsyncReadExt as _;

use crate::{
    client::{Client, in_time},
    frames::{self, DATA, RST_STREAM, hello},
    http2_upstream::server::{Call, Http2Upstream},
    rig::Rig,
    upstream::{Reply, Seen, ok},
};

const ROUTES: &str = "[[route]]\npath = '/*'\n[[route]]\npath = '/forever'\noutlive_token = true";
const EVENT: &str = "7\r\nevent 1\r\n";

fn script(seen: &Seen) -> Reply {
    let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{EVENT}");
    match seen.line() {
        line if line.contains("/events") => Reply::Hang(chunked),
        line if line.contains("/forever") => Reply::Pause(chunked, "0\r\n\r\n".to_owned()),
        line if line.contains("/document") => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nevent 1";
            Reply::Pause(head.to_owned(), "event 2".to_owned())
        }
        _ => ok(),
    }
}

async fn rig() -> Rig {
    Rig::new(ROUTES, script, |_| {}).await
}

/// A token whose leeway of a minute ends in two seconds.
fn nearly_dead(rig: &Rig) -> String {
    let token = rig.emulator.as_ref().unwrap().token();
    token.expires_in(-54).sign()
}

async fn open(rig: &Rig, path: &str, version: &str, token: &str) -> Client {
    let mut client = rig.client().await;
    client
        .send(format!(
            "GET {path} HTTP/{version}\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
        .await;
    client.until("event 1").await.unwrap();
    client
}

/// The connection ends with an error, so that no client takes half of an answer for a whole one.
async fn assert_reset(client: &mut Client) {
    let mut rest = Vec::new();
    let ended = in_time(client.stream.read_to_end(&mut rest)).await;
    assert!(ended.is_err(), "{:?}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn a_stream_ends_with_the_callers_token_unless_the_route_lets_it_live() {
    let rig = rig().await;
    let token = nearly_dead(&rig);
    let mut forever = open(&rig, "/forever", "1.1", &token).await;
    let mut events = open(&rig, "/events", "1.1", &token).await;
    // Its end is that of the connection, to such a client.
    let mut old = open(&rig, "/events", "1.0", &token).await;
    let mut document = open(&rig, "/document", "1.1", &token).await;
    assert_reset(&mut events).await;
    assert_reset(&mut old).await;
    rig.upstream.go_on();
    rig.upstream.go_on();
    assert!(forever.until("0\r\n\r\n").await.is_some());
    assert!(document.until("event 2").await.is_some());
}

#[tokio::test]
async fn a_stream_over_http_2_ends_alone() {
    let rig = rig().await;
    let bearer = format!("Bearer {}", nearly_dead(&rig));
    let mut client = rig.client().await;
    client.send(hello()).await;
    let with_token = [("authorization", bearer.as_str())];
    for (stream, path) in [(1, "/forever"), (3, "/events")] {
        let block = frames::request("GET", path, &with_token);
        let flags = frames::END_STREAM | frames::END_HEADERS;
        client
            .send(frames::frame(frames::HEADERS, flags, stream, &block))
            .await;
    }
    let ended = loop {
        let frame = client.frame().await.unwrap();
        if frame.kind == RST_STREAM || frame.flags & frames::END_STREAM != 0 && frame.kind == DATA {
            break frame;
        }
    };
    assert_eq!((ended.kind, ended.stream), (RST_STREAM, 3), "{ended:?}");
    rig.upstream.go_on();
    let whole = loop {
        let frame = client.frame().await.unwrap();
        if frame.stream == 1 && frame.flags & frames::END_STREAM != 0 {
            break frame;
        }
    };
    assert_eq!(whole.kind, DATA);
}

#[tokio::test]
async fn an_upload_without_a_length_ends_with_the_callers_token() {
    let rig = rig().await;
    let token = nearly_dead(&rig);
    let mut client = rig.client().await;
    client
        .send(format!(
            "POST /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\
             Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"
        ))
        .await;
    assert_eq!(client.rest().await, "");
    let seen = rig.upstream.until_seen(1).await;
    assert!(!seen[0].complete, "{seen:?}");
}

/// As a gRPC client's stream is.
#[tokio::test]
async fn an_upload_over_http_2_ends_with_the_callers_token_and_its_neighbour_goes_on() {
    let rig = rig().await;
    let bearer = format!("Bearer {}", nearly_dead(&rig));
    let mut client = rig.client().await;
    client.send(hello()).await;
    for (stream, path) in [(1, "/x"), (3, "/forever")] {
        let block = frames::request("POST", path, &[("authorization", &bearer)]);
        let head = frames::frame(frames::HEADERS, frames::END_HEADERS, stream, &block);
        let part = frames::frame(DATA, 0, stream, b"part");
        client.send([head, part].concat()).await;
    }
    let ended = loop {
        let frame = client.frame().await.unwrap();
        if frame.kind == RST_STREAM {
            break frame;
        }
        assert!(frame.kind != frames::HEADERS, "{frame:?}");
    };
    assert_eq!(ended.stream, 1, "{ended:?}");
    let seen = rig.upstream.until_seen(1).await;
    assert!(!seen[0].complete, "{seen:?}");
    assert!(seen[0].line().contains("/x"), "{seen:?}");
    // The other route lets its streams live.
    client
        .send(frames::frame(DATA, frames::END_STREAM, 3, b"rest"))
        .await;
    let seen = rig.upstream.until_seen(2).await;
    assert!(
        seen[1].complete && seen[1].line().contains("/forever"),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_call_that_streams_both_ways_ends_with_the_callers_token_on_both_sides() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Http2Upstream::start(h2::server::Builder::new(), move |mut call: Call| {
        let tell = tell.clone();
        async move {
            let head = http::Response::builder().header("content-type", "application/grpc");
            let mut answer = call.respond.send_response(head.body(()).unwrap(), false)?;
            let body = call.request.body_mut();
            while let Some(data) = body.data().await {
                let Ok(data) = data else {
                    let _ = tell.send("broken");
                    return Ok(());
                };
                answer.send_data(data, false)?;
            }
            let _ = tell.send("whole");
            Ok(())
        }
    })
    .await;
    let rig = upstream.rig(ROUTES).await;
    let bearer = format!("Bearer {}", nearly_dead(&rig));
    let mut client = rig.client().await;
    client.send(hello()).await;
    let fields = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let block = frames::request("POST", "/pkg.Service/Method", &fields);
    let head = frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &block);
    let part = frames::frame(DATA, 0, 1, b"part");
    client.send([head, part].concat()).await;
    let mut heard: Vec<u8> = Vec::new();
    let ended = loop {
        let frame = client.frame().await.unwrap();
        if frame.kind == DATA {
            assert_eq!(frame.flags & frames::END_STREAM, 0, "{frame:?}");
            heard.extend(&frame.payload);
        }
        if frame.kind == RST_STREAM {
            break frame;
        }
    };
    assert_eq!(heard, b"part", "it was answered until then");
    assert!(
        ended.code() != Some(0),
        "no end that could be taken for a good one"
    );
    assert_eq!(in_time(told.recv()).await, Some("broken"));
}

#[tokio::test]
async fn h1_14_half_of_an_answer_is_no_answer_to_http_1_0_either() {
    let half = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let rig = Rig::public_with(|_| Reply::Close(half.to_owned()), |_| {}).await;
    let mut client = rig.client().await;
    client.send("GET /x HTTP/1.0\r\nHost: gw\r\n\r\n").await;
    client.until("half").await.unwrap();
    assert_reset(&mut client).await;
}
