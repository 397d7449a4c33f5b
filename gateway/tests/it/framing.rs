//! HTTP/1 framing: section 10 of the catalogue. Behind each refused request stands another one,
//! which must never be taken for a request of its own.

use crate::{
    rig::{PROTECTED, Rig},
    upstream::ok,
};

/// Sends a request with something hidden behind it; gives back everything that comes.
async fn conversation(rig: &Rig, bytes: impl AsRef<[u8]>) -> String {
    let mut client = rig.client().await;
    client.try_send(bytes).await;
    client.rest().await
}

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: gw\r\n\r\n";

/// One answer with one of these statuses, or none at all, then the end; nothing upstream.
async fn assert_refused(rig: &Rig, bytes: impl AsRef<[u8]>, statuses: &[&str]) {
    let bytes = bytes.as_ref();
    let text = conversation(rig, bytes).await;
    let shown = String::from_utf8_lossy(bytes);
    assert!(text.matches("HTTP/1.1 ").count() <= 1, "{shown}\n{text}");
    let status = text.split(' ').nth(1).unwrap_or_default();
    assert!(statuses.contains(&status), "{shown}\n{text}");
    assert!(
        text.contains("\r\nconnection: close\r\n"),
        "{shown}\n{text}"
    );
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn h1_01_a_length_beside_chunks_is_read_as_chunks_and_ends_the_connection() {
    for lines in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
    ] {
        let rig = Rig::public().await;
        let request = format!(
            "POST /x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n{HIDDEN}"
        );
        let text = conversation(&rig, request).await;
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
        let seen = rig.only_seen();
        assert!(seen.all("content-length").is_empty(), "{seen:?}");
        assert_eq!(seen.all("transfer-encoding"), ["chunked"]);
        assert_eq!(seen.body, b"5\r\nhello\r\n0\r\n\r\n");
    }
}

#[tokio::test]
async fn h1_02_lengths_that_differ_or_are_no_numbers_are_refused() {
    let rig = Rig::public().await;
    for lines in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 4",
        "Content-Length: +3",
        "Content-Length: -1",
        "Content-Length: 0x3",
        "Content-Length: 3 4",
        "Content-Length: 3;",
        "Content-Length: 18446744073709551616",
    ] {
        let request = format!("POST /x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n\r\nabc{HIDDEN}");
        assert_refused(&rig, request, &["400"]).await;
    }
}

