//! Bytes over HTTP/2 that no library would send: section 11 of the catalogue. None of it reaches the
//! upstream, and what else goes on on the connection does not suffer.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::{
    client::{Client, in_time},
    frames::{
        self, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS,
        PROTOCOL_ERROR, RST_STREAM, WINDOW_UPDATE, field, frame, hello, request, status,
    },
    rig::Rig,
    upstream::{Reply, ok},
};

mod neighbours;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Reset,
    Answer(u16),
    /// The whole connection, with a reason.
    Gone,
}

/// The first that is said of that stream.
async fn outcome(client: &mut Client, stream: u32) -> Outcome {
    loop {
        let Some(frame) = client.frame().await else {
            return Outcome::Gone;
        };
        match frame.kind {
            GOAWAY if frame.code() != Some(0) => return Outcome::Gone,
            RST_STREAM if frame.stream == stream => return Outcome::Reset,
            HEADERS if frame.stream == stream => return Outcome::Answer(status(&frame)),
            _ => {}
        }
    }
}

/// A head as the only frame of a request.
fn alone(block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, 1, block)
}

/// Sends these frames as stream 1, and says how that ended. The next stream is served, and nothing of
/// the first reaches the upstream.
async fn refused(rig: &Rig, bytes: Vec<u8>, what: &str) -> Outcome {
    let mut client = rig.client().await;
    client.send([hello(), bytes].concat()).await;
    let said = outcome(&mut client, 1).await;
    assert!(
        matches!(said, Outcome::Reset | Outcome::Answer(400) | Outcome::Gone),
        "{what}: {said:?}"
    );
    assert!(rig.upstream.seen().is_empty(), "{what}");
    if said == Outcome::Gone {
        return said;
    }
    client.send(frames::get(3, "/.")).await;
    assert_eq!(
        outcome(&mut client, 3).await,
        Outcome::Answer(400),
        "{what}"
    );
    said
}

