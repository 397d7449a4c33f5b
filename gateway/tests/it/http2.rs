//! HTTP/2 from clients: section 11 of the catalogue.

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response};
use tokio::{
    net::TcpStream,
    task::{self, JoinHandle},
};

use crate::{
    client::in_time,
    frames::{self, CANCEL, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PREFACE, RST_STREAM, frame, hello},
    rig::Rig,
    upstream::{Reply, ok},
};

const SHORT: Duration = Duration::from_millis(100);

/// A client, and the task that ends with its connection.
pub(crate) async fn connect(rig: &Rig) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(rig.gateway.local_addr()).await.unwrap();
    let (client, connection) = in_time(h2::client::handshake(stream)).await.unwrap();
    (client, tokio::spawn(connection))
}

fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

async fn status(client: &mut SendRequest<Bytes>, request: Request<()>) -> u16 {
    let (answer, _) = client.send_request(request, true).unwrap();
    in_time(answer).await.unwrap().status().as_u16()
}

async fn text(response: Response<h2::RecvStream>) -> String {
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(data) = in_time(body.data()).await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text.extend(data);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn h2_07_a_request_reaches_the_upstream_as_one_of_http_1() {
    let rig = Rig::public().await;
    let (mut client, _connection) = connect(&rig).await;
    // A method that needs no body, with one whose length is not known.
    let request = Request::get("http://gw/x?a=%2B")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(())
        .unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let answer = in_time(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer).await, "ok");
    let seen = rig.only_seen();
    assert_eq!(seen.line(), "GET /x?a=%2B HTTP/1.1");
    assert_eq!(seen.all("cookie"), ["a=1; b=2"]);
    assert_eq!(seen.all("x-forwarded-host"), ["gw"]);
    assert_eq!(seen.all("host"), [rig.upstream.address.to_string()]);
    assert_eq!(seen.body, b"5\r\nhello\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_request_that_is_to_have_a_body_and_has_none_says_so_to_an_upstream_of_http_1() {
    let rig = Rig::public().await;
    let (mut client, _connection) = connect(&rig).await;
    for method in ["POST", "PUT", "PATCH", "GET", "DELETE"] {
        let request = Request::builder().method(method).uri("http://gw/x");
        assert_eq!(status(&mut client, request.body(()).unwrap()).await, 200);
        let seen = rig.upstream.seen().pop().unwrap();
        let lengths = seen.all("content-length");
        let usual = matches!(method, "POST" | "PUT" | "PATCH");
        assert_eq!(lengths, if usual { vec!["0"] } else { vec![] }, "{method}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_have_a_body_has_no_length() {
    let answer = "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n";
    let rig = Rig::public_with(|_| Reply::Keep(answer.to_owned()), |_| {}).await;
    let (mut client, _connection) = connect(&rig).await;
    let (answer, _) = client.send_request(get("http://gw/x"), true).unwrap();
    let answer = in_time(answer).await.unwrap();
    assert_eq!(answer.status(), 204);
    assert!(!answer.headers().contains_key("content-length"));
}

#[tokio::test]
async fn h2_01_an_authority_and_a_host_that_do_not_name_one_host_are_refused() {
    let rig = Rig::public().await;
    let (mut client, _connection) = connect(&rig).await;
    for (uri, host) in [
        ("http://gw/x", vec!["evil.example"]),
        ("http://gw/x", vec!["gw", "gw"]),
        ("http://u@gw/x", vec![]),
    ] {
        let mut request = get(uri);
        for host in host {
            request.headers_mut().append("host", host.parse().unwrap());
        }
        assert_eq!(status(&mut client, request).await, 400, "{uri}");
    }
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(status(&mut client, get("http://gw/x")).await, 200);
}

#[tokio::test]
async fn h2_02_two_authorization_fields_are_ambiguous() {
    let rig = Rig::protected().await;
    let (mut client, _connection) = connect(&rig).await;
    let bearer = format!("Bearer {}", rig.token("alice"));
    let request = |lines: &[&str]| {
        let mut request = get("http://gw/x");
        for line in lines {
            let line = line.parse().unwrap();
            request.headers_mut().append("authorization", line);
        }
        request
    };
    for second in [&*bearer, "Basic eDp5", "Bearer another"] {
        for lines in [[&*bearer, second], [second, &*bearer]] {
            assert_eq!(status(&mut client, request(&lines)).await, 400, "{second}");
        }
    }
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(status(&mut client, request(&[&bearer])).await, 200);
}

#[tokio::test]
async fn pa_14_h2_09_h2_11_connect_trace_and_heads_with_too_many_fields_are_refused() {
    let rig = Rig::public().await;
    let (mut client, _connection) = connect(&rig).await;
    let connect = Request::connect("gw:443").body(()).unwrap();
    assert_eq!(status(&mut client, connect).await, 405);
    // PA-14 over HTTP/2.
    let trace = Request::builder().method("TRACE").uri("http://gw/x");
    assert_eq!(status(&mut client, trace.body(()).unwrap()).await, 405);
    let mut many = get("http://gw/x");
    for _ in 0..300 {
        many.headers_mut().append("x-a", "a".parse().unwrap());
    }
    assert_eq!(status(&mut client, many).await, 431);
    rig.assert_nothing_reached_the_upstream();
}

/// Each is a field of its own there, and all are one over HTTP/1.
#[tokio::test]
async fn a_browser_with_many_cookies_does_not_have_too_many_fields() {
    let rig = Rig::public().await;
    let (mut client, _connection) = connect(&rig).await;
    let mut request = get("http://gw/x");
    for number in 0..120 {
        let cookie = format!("name{number}=a").parse().unwrap();
        request.headers_mut().append("cookie", cookie);
    }
    assert_eq!(status(&mut client, request).await, 200);
    let seen = rig.only_seen();
    let [cookies] = seen.all("cookie")[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(cookies.split("; ").count(), 120);
}

/// Sends ten requests at once and takes them back when the upstream has seen them, again and again;
/// between them as many that are refused, if `cheap`. Says how many were seen in all, and how it ended.
async fn take_back(rig: &Rig, cheap: bool) -> (usize, h2::Error) {
    let (mut client, connection) = connect(rig).await;
    let before = rig.upstream.seen().len();
    while rig.upstream.seen().len() - before < 1_000 && !connection.is_finished() {
        let mut answers = Vec::new();
        let seen = rig.upstream.seen().len();
        for _ in 0..10 {
            if cheap && let Ok((refused, _)) = client.send_request(get("http://gw/."), true) {
                drop(in_time(refused).await);
            }
            match client.send_request(get("http://gw/x"), true) {
                Ok((answer, _)) => answers.push(answer),
                Err(_) => break,
            }
        }
        // Once the upstream has them: those taken back before, `h2` counts. No more at once than it has within a second
        // on a machine that is busy: later than that is not soon.
        in_time(async {
            while rig.upstream.seen().len() - seen < answers.len() && !connection.is_finished() {
                task::yield_now().await;
            }
        })
        .await;
        drop(answers);
        task::yield_now().await;
    }
    let error = in_time(connection).await.unwrap().unwrap_err();
    (rig.upstream.seen().len() - before, error)
}

#[tokio::test]
async fn h2_10_a_client_that_takes_its_requests_back_is_cut_off_whatever_else_it_asks_for() {
    let rig = Rig::public_with(|_| Reply::Hang(String::new()), |_| {}).await;
    for cheap in [false, true] {
        let (seen, error) = take_back(&rig, cheap).await;
        assert!((100..400).contains(&seen), "{cheap}: {seen}");
        assert!(error.is_go_away() && error.is_remote(), "{cheap}: {error}");
        assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
    }
    let (mut other, _connection) = connect(&rig).await;
    let (_answer, _) = other.send_request(get("http://gw/y"), true).unwrap();
    in_time(async {
        while !rig
            .upstream
            .seen()
            .iter()
            .any(|seen| seen.line().contains("/y"))
        {
            task::yield_now().await;
        }
    })
    .await;
}

/// As a proxy does that has many clients: some of them leave before they have their answer.
#[tokio::test]
async fn h2_10_who_takes_back_one_request_of_a_few_that_are_answered_is_served_on() {
    let rig = Rig::public_with(
        |seen| match seen.line() {
            line if line.contains("/hangs") => Reply::Hang(String::new()),
            _ => ok(),
        },
        |_| {},
    )
    .await;
    let (mut client, connection) = connect(&rig).await;
    // More than time alone makes up for, where this takes less than ten seconds.
    for _ in 0..50 {
        for _ in 0..20 {
            assert_eq!(status(&mut client, get("http://gw/x")).await, 200);
        }
        let seen = rig.upstream.seen().len();
        let hanging: Vec<_> = (0..4)
            .map(|_| client.send_request(get("http://gw/hangs"), true).unwrap())
            .collect();
        in_time(async {
            while rig.upstream.seen().len() < seen + hanging.len() {
                task::yield_now().await;
            }
        })
        .await;
    }
    assert_eq!(status(&mut client, get("http://gw/x")).await, 200);
    assert!(!connection.is_finished());
}

#[tokio::test]
async fn h2_10_requests_taken_back_in_a_row_hardly_reach_the_upstream() {
    let rig = Rig::public_with(|_| Reply::Hang(String::new()), |_| {}).await;
    let mut client = rig.client().await;
    let mut bytes = hello();
    for stream in (1..2_000).step_by(2) {
        bytes.extend(frames::get(stream, "/x"));
        bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, CANCEL]));
    }
    client.try_send(bytes).await;
    let last = client.frames().await.pop().unwrap();
    assert_eq!((last.kind, last.code()), (GOAWAY, Some(ENHANCE_YOUR_CALM)));
    assert!(rig.upstream.seen().len() < 150);
}

#[tokio::test]
async fn li_01_an_http_2_head_that_does_not_end_is_cut_off() {
    let rig = Rig::public_with(|_| ok(), |config| config.limits.head_timeout = SHORT).await;
    for unfinished in [
        PREFACE[..20].to_vec(),
        [hello(), frame(HEADERS, 0, 1, &[0x82])].concat(),
        // Half of a frame's own head.
        [hello(), vec![0, 0, 1, HEADERS]].concat(),
    ] {
        let mut client = rig.client().await;
        client.send(unfinished).await;
        client.rest().await;
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn li_02_an_idle_http_2_connection_is_told_to_go() {
    let rig = Rig::public_with(|_| ok(), |config| config.limits.idle_timeout = SHORT).await;
    let mut client = rig.client().await;
    client.send([hello(), frames::get(1, "/x")].concat()).await;
    let said = client.frames().await;
    let goaway = said.iter().find(|frame| frame.kind == GOAWAY);
    assert_eq!(goaway.unwrap().code(), Some(0), "for no fault: {said:?}");
}

#[tokio::test]
async fn li_06_one_request_that_stands_still_ends_and_its_neighbours_do_not() {
    let rig = Rig::public_with(
        |seen| match seen.line() {
            line if line.contains("/stalls") => {
                Reply::Hang("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_owned())
            }
            _ => ok(),
        },
        |config| config.limits.idle_timeout = SHORT * 2,
    )
    .await;
    let (mut client, _connection) = connect(&rig).await;
    let (answer, _) = client.send_request(get("http://gw/stalls"), true).unwrap();
    let mut body = in_time(answer).await.unwrap().into_body();
    assert_eq!(in_time(body.data()).await.unwrap().unwrap(), "half");
    assert!(in_time(body.data()).await.unwrap().is_err(), "reset");
    assert_eq!(status(&mut client, get("http://gw/x")).await, 200);
}

#[tokio::test]
async fn li_07_a_shutdown_lets_running_http_2_requests_finish() {
    let rig = Rig::public_with(
        |_| {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";
            Reply::Pause(head.to_owned(), " half".to_owned())
        },
        |_| {},
    )
    .await;
    let (mut client, connection) = connect(&rig).await;
    let (answer, _) = client.send_request(get("http://gw/x"), true).unwrap();
    let answer = in_time(answer).await.unwrap();
    let shutdown = tokio::spawn(rig.gateway.shutdown());
    // It says at once that it takes no more (GOAWAY), while the request still runs.
    let refused = async {
        loop {
            match poll_fn(|cx| client.poll_ready(cx)).await {
                Ok(()) => task::yield_now().await,
                Err(error) => break error,
            }
        }
    };
    let refused = in_time(refused).await;
    assert_eq!(refused.reason(), Some(h2::Reason::NO_ERROR), "{refused}");
    rig.upstream.go_on();
    assert_eq!(text(answer).await, "first half");
    in_time(connection).await.unwrap().unwrap();
    in_time(shutdown).await.unwrap();
}
