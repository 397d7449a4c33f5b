//! Answers over HTTP/2: without a body, in front of the answer, and piece by piece.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response};

use crate::{
    client::in_time,
    http2::connect,
    rig::Rig,
    upstream::{Reply, Seen},
};

fn script(seen: &Seen) -> Reply {
    let answer = match seen.line() {
        line if line.starts_with("HEAD ") => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        line if line.contains("/204") => "HTTP/1.1 204 No Content\r\netag: \"a\"\r\n\r\n",
        line if line.contains("/304") => {
            "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 5\r\n\r\n"
        }
        line if line.contains("/hints") => {
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
        }
        _ => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    };
    Reply::Keep(answer.to_owned())
}

async fn ask(client: &mut SendRequest<Bytes>, method: &str, path: &str) -> Response<String> {
    let uri = format!("http://gw{path}");
    let request = Request::builder().method(method).uri(uri);
    let (answer, _) = client
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    let (head, mut body) = in_time(answer).await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(data) = in_time(body.data()).await {
        text.extend(data.unwrap());
    }
    Response::from_parts(head, String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn head_204_and_304_have_no_body_over_http_2_and_the_connections_are_used_again() {
    let rig = Rig::public_with(script, |_| {}).await;
    let (mut client, _connection) = connect(&rig).await;
    for (method, path, status, length) in [
        ("HEAD", "/x", 200, Some("5")),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("5")),
    ] {
        let answer = ask(&mut client, method, path).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let said = answer.headers().get("content-length");
        assert_eq!(said.map(|said| said.to_str().unwrap()), length, "{path}");
        assert_eq!(answer.body(), "", "{method} {path}");
        assert_eq!(ask(&mut client, "GET", "/x").await.body(), "hello");
    }
    assert_eq!(rig.upstream.connections(), 1);
}

#[tokio::test]
async fn hd_11_over_http_2_an_answer_in_front_of_the_answer_is_not_taken_for_it() {
    let rig = Rig::public_with(script, |_| {}).await;
    let (mut client, _connection) = connect(&rig).await;
    let answer = ask(&mut client, "GET", "/hints").await;
    assert_eq!((answer.status().as_u16(), &**answer.body()), (200, "hello"));
    assert!(!answer.headers().contains_key("link"));
}

fn events() -> Reply {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    Reply::Pause(
        format!("{head}9\r\ndata: 1\n\n\r\n"),
        "9\r\ndata: 2\n\n\r\n0\r\n\r\n".to_owned(),
    )
}

/// The upstream sends the second only once the first has come.
#[tokio::test]
async fn events_arrive_one_by_one_over_http_2() {
    let rig = Rig::public_with(|_| events(), |_| {}).await;
    let (mut client, _connection) = connect(&rig).await;
    let get = Request::get("http://gw/x").body(()).unwrap();
    let (answer, _) = client.send_request(get, true).unwrap();
    let mut body = in_time(answer).await.unwrap().into_body();
    assert_eq!(in_time(body.data()).await.unwrap().unwrap(), "data: 1\n\n");
    rig.upstream.go_on();
    assert_eq!(in_time(body.data()).await.unwrap().unwrap(), "data: 2\n\n");
    while let Some(end) = in_time(body.data()).await {
        assert_eq!(end.unwrap(), "");
    }
}