#[tokio::test]
async fn h2_03_fields_of_a_connection_are_malformed() {
    let rig = Rig::public().await;
    for (name, value) in [
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
    ] {
        let block = request("GET", "/x", &[(name, value)]);
        let said = refused(&rig, alone(&block), name).await;
        assert_eq!(said, Outcome::Reset, "{name}");
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn h2_04_names_and_values_that_http_1_would_read_otherwise_are_malformed() {
    let rig = Rig::public().await;
    // What the library cannot decode ends the connection, which RFC 9113 §5.4.1 allows.
    let undecodable = [
        ("X-A", "a"),
        ("x a", "a"),
        ("x-a ", "a"),
        ("x:a", "a"),
        ("x-a:", "a"),
        ("x\r\ny", "a"),
        ("", "a"),
        ("x-a", "a\rb"),
        ("x-a", "a\nb"),
        ("x-a", "a\r\ny: z"),
        ("x-a", "a\0b"),
    ];
    let decodable = [
        ("x-a", " a"),
        ("x-a", "a "),
        ("x-a", "\ta"),
        ("x-a", "a\t"),
        ("x-a", " "),
        ("authorization", " Bearer x"),
        ("content-length", " 0"),
        ("host", "gw "),
    ];
    for (fields, is_gone) in [(&undecodable[..], true), (&decodable, false)] {
        for (name, value) in fields {
            let case = format!("{name:?}: {value:?}");
            let block = request("GET", "/x", &[(name, value)]);
            let said = refused(&rig, alone(&block), &case).await;
            assert_eq!(said == Outcome::Gone, is_gone, "{case}");
        }
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn h2_05_a_path_that_is_none_is_malformed() {
    let rig = Rig::public().await;
    let mut gone = Vec::new();
    for path in [
        "",
        "x",
        "*",
        "?x",
        "http://gw/x",
        "http://evil.example/x",
        "@evil.example/x",
        "/x y",
        "/x\ty",
        "/x\r\nHost: evil",
        "/x HTTP/1.1\r\n\r\nGET /admin",
        "/x\0",
        // Section 9 holds as it does over HTTP/1.
        "/public/../admin",
        "/%2e%2e/admin",
        "/x\\y",
        "/%00",
        "/%zz",
        "/\u{e9}",
    ] {
        let block = request("GET", path, &[]);
        let said = refused(&rig, alone(&block), &format!("{path:?}")).await;
        if said == Outcome::Gone {
            gone.push(path);
        }
    }
    assert_eq!(gone, [""; 0]);
    rig.assert_nothing_reached_the_upstream();
}

/// `h2` drops a fragment before anybody sees it: what is in front of it is the path, for the route
/// and for the upstream alike.
#[tokio::test]
async fn h2_05_pa_08_a_fragment_is_no_part_of_a_path() {
    let rig = Rig::public().await;
    let mut client = rig.client().await;
    let get = alone(&request("GET", "/x#/../admin", &[]));
    client.send([hello(), get].concat()).await;
    assert_eq!(outcome(&mut client, 1).await, Outcome::Answer(200));
    assert_eq!(rig.only_seen().line(), "GET /x HTTP/1.1");
}

#[tokio::test]
async fn h2_06_pseudo_fields_out_of_place_are_malformed() {
    const GOOD: [(&str, &str); 4] = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "gw"),
        (":path", "/x"),
    ];
    let rig = Rig::public().await;
    let (mut cases, mut gone) = (Vec::new(), Vec::new());
    for (at, one) in GOOD.into_iter().enumerate() {
        // Twice, with the same value and with another.
        cases.push([&GOOD[..], &[one]].concat());
        let other = ["POST", "https", "evil", "/y"][at];
        cases.push([&GOOD[..], &[(one.0, other)]].concat());
        let mut late = GOOD.to_vec();
        late.remove(at);
        late.push(("x-a", "a"));
        late.push(one);
        cases.push(late);
    }
    for missing in [":method", ":scheme", ":path"] {
        let others = GOOD.into_iter().filter(|(name, _)| *name != missing);
        cases.push(others.collect());
    }
    for unknown in [
        (":x", "a"),
        (":status", "200"),
        (":protocol", "websocket"),
        (":", "a"),
    ] {
        cases.push([&GOOD[..], &[unknown]].concat());
    }
    for case in cases {
        let block: Vec<u8> = (case.iter())
            .flat_map(|(name, value)| field(name, value))
            .collect();
        let said = refused(&rig, alone(&block), &format!("{case:?}")).await;
        if said == Outcome::Gone {
            gone.push(case);
        }
    }
    // What the library cannot decode ends the connection, which RFC 9113 §5.4.1 allows.
    assert_eq!(
        gone,
        [":x", ":"].map(|name| [&GOOD[..], &[(name, "a")]].concat())
    );
    rig.assert_nothing_reached_the_upstream();
}

/// Which host it is for, nothing says.
#[tokio::test]
async fn h2_01_a_request_with_neither_authority_nor_host_is_refused() {
    let rig = Rig::public().await;
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/x")];
    let block: Vec<u8> = (fields.iter())
        .flat_map(|(name, value)| field(name, value))
        .collect();
    let said = refused(&rig, alone(&block), "neither").await;
    assert_eq!(said, Outcome::Answer(400));
    rig.assert_nothing_reached_the_upstream();
}

/// The setting that would allow it (RFC 8441 §3) is never sent.
#[tokio::test]
async fn h2_09_extended_connect_opens_no_tunnel() {
    let upgrade = "[[route]]\npath = '/*'\naccess = 'public'\nupgrade = ['websocket']";
    let rig = Rig::new(upgrade, |_| ok(), |_| {}).await;
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "gw"),
        (":path", "/x"),
        ("sec-websocket-version", "13"),
    ];
    let block: Vec<u8> = (fields.iter())
        .flat_map(|(name, value)| field(name, value))
        .collect();
    let head = frame(HEADERS, END_HEADERS, 1, &block);
    let said = refused(&rig, head, "CONNECT").await;
    assert_eq!(said, Outcome::Reset);
    rig.assert_nothing_reached_the_upstream();
}

