//! Fields after a body.

use crate::{
    rig::{PROTECTED, PUBLIC, Rig},
    upstream::{Reply, Seen, ok},
};

/// One route, protected or public, that lists these.
async fn rig(file: &str, script: fn(&Seen) -> Reply, listed: &[&str]) -> Rig {
    let listed = listed.iter().map(|name| (*name).to_owned()).collect();
    Rig::new(file, script, |config| config.routes[0].trailers = listed).await
}

const TRAILERS: &str =
    "x-sum: 7\r\ngrpc-status: 0\r\nx-other: 1\r\ncontent-length: 9\r\nset-cookie: a=b\r\nx-echo: ";

fn answer(seen: &Seen) -> Reply {
    let token = seen.all("authorization").first().copied().unwrap_or("none");
    Reply::Keep(format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: X-Sum, grpc-status, x-other, content-length, set-cookie, x-echo\r\n\r\n2\r\nok\r\n0\r\n{TRAILERS}{token}\r\n\r\n"
    ))
}

#[tokio::test]
async fn hd_08_of_an_answers_trailers_those_pass_that_the_route_lists_and_grpcs() {
    let rig = rig(PROTECTED, answer, &["x-sum", "x-e*"]).await;
    let token = rig.token("alice");
    let mut client = rig.client().await;
    for _ in 0..2 {
        client
            .send(format!(
                "GET /x HTTP/1.1\r\nHost: gw\r\nTE: gzip, trailers\r\nConnection: TE\r\nAuthorization: Bearer {token}\r\n\r\n"
            ))
            .await;
        let head = client.until("\r\n\r\n").await.unwrap().to_lowercase();
        assert!(
            head.contains("\r\ntrailer: x-sum, grpc-status, x-echo\r\n"),
            "{head}"
        );
        assert_eq!(
            client.until("0\r\n").await.as_deref(),
            Some("2\r\nok\r\n0\r\n")
        );
        let trailers = client.until("\r\n\r\n").await.unwrap();
        let mut lines: Vec<&str> = trailers.trim_end().split("\r\n").collect();
        lines.sort_unstable();
        assert_eq!(lines, ["grpc-status: 0", "x-sum: 7"]);
    }
    let seen = rig.upstream.seen();
    assert_eq!(seen[0].all("te"), ["trailers"]);
    assert_eq!(seen[0].all("connection"), ["te"]);
    assert_eq!(rig.upstream.connections(), 1, "and the connection goes on");
}

#[tokio::test]
async fn a_client_that_does_not_read_trailers_gets_none_and_te_is_not_forwarded() {
    let rig = Rig::public_with(answer, |_| {}).await;
    let mut client = rig.client().await;
    for te in ["", "TE: gzip\r\nConnection: TE\r\n"] {
        client
            .send(format!("GET /x HTTP/1.1\r\nHost: gw\r\n{te}\r\n"))
            .await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.body, "ok");
        assert!(answer.all("trailer").is_empty(), "{answer:?}");
    }
    for seen in rig.upstream.seen() {
        assert!(seen.all("te").is_empty() && seen.all("connection").is_empty());
    }
}

#[tokio::test]
async fn hd_08_a_route_that_lists_none_lets_grpcs_trailers_pass_only() {
    let rig = rig(PUBLIC, answer, &[]).await;
    let mut client = rig.client().await;
    client
        .send("POST /x HTTP/1.1\r\nHost: gw\r\nTE: trailers\r\nConnection: TE\r\nTrailer: x-sum, grpc-a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\ngrpc-a: 1\r\n\r\n")
        .await;
    let head = client.until("\r\n\r\n").await.unwrap().to_lowercase();
    assert!(head.contains("\r\ntrailer: grpc-status\r\n"), "{head}");
    let rest = client.until("\r\n\r\n").await.unwrap();
    assert_eq!(rest, "2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n");
    let seen = rig.only_seen();
    assert_eq!(seen.all("trailer"), ["grpc-a"]);
    assert_eq!(seen.body, b"2\r\nok\r\n0\r\ngrpc-a: 1\r\n\r\n");
}

#[tokio::test]
async fn hd_08_of_a_requests_trailers_those_pass_that_the_route_lists_and_the_client_announced() {
    // Whatever is listed, and by whatever pattern.
    let rig = rig(PUBLIC, |_| ok(), &["x*", "authorization", "host"]).await;
    let chunked = "TRANSFER-ENCODING: chunked";
    let fields = "X-Sum: 7\r\nX-Other: 1\r\nX-Forwarded-For: 1.2.3.4\r\nX_Real_IP: 1\r\nAuthorization: Bearer x\r\nHost: evil\r\nTransfer-Encoding: gzip\r\nContent-Length: 3";
    for (trailer, wanted) in [
        ("", ""),
        (
            "Trailer: x-sum, X-Forwarded-For, x_real_ip\r\nTrailer: Authorization, content-length, host, Transfer-Encoding\r\n",
            "x-sum: 7\r\n",
        ),
        ("Trailer: authorization\r\n", ""),
    ] {
        let answer = rig
            .exchange(format!(
                "POST /x HTTP/1.1\r\nHost: gw\r\n{chunked}\r\n{trailer}\r\n2\r\nok\r\n0\r\n{fields}\r\n\r\n"
            ))
            .await;
        assert_eq!(answer.status, 200, "{trailer}");
        let seen = rig.upstream.seen().pop().unwrap();
        let body = String::from_utf8(seen.body.clone()).unwrap();
        assert_eq!(body, format!("2\r\nok\r\n0\r\n{wanted}\r\n"), "{trailer}");
        let announced = if wanted.is_empty() {
            &[][..]
        } else {
            &["x-sum"]
        };
        assert_eq!(seen.all("trailer"), announced, "{trailer}");
    }
}
