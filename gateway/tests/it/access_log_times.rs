//! The access log: when a line is written, what it says of the end of an exchange, and of where the
//! time went.

use std::time::Duration;

use bytes::Bytes;
use entra_emulator::Endpoint;
use http::Request;
use serde_json::Value;

use crate::{
    access_log::Written,
    client::{Client, in_time},
    http2,
    rig::Rig,
    upstream::{Reply, Seen, ok},
};

const OPEN: &str = "[[route]]\npath = '/*'\naccess = 'public'\n\
     [[route]]\npath = '/ws'\naccess = 'public'\nupgrade = ['websocket']";

const HELD: Duration = Duration::from_millis(150);

/// By path: what the upstream does.
fn script(seen: &Seen) -> Reply {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello".to_owned();
    match seen.line().split(' ').nth(1).unwrap_or_default() {
        "/silent" => Reply::Hang(String::new()),
        "/half" => Reply::Hang(half),
        "/broken" => Reply::Close(half),
        "/slow" => Reply::Pause(half, "world".to_owned()),
        "/ws" => Reply::Echo(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: x\r\n\r\n"
                .to_owned(),
        ),
        _ => ok(),
    }
}

async fn rig(written: &Written) -> Rig {
    Rig::new(OPEN, script, written.change()).await
}

async fn begin(rig: &Rig, request: &str) -> Client {
    let mut client = rig.client().await;
    client.send(request).await;
    client
}

async fn only(written: &Written) -> Value {
    let lines = written.lines(1).await;
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines[0].clone()
}