/// Each of these requests is reset by the gateway, which no count of the client's own resets sees
/// (CVE-2025-8671).
#[tokio::test]
async fn h2_10_requests_that_are_made_to_be_reset_end_the_connection_and_hardly_reach_the_upstream()
{
    for (what, method, fields, flags, then, reason) in [
        // An increment of nothing, which may end the connection at once (RFC 9113 §5.4.2, §6.9).
        (
            "window",
            "GET",
            &[][..],
            END_STREAM,
            (WINDOW_UPDATE, &[0; 4][..]),
            PROTOCOL_ERROR,
        ),
        // More than was announced (§8.1.1).
        (
            "length",
            "POST",
            &[("content-length", "1")],
            0,
            (DATA, b"hello"),
            ENHANCE_YOUR_CALM,
        ),
        // A second time what has ended (§5.1).
        (
            "after the end",
            "GET",
            &[],
            END_STREAM,
            (DATA, b"hello"),
            PROTOCOL_ERROR,
        ),
    ] {
        let rig = Rig::public_with(|_| Reply::Hang(String::new()), |_| {}).await;
        let mut client = rig.client().await;
        client.send(hello()).await;
        let mut sent = 0;
        for stream in (1..2_000).step_by(2) {
            let block = request(method, "/x", fields);
            let head = frame(HEADERS, flags | END_HEADERS, stream, &block);
            let (kind, payload) = then;
            let both = [head, frame(kind, 0, stream, payload)].concat();
            if in_time(client.stream.write_all(&both)).await.is_err() {
                break;
            }
            sent += 1;
        }
        let frames = client.frames().await;
        let last = frames.iter().rfind(|frame| frame.kind == GOAWAY);
        let code = last.and_then(frames::Frame::code);
        assert_eq!(code, Some(reason), "{what}: {sent} were sent");
        let seen = rig.upstream.seen().len();
        assert!(seen <= 200, "{what}: {seen} reached the upstream");
        // Others are served.
        let mut other = rig.client().await;
        other.send([hello(), frames::get(1, "/.")].concat()).await;
        let served = outcome(&mut other, 1).await;
        assert_eq!(served, Outcome::Answer(400), "{what}");
    }
}

/// A request with a body, whose frames these are.
async fn with_body(rig: &Rig, more: &[(&str, &str)], rest: &[Vec<u8>]) -> Outcome {
    let mut client = rig.client().await;
    let head = frame(HEADERS, END_HEADERS, 1, &request("POST", "/x", more));
    client.send([hello(), head, rest.concat()].concat()).await;
    outcome(&mut client, 1).await
}

fn data(text: &str, ends: bool) -> Vec<u8> {
    let flags = if ends { END_STREAM } else { 0 };
    frame(DATA, flags, 1, text.as_bytes())
}

/// `h2` drops pseudo-fields from trailers without a word, where only those are in them. So the request
/// goes on, and nothing of them is in it.
#[tokio::test]
async fn h2_06_a_pseudo_field_in_trailers_reaches_nobody() {
    let rig = Rig::public().await;
    for (name, value, expected) in [
        (":path", "/y", Outcome::Answer(200)),
        (":status", "200", Outcome::Answer(200)),
        (":x", "/y", Outcome::Gone),
    ] {
        let trailers = frame(HEADERS, END_STREAM | END_HEADERS, 1, &field(name, value));
        let said = with_body(
            &rig,
            &[("trailer", name)],
            &[data("hello", false), trailers],
        )
        .await;
        assert_eq!(said, expected, "{name}");
    }
    let all = rig.upstream.seen();
    assert_eq!(all.iter().filter(|seen| seen.complete).count(), 2);
    for seen in all {
        assert_eq!(seen.line(), "POST /x HTTP/1.1");
        if !seen.complete {
            continue;
        }
        let body = String::from_utf8(seen.body).unwrap();
        assert_eq!(body, "5\r\nhello\r\n0\r\n\r\n");
    }
}

#[tokio::test]
async fn h2_08_lengths_that_differ_from_the_data_never_make_a_whole_message() {
    let rig = Rig::public().await;
    for (length, rest) in [
        ("5", vec![data("he", true)]),
        ("5", vec![data("he", false), data("", true)]),
        ("1", vec![data("hello", true)]),
        ("1", vec![data("h", false), data("e", true)]),
        ("0", vec![data("hello", true)]),
        ("x", vec![data("hello", true)]),
        ("-1", vec![data("hello", true)]),
        ("+5", vec![data("hello", true)]),
        ("5,5", vec![data("hello", true)]),
        ("18446744073709551616", vec![data("hello", true)]),
    ] {
        let said = with_body(&rig, &[("content-length", length)], &rest).await;
        let refused = matches!(said, Outcome::Reset | Outcome::Answer(400));
        assert!(refused, "{length}: {said:?}");
    }
    for second in ["5", "6"] {
        let lengths = [("content-length", "5"), ("content-length", second)];
        let said = with_body(&rig, &lengths, &[data("hello", true)]).await;
        let refused = matches!(said, Outcome::Reset | Outcome::Answer(400));
        assert!(refused, "5 and {second}: {said:?}");
    }
    let block = request("POST", "/x", &[("content-length", "5")]);
    refused(&rig, alone(&block), "no body at all").await;
    let seen = rig.upstream.seen();
    assert!(seen.iter().all(|seen| !seen.complete), "{seen:#?}");
}

