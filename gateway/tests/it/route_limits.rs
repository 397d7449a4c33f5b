//! Limits that one route has of its own.

use entra_emulator::Endpoint;
use http::Request;

use crate::{
    client::{Answer, in_time},
    frames,
    http2::connect,
    rig::Rig,
    upstream::{Reply, Seen, ok},
};

const ROUTES: &str = "[[route]]\npath = '/small'\naccess = 'public'\nlimits = { body_bytes = 10 }\n\
     [[route]]\npath = '/few'\naccess = 'public'\ncors = { origins = ['https://app.example'] }\n\
     limits = { requests = 1 }\n\
     [[route]]\npath = '/hasty'\naccess = 'public'\nlimits = { response_timeout = '100ms' }\n\
     [[route]]\npath = '/lively'\naccess = 'public'\nlimits = { idle_timeout = '100ms' }\n\
     [[route]]\npath = '/brief'\naccess = 'public'\nlimits = { total_timeout = '250ms' }\n\
     [[route]]\npath = '/*'\naccess = 'public'";

async fn rig(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Rig {
    Rig::new(ROUTES, script, |_| {}).await
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: gw\r\n{headers}\r\n{body}")
}

fn assert_too_large(answer: &Answer) {
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(answer.all("content-type"), ["application/problem+json"]);
    assert_eq!(answer.all("connection"), ["close"]);
}

#[tokio::test]
async fn li_04_a_declared_body_that_is_too_large_is_refused_before_it_comes() {
    let rig = rig(|_| ok()).await;
    for headers in [
        "Content-Length: 11\r\n",
        "Content-Length: 1844674407370955161\r\n",
        "Content-Length: 11\r\nExpect: 100-continue\r\n",
    ] {
        assert_too_large(&rig.exchange(post("/small", headers, "")).await);
    }
    rig.assert_nothing_reached_the_upstream();
    for (path, length) in [("/small", 10), ("/other", 11)] {
        let headers = format!("Content-Length: {length}\r\n");
        let answer = rig
            .exchange(post(path, &headers, &"x".repeat(length)))
            .await;
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[tokio::test]
async fn li_04_an_undeclared_body_is_cut_off_where_it_becomes_too_large() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    for body in [
        "b\r\nhello world\r\n0\r\n\r\n",
        "5\r\nhello\r\n5\r\nworld\r\n1\r\n!\r\n0\r\n\r\n",
    ] {
        let rig = rig(|_| ok()).await;
        assert_too_large(&rig.exchange(post("/small", chunked, body)).await);
        // One with the whole body would have been seen before the answer.
        assert!(rig.upstream.seen().iter().all(|seen| !seen.complete));
    }
    let rig = rig(|_| ok()).await;
    let fits = "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n";
    assert_eq!(
        rig.exchange(post("/small", chunked, fits)).await.status,
        200
    );
    assert!(rig.only_seen().complete);
    // The next request of a connection begins with the whole allowance.
    let mut client = rig.client().await;
    for _ in 0..3 {
        client.send(post("/small", chunked, fits)).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn requests_of_a_route_at_once_are_limited_and_those_of_others_are_not() {
    let rig = rig(|seen| match seen.line().starts_with("GET /few") {
        true => Reply::Pause(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no".to_owned(),
            "k".to_owned(),
        ),
        false => ok(),
    })
    .await;
    let get = "GET /few HTTP/1.1\r\nHost: gw\r\nOrigin: https://app.example\r\n\r\n";
    let mut first = rig.client().await;
    first.send(get).await;
    rig.upstream.until_seen(1).await;
    // Also while the answer is on its way.
    first.until("\r\n\r\no").await.unwrap();
    for _ in 0..2 {
        let refused = rig.exchange(get).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.all("retry-after"), ["1"]);
        assert_eq!(
            refused.all("access-control-allow-origin"),
            ["https://app.example"]
        );
    }
    assert_eq!(rig.client().await.get("/other").await.status, 200);
    rig.upstream.go_on();
    first.until("k").await.unwrap();
    let mut second = rig.client().await;
    second.send(get).await;
    assert!(
        second.until("200 OK").await.is_some(),
        "there is room again"
    );
}

#[tokio::test]
async fn a_short_answer_that_nobody_reads_takes_no_place_of_its_route() {
    let rig = rig(|_| ok()).await;
    let mut greedy = rig.client().await;
    greedy.send(frames::hello_with_window(0)).await;
    greedy.send(frames::get(1, "/few")).await;
    while greedy.frame().await.unwrap().kind != frames::HEADERS {}
    assert_eq!(rig.client().await.get("/few").await.status, 200);
}

#[tokio::test]
async fn li_06_a_route_may_wait_less_for_an_answer_than_others() {
    let rig = rig(|seen| match seen.line().contains("/hasty") {
        true => Reply::Hang(String::new()),
        false => Reply::Pause(
            String::new(),
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
        ),
    })
    .await;
    let mut patient = rig.client().await;
    patient
        .send("GET /other HTTP/1.1\r\nHost: gw\r\n\r\n")
        .await;
    rig.upstream.until_seen(1).await;
    let mut hasty = rig.client().await;
    for path in ["/hasty", "/hasty"] {
        assert_eq!(in_time(hasty.get(path)).await.status, 504);
    }
    rig.upstream.go_on();
    assert_eq!(patient.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn li_06_a_route_s_streams_may_stand_still_for_less_than_others() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no";
    let rig = rig(move |_| Reply::Pause(half.to_owned(), "k".to_owned())).await;
    let mut patient = rig.client().await;
    patient
        .send("GET /other HTTP/1.1\r\nHost: gw\r\n\r\n")
        .await;
    rig.upstream.until_seen(1).await;
    let mut lively = rig.client().await;
    lively
        .send("GET /lively HTTP/1.1\r\nHost: gw\r\n\r\n")
        .await;
    assert!(lively.rest().await.ends_with("\r\n\r\no"));
    rig.upstream.go_on();
    rig.upstream.go_on();
    assert_eq!(patient.answer().await.unwrap().body, "ok");
}

#[tokio::test]
async fn a_route_may_limit_the_time_of_all_of_a_request() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no";
    let rig = rig(move |seen| match seen.line() {
        "GET /brief?silent HTTP/1.1" => Reply::Hang(String::new()),
        "GET /brief?half HTTP/1.1" => Reply::Hang(half.to_owned()),
        _ => ok(),
    })
    .await;
    let mut client = rig.client().await;
    for _ in 0..2 {
        let late = client.get("/brief?silent").await;
        assert_eq!(late.status, 504, "{late:?}");
        assert!(late.body.contains("The whole request took too long"));
    }
    // It is of the request, not of the connection.
    assert_eq!(client.get("/other").await.status, 200);
    in_time(async {
        // A machine may be too busy for one of them.
        while client.get("/brief").await.status != 200 {}
    })
    .await;
    client
        .send("GET /brief?half HTTP/1.1\r\nHost: gw\r\n\r\n")
        .await;
    assert!(client.rest().await.ends_with("\r\n\r\no"));
}

#[tokio::test]
async fn the_time_of_all_of_a_request_counts_while_a_token_is_waited_for_too() {
    let brief = "[[route]]\npath = '/*'\ndownstream = 'arm'\nlimits = { total_timeout = '200ms' }";
    let rig = Rig::new(brief, |_| ok(), |_| {}).await;
    let emulator = rig.emulator.as_ref().unwrap();
    let get = format!(
        "GET /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {}\r\n\r\n",
        rig.token("alice")
    );
    // For as long as the test runs.
    let _hold = emulator.hold(Endpoint::Token);
    let mut client = rig.client().await;
    client.send(&get).await;
    let late = client.answer().await.unwrap();
    assert_eq!(late.status, 504, "{late:?}");
    assert!(late.body.contains("The whole request took too long"));
    assert!(late.body.contains("\"actor\":\"gateway\""));
    rig.assert_nothing_reached_the_upstream();

    let (mut client, _connection) = connect(&rig).await;
    let request = Request::get("http://gw/x")
        .header("authorization", "Bearer ".to_owned() + &rig.token("bob"));
    let (late, _) = client
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    assert_eq!(in_time(late).await.unwrap().status(), 504);
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn li_04_over_http_2_a_body_that_is_too_large_ends_its_request_and_no_other() {
    let rig = rig(|_| ok()).await;
    let (mut client, _connection) = connect(&rig).await;
    let post = || Request::post("http://gw/small");
    let declared = post().header("content-length", "11").body(()).unwrap();
    let (declared, _body) = client.send_request(declared, false).unwrap();
    assert_eq!(in_time(declared).await.unwrap().status(), 413);
    rig.assert_nothing_reached_the_upstream();

    let (late, mut body) = client
        .send_request(post().body(()).unwrap(), false)
        .unwrap();
    body.send_data("hello ".into(), false).unwrap();
    body.send_data("world".into(), false).unwrap();
    assert_eq!(in_time(late).await.unwrap().status(), 413);
    assert!(rig.upstream.seen().iter().all(|seen| !seen.complete));

    let (good, mut body) = client
        .send_request(post().body(()).unwrap(), false)
        .unwrap();
    body.send_data("helloworld".into(), true).unwrap();
    assert_eq!(in_time(good).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_that_its_client_takes_back_makes_room_for_another_of_its_route() {
    let rig = rig(|_| Reply::Hang(String::new())).await;
    let request = || Request::get("http://gw/few").body(()).unwrap();
    let (mut client, _connection) = connect(&rig).await;
    let (taken_back, mut stream) = client.send_request(request(), true).unwrap();
    rig.upstream.until_seen(1).await;
    let (refused, _) = client.send_request(request(), true).unwrap();
    assert_eq!(in_time(refused).await.unwrap().status(), 503);
    stream.send_reset(h2::Reason::CANCEL);
    drop(taken_back);
    let again = in_time(async {
        while rig.upstream.seen().len() == 1 {
            let (answer, _) = client.send_request(request(), true).unwrap();
            // Refused for as long as the first has its place; the one that has it then gets no answer.
            tokio::select! {
                answer = answer => assert_eq!(answer.unwrap().status(), 503),
                _ = rig.upstream.until_seen(2) => {}
            }
        }
        rig.upstream.seen().len()
    });
    assert_eq!(again.await, 2);

    // Over HTTP/1 its connection goes away.
    for seen in [3, 4] {
        let mut other = rig.client().await;
        in_time(async {
            while rig.upstream.seen().len() < seen {
                let get = "GET /few HTTP/1.1\r\nHost: gw\r\n\r\n";
                other.send(get).await;
                tokio::select! {
                    answer = other.answer() => assert_eq!(answer.unwrap().status, 503),
                    _ = rig.upstream.until_seen(seen) => {}
                }
            }
        })
        .await;
    }
}