#[tokio::test]
async fn a_line_is_written_when_the_answer_has_ended() {
    let written = Written::default();
    let rig = rig(&written).await;
    let upload = "POST /slow HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\nabc";
    let mut client = begin(&rig, upload).await;
    assert!(client.until("hello").await.is_some());
    tokio::time::sleep(HELD).await;
    assert_eq!(written.text(), "", "it has not ended");
    rig.upstream.go_on();
    assert!(client.until("world").await.is_some());
    let line = only(&written).await;
    assert_eq!(line["ended"], "complete");
    assert_eq!(line["sent_bytes"], 10);
    assert_eq!(line["received_bytes"], 3);
    let held = HELD.as_secs_f64() * 1e3;
    assert!(line["duration_ms"].as_f64().unwrap() >= held, "{line}");
    // The answer had begun before.
    assert!(
        line["answer_ms"].as_f64() < line["duration_ms"].as_f64(),
        "{line}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_before_an_answer_has_a_line_without_a_status() {
    let written = Written::default();
    let rig = rig(&written).await;
    let client = begin(&rig, "GET /silent HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    rig.upstream.until_seen(1).await;
    drop(client);
    let line = only(&written).await;
    assert_eq!(line["outcome"], "abandoned");
    assert_eq!(line["ended"], "client-gone");
    assert!(line["status"].is_null() && line["answer_ms"].is_null());
}

#[tokio::test]
async fn an_upload_that_ends_with_its_callers_token_is_not_said_to_be_its_clients_doing() {
    let written = Written::default();
    let rig = Rig::new("[[route]]\npath = '/*'", script, written.change()).await;
    // The leeway of a minute ends in four seconds.
    let token = rig
        .emulator
        .as_ref()
        .unwrap()
        .token()
        .expires_in(-54)
        .sign();
    let upload = format!(
        "POST /silent HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    );
    let mut client = begin(&rig, &upload).await;
    assert_eq!(client.rest().await, "");
    let line = only(&written).await;
    assert_eq!(line["ended"], "cut-off", "{line}");
    assert!(line["status"].is_null(), "{line}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_told_from_an_upstream_that_breaks_off() {
    for (path, ended) in [("/half", "client-gone"), ("/broken", "cut-off")] {
        let written = Written::default();
        let rig = rig(&written).await;
        let mut client = begin(&rig, &format!("GET {path} HTTP/1.1\r\nHost: gw\r\n\r\n")).await;
        assert!(client.until("hello").await.is_some());
        if path == "/half" {
            drop(client);
        } else {
            client.rest().await;
        }
        let line = only(&written).await;
        assert_eq!(line["ended"], ended);
        assert_eq!(line["status"], 200);
        assert_eq!(line["sent_bytes"], 5);
    }
}

#[tokio::test]
async fn an_answer_that_the_idle_limit_cuts_off_is_no_client_that_left() {
    let written = Written::default();
    let log = written.change();
    let rig = Rig::new(OPEN, script, |config| {
        log(config);
        config.limits.idle_timeout = HELD;
    })
    .await;
    let mut client = begin(&rig, "GET /half HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    client.rest().await;
    assert_eq!(only(&written).await["ended"], "cut-off");
}

#[tokio::test]
async fn what_still_runs_at_the_end_of_a_shutdown_was_cut_off() {
    let written = Written::default();
    let log = written.change();
    let rig = Rig::new(OPEN, script, |config| {
        log(config);
        config.drain_timeout = HELD;
    })
    .await;
    let mut half = begin(&rig, "GET /half HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    assert!(half.until("hello").await.is_some());
    let _silent = begin(&rig, "GET /silent HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    rig.upstream.until_seen(2).await;
    in_time(rig.gateway.shutdown()).await;
    for line in written.lines(2).await {
        assert_eq!(line["ended"], "cut-off", "{line}");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_is_complete() {
    let written = Written::default();
    let rig = Rig::new(
        "[[route]]\npath = '/open'\naccess = 'public'\n[[route]]\npath = '/closed'",
        |seen| match seen.line().starts_with("HEAD") {
            true => Reply::Keep("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n".to_owned()),
            false => Reply::Keep("HTTP/1.1 304 Not Modified\r\n\r\n".to_owned()),
        },
        written.change(),
    )
    .await;
    let mut client = rig.client().await;
    for line in ["HEAD /open", "GET /open", "HEAD /closed"] {
        let request = format!("{line} HTTP/1.1\r\nHost: gw\r\n\r\n");
        client.send(request).await;
        assert!(client.answer_to("HEAD").await.is_some(), "{line}");
    }
    for line in written.lines(3).await {
        assert_eq!(line["ended"], "complete", "{line}");
        assert_eq!(line["sent_bytes"], 0, "{line}");
    }
}

#[tokio::test]
async fn a_tunnel_has_its_line_when_it_ends_with_what_went_through_it() {
    let written = Written::default();
    let rig = rig(&written).await;
    let wish = "GET /ws HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut client = begin(&rig, wish).await;
    assert_eq!(client.answer().await.unwrap().status, 101);
    client.send("ping").await;
    assert!(client.until("ping").await.is_some());
    assert_eq!(written.text(), "", "it has not ended");
    drop(client);
    let line = only(&written).await;
    assert_eq!(line["status"], 101);
    assert_eq!(line["received_bytes"], 4);
    assert_eq!(line["sent_bytes"], 4);
    assert_eq!(line["ended"], "complete");
}

#[tokio::test]
async fn each_request_of_an_http_2_connection_has_its_own_end() {
    let written = Written::default();
    let rig = rig(&written).await;
    let (mut client, _connection) = http2::connect(&rig).await;
    let get = |path: &str| Request::get(format!("http://gw{path}")).body(()).unwrap();
    let (half, mut upload) = client.send_request(get("/half"), false).unwrap();
    upload.send_data(Bytes::new(), true).unwrap();
    let half = in_time(half).await.unwrap();
    let (whole, _) = client.send_request(get("/whole"), true).unwrap();
    let whole = in_time(whole).await.unwrap().into_body();
    let line = only(&written).await;
    assert_eq!(
        (&line["path"], &line["ended"]),
        (&"/whole".into(), &"complete".into())
    );
    assert_eq!(line["sent_bytes"], 2);
    drop((whole, half));
    upload.send_reset(h2::Reason::CANCEL);
    let lines = written.lines(2).await;
    assert_eq!(lines[1]["path"], "/half");
    assert_eq!(lines[1]["ended"], "client-gone");
}

#[tokio::test]
async fn the_time_that_the_identity_provider_takes_is_told_from_the_upstreams() {
    let written = Written::default();
    let rig = Rig::new("", |_| ok(), written.change()).await;
    let emulator = rig.emulator.as_ref().unwrap();
    // So long that what is not held is done much sooner, also where the machine is busy.
    let held = HELD * 8;
    let ask = async |token: &str, endpoints: &[Endpoint]| {
        let request =
            format!("GET /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
        let holds: Vec<_> = endpoints.iter().map(|one| emulator.hold(*one)).collect();
        let mut client = begin(&rig, &request).await;
        for hold in holds {
            in_time(hold.arrived(1)).await;
            tokio::time::sleep(held).await;
            hold.release();
        }
        assert_eq!(client.answer().await.unwrap().status, 200);
    };
    let alice = rig.token("alice");
    ask(&alice, &[Endpoint::Token]).await;
    ask(&alice, &[]).await;
    emulator.rotate_keys();
    let both = [Endpoint::Keys, Endpoint::Token];
    ask(&rig.token("bob"), &both).await;
    let lines = written.lines(3).await;
    let held = held.as_secs_f64() * 1e3;
    for (line, validation, exchange) in [
        (&lines[0], false, Some(true)),
        (&lines[1], false, None),
        (&lines[2], true, Some(true)),
    ] {
        let took = |part: &str| line[part].as_f64();
        assert_eq!(
            took("validation_ms").map(|ms| ms >= held),
            Some(validation),
            "{line}"
        );
        assert_eq!(took("exchange_ms").map(|ms| ms >= held), exchange, "{line}");
        let parts = ["validation_ms", "exchange_ms", "upstream_ms"];
        let sum: f64 = parts.iter().filter_map(|part| took(part)).sum();
        assert!(sum <= took("duration_ms").unwrap() + 0.01, "{line}");
    }
}