#[tokio::test]
async fn h1_02_equal_lengths_are_one() {
    let rig = Rig::public().await;
    let answer = rig
        .exchange(
            "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        )
        .await;
    assert_eq!(answer.status, 200);
    let seen = rig.only_seen();
    assert_eq!(seen.all("content-length"), ["3"]);
    assert_eq!(seen.body, b"abc");
}

#[tokio::test]
async fn h1_03_only_chunked_alone_is_a_transfer_coding() {
    let rig = Rig::public().await;
    for (lines, status) in [
        ("Transfer-Encoding: xchunked", "400"),
        ("Transfer-Encoding: chunked, identity", "400"),
        ("Transfer-Encoding: gzip, chunked", "501"),
        ("Transfer-Encoding: chunked, chunked", "501"),
        ("Transfer-Encoding: identity", "400"),
        ("Transfer-Encoding: chunked;q=1", "400"),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "400",
        ),
        (
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            "400",
        ),
        ("Transfer-Encoding: \x0bchunked", "400"),
        ("Transfer-Encoding:\r\n chunked", "400"),
        ("Transfer-Encoding: \"chunked\"", "400"),
        ("Transfer-Encoding:", "400"),
    ] {
        let request =
            format!("POST /x HTTP/1.1\r\nHost: gw\r\n{lines}\r\n\r\n3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
        assert_refused(&rig, request, &[status]).await;
    }
}

#[tokio::test]
async fn h1_04_h1_05_other_spellings_and_versions_of_chunked_are_refused() {
    let rig = Rig::public().await;
    for head in [
        "POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding : chunked",
        "POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding\x0b: chunked",
        "POST /x HTTP/1.0\r\nHost: gw\r\nTransfer-Encoding: chunked",
    ] {
        let request = format!("{head}\r\n\r\n3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
        assert_refused(&rig, request, &["400"]).await;
    }
}

#[tokio::test]
async fn h1_06_broken_chunks_never_make_a_complete_message() {
    let long = format!("3;{}\r\nabc", "e".repeat(64 * 1024));
    for chunks in [
        "0x3\r\nabc\r\n",
        "-1\r\nabc\r\n",
        " 3\r\nabc\r\n",
        // Zeros in front would be a spelling of 3, and are sent on as `3`.
        "10000000000000003\r\nabc\r\n",
        "3\r\nabcX",
        "3\nabc\r\n",
        "3;x\ny\r\nabc\r\n",
        &long,
    ] {
        let shown = &chunks[..chunks.len().min(40)];
        let rig = Rig::public().await;
        let text = conversation(
            &rig,
            format!(
                "POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n{HIDDEN}"
            ),
        )
        .await;

        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{shown}: {text}");
        assert!(text.starts_with("HTTP/1.1 400 "), "{shown}: {text}");
        for seen in rig.upstream.seen() {
            assert!(!seen.complete, "{shown}: {seen:?}");
            assert!(!seen.head.contains("/hidden"), "{shown}: {seen:?}");
        }
    }
}

/// Where a reader ends the request at a bare line feed, what follows is its next request; for one that
/// reads on it is a trailer. Whoever is in front of the gateway must not wait for its answer, or take
/// the next one for it.
#[tokio::test]
async fn h1_06_nothing_is_read_behind_trailers() {
    for trailers in ["\n", "X-T: t\r\n", "X-T: t\n\n", "X-T: t\r\n\n"] {
        for path in ["/public", "/private"] {
            let routes = "[[route]]\npath = '/public'\naccess = 'public'";
            let rig = Rig::new(routes, |_| ok(), |_| {}).await;
            let bytes = format!(
                "POST {path} HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n\
                 0\r\n{trailers}{HIDDEN}{HIDDEN}"
            );
            let text = conversation(&rig, &bytes).await;
            let shown = bytes.escape_debug();
            assert!(text.matches("HTTP/1.1 ").count() <= 1, "{shown}\n{text}");
            if !text.starts_with("HTTP/1.1 400") {
                assert!(text.contains("connection: close"), "{shown}\n{text}");
            }
            for seen in rig.upstream.seen() {
                assert_eq!(seen.line(), "POST /public HTTP/1.1", "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn h1_07_a_bare_carriage_return_is_refused_and_a_bare_line_feed_changes_nothing() {
    let rig = Rig::public().await;
    assert_refused(
        &rig,
        format!("GET /x HTTP/1.1\r\nHost: gw\r\nX-A: a\rX-B: b\r\n\r\n{HIDDEN}"),
        &["400"],
    )
    .await;
    let answer = rig.exchange("GET /x HTTP/1.1\nHost: gw\nX-A: a\n\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(rig.only_seen().all("x-a"), ["a"]);
    assert!(!rig.only_seen().head.replace("\r\n", "").contains('\n'));
}

#[tokio::test]
async fn h1_08_there_is_one_host_and_it_is_a_host() {
    let rig = Rig::public().await;
    for lines in [
        "",
        "Host: gw\r\nHost: gw\r\n",
        "Host: gw\r\nHost: other\r\n",
        "Host: a, b\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: u@h\r\n",
        "Host:\r\n",
    ] {
        assert_refused(
            &rig,
            format!("GET /x HTTP/1.1\r\n{lines}\r\n{HIDDEN}"),
            &["400"],
        )
        .await;
    }
}

#[tokio::test]
async fn http_1_0_needs_no_host() {
    let rig = Rig::public().await;
    let text = conversation(&rig, "GET /x HTTP/1.0\r\n\r\n").await;
    assert!(text.contains(" 200 ") && text.ends_with("ok"), "{text}");
    let seen = rig.only_seen();
    assert_eq!(seen.line(), "GET /x HTTP/1.1");
    assert_eq!(seen.all("forwarded"), ["for=127.0.0.1;proto=http"]);
    assert!(seen.all("x-forwarded-host").is_empty());
}

#[tokio::test]
async fn h1_09_the_body_of_a_refused_request_is_never_the_next_request() {
    let rig = Rig::new(
        PROTECTED,
        |_| ok(),
        |config| {
            for route in &mut config.routes {
                route.limits.body_bytes = Some(10);
            }
        },
    )
    .await;
    for (path, authorization, status) in [
        // The route's limit comes before the token.
        ("/x", "Bearer x", 413),
        ("/x/../y", "Bearer x", 400),
    ] {
        refuses_with_its_body(&rig, path, authorization, status).await;
    }
    let rig = Rig::protected().await;
    let unfit = rig.emulator.as_ref().unwrap().token();
    let unfit = format!("Bearer {}", unfit.scopes(["other"]).sign());
    for (authorization, status) in [("Bearer x", 401), (&*unfit, 403)] {
        refuses_with_its_body(&rig, "/x", authorization, status).await;
    }
}

async fn refuses_with_its_body(rig: &Rig, path: &str, authorization: &str, status: u16) {
    for body in [HIDDEN.to_owned(), HIDDEN.repeat(5_000)] {
        let mut client = rig.client().await;
        let length = body.len();
        client
            .send(format!(
                "POST {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: {authorization}\r\n\
                 Content-Length: {length}\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, status, "without waiting for the body");
        client.try_send(&body).await;
        assert_eq!(
            client.rest().await,
            "",
            "the connection ends, or all of the body is eaten"
        );
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn h1_10_a_get_with_a_body_and_a_request_behind_it_are_two_requests() {
    let rig = Rig::public().await;
    let mut client = rig.client().await;
    client
        .send(format!(
            "GET /first HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nhello{HIDDEN}"
        ))
        .await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(client.answer().await.unwrap().status, 200);
    client
        .send("GET /third HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    let seen = rig.upstream.seen();
    assert_eq!(seen[0].body, b"hello");
    assert_eq!(seen[1].line(), "GET /hidden HTTP/1.1");
    assert_eq!(seen[1].body, b"");
    assert_eq!(seen[2].body, b"3\r\nabc\r\n0\r\n\r\n");
}

#[tokio::test]
async fn h1_10_pipelined_requests_are_judged_each_by_its_own_token() {
    let rig = Rig::protected().await;
    let token = rig.token("alice");
    let mut client = rig.client().await;
    client
        .send(format!(
            "GET /a HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\nGET /b HTTP/1.1\r\nHost: gw\r\n\r\n"
        ))
        .await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(client.answer().await.unwrap().status, 401);
    assert_eq!(rig.only_seen().line(), "GET /a HTTP/1.1");
}

#[tokio::test]
async fn h1_11_no_body_is_asked_for_when_the_token_is_bad() {
    let rig = Rig::protected().await;
    for (bearer, challenge) in [
        ("", "\r\nwww-authenticate: Bearer realm=\"\"\r\n"),
        ("Authorization: Bearer x.y.z\r\n", "error=\"invalid_token\""),
    ] {
        let text = conversation(
            &rig,
            format!("POST /x HTTP/1.1\r\nHost: gw\r\n{bearer}Content-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert!(text.starts_with("HTTP/1.1 401 "), "{text}");
        assert!(text.contains(challenge), "{text}");
        assert!(!text.contains("100 Continue"), "{text}");
    }
    assert_eq!(rig.emulator.as_ref().unwrap().exchanges(), 0);
    let answer = rig
        .exchange("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\nExpect: tea\r\n\r\n")
        .await;
    assert_eq!(answer.status, 417);
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn a_body_that_is_wanted_is_asked_for() {
    let rig = Rig::public().await;
    let mut client = rig.client().await;
    client
        .send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 100);
    client.send("hello").await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    let seen = rig.only_seen();
    assert_eq!(seen.body, b"hello");
    assert!(seen.all("expect").is_empty());
}

#[tokio::test]
async fn h1_12_what_is_no_http_1_is_refused() {
    let rig = Rig::public().await;
    for bytes in [
        &b"GET /x HTTP/1.2\r\nHost: gw\r\n\r\n"[..],
        b"GET /x HTTP/2.0\r\nHost: gw\r\n\r\n",
        b"GET /x http/1.1\r\nHost: gw\r\n\r\n",
        b"GET /x\r\n\r\n",
        b"GET  /x HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET /x  HTTP/1.1\r\nHost: gw\r\n\r\n",
        // The first of the two lines with which HTTP/2 begins, and not the second.
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        assert_refused(&rig, bytes, &["400", "505"]).await;
    }
}

#[tokio::test]
async fn hd_09_malformed_header_lines_are_refused() {
    let rig = Rig::public().await;
    for line in [
        &b"X-A: a\x00b"[..],
        b"X-A: a\r\n folded",
        b"X-A: a\rb",
        b"X-A: a\nb",
        b"X-A: a\r\n\tfolded",
        b"X A: a",
        b"X-A : a",
        b": a",
        b"X-A\x01: a",
    ] {
        let mut request = b"GET /x HTTP/1.1\r\nHost: gw\r\n".to_vec();
        request.extend_from_slice(line);
        request.extend_from_slice(b"\r\n\r\n");
        request.extend_from_slice(HIDDEN.as_bytes());
        assert_refused(&rig, request, &["400"]).await;
    }
}