#[tokio::test]
async fn h2_11_a_head_in_frames_without_end_ends_the_connection() {
    let rig = Rig::public().await;
    let mut client = rig.client().await;
    let head = frame(HEADERS, END_STREAM, 1, &request("GET", "/x", &[]));
    client.send([hello(), head].concat()).await;
    let more = frame(CONTINUATION, 0, 1, &field("x-a", &"a".repeat(8 * 1024)));
    let mut sent = 0;
    while sent < 64 * 1024 * 1024 {
        if in_time(client.stream.write_all(&more)).await.is_err() {
            break;
        }
        sent += more.len();
    }
    assert!(sent < 64 * 1024 * 1024, "all of it was taken");
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn h2_11_a_head_that_is_too_large_is_431_and_a_bomb_ends_the_connection_at_most() {
    let rig = Rig::public().await;
    let mut plain = request("GET", "/x", &[]);
    for _ in 0..20 {
        plain.extend(field("x-a", &"a".repeat(4 * 1024)));
    }
    // A field of the dynamic table, then a byte each time that it is meant (RFC 7541 §6.1, §6.2.1).
    let mut bomb = request("GET", "/x", &[]);
    let mut kept = field("x-a", &"a".repeat(3 * 1024));
    kept[0] = 0x40;
    bomb.extend(kept);
    bomb.resize(bomb.len() + 14_000, 0x80 | 62);
    for (what, block) in [("large", plain), ("bomb", bomb)] {
        let mut client = rig.client().await;
        let mut bytes = hello();
        let mut parts = block.chunks(16 * 1024);
        let first = parts.next().unwrap();
        let rest: Vec<&[u8]> = parts.collect();
        let ends = |last| if last { END_HEADERS } else { 0 };
        bytes.extend(frame(HEADERS, END_STREAM | ends(rest.is_empty()), 1, first));
        for (at, part) in rest.iter().enumerate() {
            bytes.extend(frame(CONTINUATION, ends(at + 1 == rest.len()), 1, part));
        }
        client.try_send(bytes).await;
        let said = outcome(&mut client, 1).await;
        rig.assert_nothing_reached_the_upstream();
        if what == "bomb" && said == Outcome::Gone {
            continue;
        }

        assert_eq!(said, Outcome::Answer(431), "{what}");
        if what == "large" {
            let document = client.frame().await.unwrap();
            let text = String::from_utf8_lossy(&document.payload);
            assert!(text.contains("head-too-large"), "{text}");
        }
        client.send(frames::get(3, "/.")).await;
        assert_eq!(
            outcome(&mut client, 3).await,
            Outcome::Answer(400),
            "{what}"
        );
    }
}

/// The flood comes over a connection whose client does not read; `frame` is one of it.
async fn flood(rig: &Rig, one: Vec<u8>) {
    let mut client = rig.client().await;
    client.send(hello()).await;
    let many = one.repeat(64 * 1024 / one.len());
    let mut sent = 0;
    in_time(async {
        while client.stream.write_all(&many).await.is_ok() {
            sent += many.len();
        }
    })
    .await;
    assert!(sent < 64 * 1024 * 1024, "{sent}");
}

#[tokio::test]
async fn h2_11_a_flood_of_pings_or_settings_whose_answers_nobody_reads_is_cut_off() {
    let rig = Rig::public_with(
        |_| ok(),
        |config| config.limits.idle_timeout = Duration::from_millis(200),
    )
    .await;
    flood(&rig, frame(frames::PING, 0, 0, &[0; 8])).await;
    flood(&rig, frame(frames::SETTINGS, 0, 0, &[])).await;
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(rig.client().await.get("/x").await.status, 200);
}
