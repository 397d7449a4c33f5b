//! What is no request is refused in the form of every other refusal.

use crate::{
    client::{Answer, Client},
    rig::Rig,
    upstream::Reply,
};

const NO_HEAD: &str = "GET /x HTTP/1.1\r\nno colon\r\n\r\n";
const LOOKS_LIKE_ONE: &str =
    "\r\n\r\nHTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A whole refusal: a document, an id that is the same in head and document, nothing for a cache, and
/// the end of the connection.
fn assert_explained(answer: &Answer, status: u16, name: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.all("content-type"), ["application/problem+json"]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("connection"), ["close"]);
    assert_eq!(answer.all("date").len(), 1);
    let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(document["type"], format!("urn:tower-obo:problem:{name}"));
    assert_eq!(document["status"], status);
    assert_eq!(document["actor"], "caller");
    let id = document["correlation_id"].as_str().unwrap();
    assert_eq!(answer.all("x-request-id"), [id]);
    assert_eq!(id.len(), 32);
}

async fn assert_ends(client: &mut Client) {
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn li_03_what_is_no_head_or_too_large_to_be_read_is_refused_with_a_document() {
    let rig = Rig::public().await;
    let large = format!(
        "GET /x HTTP/1.1\r\nHost: gw\r\nX-A: {}\r\n\r\n",
        "a".repeat(200 * 1024)
    );
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100 * 1024));
    let many = format!("GET /x HTTP/1.1\r\n{}\r\n", "X-A: a\r\n".repeat(300));
    for (bytes, status, name) in [
        (NO_HEAD, 400, "bad-request"),
        ("GET /x HTTP/1.2\r\nHost: gw\r\n\r\n", 400, "bad-request"),
        ("<script>\r\n\r\n", 400, "bad-request"),
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 400, "bad-request"),
        (&long, 414, "target-too-long"),
        (&large, 431, "head-too-large"),
        (&many, 431, "head-too-large"),
    ] {
        let mut client = rig.client().await;
        client.try_send(bytes).await;
        let answer = client.answer().await.unwrap();
        assert_explained(&answer, status, name);
        assert!(!answer.body.contains("script"), "{}", answer.body);
        assert_ends(&mut client).await;
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn also_behind_a_request_that_was_one() {
    let rig = Rig::public().await;
    let mut client = rig.client().await;
    assert_eq!(client.get("/x").await.status, 200);
    client.send(NO_HEAD).await;
    assert_explained(&client.answer().await.unwrap(), 400, "bad-request");
    assert_ends(&mut client).await;

    // With a body before it, whose end is not seen here, and in one piece with it: that it is no HEAD
    // is not known.
    for good in [
        "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nhello",
        "GET /x HTTP/1.1\r\nHost: gw\r\n\r\n",
    ] {
        let mut client = rig.client().await;
        client.send(format!("{good}{NO_HEAD}")).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        assert_named(&client.answer().await.unwrap());
        assert_ends(&mut client).await;
    }
}

/// An answer that may be one to HEAD: no document, and all else.
fn assert_named(answer: &Answer) {
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.all("content-length"), ["0"]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("connection"), ["close"]);
    assert_eq!(answer.all("x-request-id")[0].len(), 32);
    assert!(answer.all("content-type").is_empty());
}

#[tokio::test]
async fn the_answer_to_head_has_no_body() {
    const HEAD: &str = "HEAD /x HTTP/1.1\r\nno colon\r\n\r\n";
    const GET: &str = "GET /x HTTP/1.1\r\nHost: gw\r\n\r\n";
    let rig = Rig::public().await;
    for pieces in [
        vec![HEAD.to_owned()],
        vec![format!("\r\n{HEAD}")],
        vec![format!(" {HEAD}")],
        vec![format!("\t {HEAD}")],
        vec![format!("{GET}{HEAD}")],
        vec![GET.to_owned(), HEAD.to_owned()],
        vec![format!("{GET}HE"), HEAD[2..].to_owned()],
        vec![format!("{GET}{}", &HEAD[..18]), HEAD[18..].to_owned()],
    ] {
        let mut client = rig.client().await;
        for (index, piece) in pieces.iter().enumerate() {
            client.send(piece).await;
            if index == 0 && piece.starts_with(GET) {
                assert_eq!(client.answer().await.unwrap().status, 200);
            }
        }
        let answer = client.answer_to("HEAD").await.unwrap();
        assert_named(&answer);
        assert_ends(&mut client).await;
    }
}

#[tokio::test]
async fn an_answer_of_the_upstream_that_looks_like_such_a_refusal_stays_as_it_is() {
    let rig = Rig::public_with(
        |seen| {
            let (length, body) = match seen.line() {
                line if line.contains("/body") => (LOOKS_LIKE_ONE.len(), LOOKS_LIKE_ONE),
                line if line.contains("/piece") => {
                    let body = LOOKS_LIKE_ONE.trim_start();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    return Reply::Pause(head, body.to_owned());
                }
                _ => (0, ""),
            };
            Reply::Keep(format!(
                "HTTP/1.1 400 Bad Request\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
        },
        |_| {},
    )
    .await;
    let mut client = rig.client().await;
    let empty = client.get("/empty").await;
    assert_eq!((empty.status, &*empty.body), (400, ""));
    assert!(empty.all("content-type").is_empty(), "{empty:?}");
    assert_eq!(client.get("/body").await.body, LOOKS_LIKE_ONE);

    // The body comes alone, in a piece that begins like an answer.
    client.send("GET /piece HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    let head = client.until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    rig.upstream.go_on();
    let body = LOOKS_LIKE_ONE.trim_start();
    let seen = client.exactly_bytes(body.len()).await.unwrap();
    assert_eq!(seen, body.as_bytes());
    assert_eq!(client.get("/empty").await.status, 400);
}
