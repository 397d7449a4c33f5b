//! Exchanges over HTTP/1 that break off, and answers that are none: section 10 of the catalogue.

use crate::{
    rig::Rig,
    upstream::{Reply, Seen, ok},
};

#[tokio::test]
async fn h1_13_an_upload_that_breaks_off_is_never_complete() {
    for head in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let rig = Rig::public().await;
        let mut client = rig.client().await;
        let body = if head.contains("chunked") {
            "5\r\nhello\r\n"
        } else {
            "hello"
        };
        client
            .send(format!(
                "POST /x HTTP/1.1\r\nHost: gw\r\n{head}\r\n\r\n{body}"
            ))
            .await;
        drop(client);
        let seen = rig.upstream.until_seen(1).await;
        assert!(!seen[0].complete, "{seen:?}");
        rig.client().await.get("/next").await;
        assert_eq!(
            rig.upstream.connections(),
            2,
            "its connection is not used again"
        );
    }
}

#[tokio::test]
async fn h1_14_a_broken_answer_is_never_presented_as_complete() {
    for (broken, status) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Some(502),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
            Some(502),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
            Some(502),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
            Some(502),
        ),
        (
            "HTTP/1.1 200 OK\r\nx y: z\r\ncontent-length: 2\r\n\r\nok",
            Some(502),
        ),
        ("garbage\r\n\r\n", Some(502)),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            Some(502),
        ),
        ("", Some(502)),
        ("HTTP/1.1 200 OK\r\ncontent-len", Some(502)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", None),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalfXX",
            None,
        ),
    ] {
        let rig = Rig::public_with(
            move |seen| {
                if seen.line().contains("/broken") {
                    Reply::Close(broken.to_owned())
                } else {
                    ok()
                }
            },
            |_| {},
        )
        .await;
        let mut client = rig.client().await;
        client
            .send("GET /broken HTTP/1.1\r\nHost: gw\r\n\r\n")
            .await;
        let answer = client.answer().await;
        assert_eq!(
            answer.as_ref().map(|answer| answer.status),
            status,
            "{broken:?}: {answer:?}"
        );
        if let Some(answer) = answer {
            assert!(answer.body.contains("\"actor\":\"upstream\""), "{answer:?}");
            assert_eq!(answer.all("cache-control"), ["no-store"]);
        }
        assert_eq!(rig.client().await.get("/next").await.status, 200);
        assert_eq!(rig.upstream.connections(), 2, "{broken:?}");
    }
}

#[tokio::test]
async fn an_answer_may_have_100_fields_and_60_kib_of_them_and_one_that_has_far_more_is_502_and_says_why()
 {
    let answer = |fields: usize, length: usize| {
        let line = format!("x: {}\r\n", "y".repeat(length));
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{}\r\n",
            line.repeat(fields - 1)
        )
    };
    for (fields, length, status) in [
        (100, 10, 200),
        (101, 10, 502),
        (60, 1_000, 200),
        (90, 2_000, 502),
    ] {
        let text = answer(fields, length);
        let rig = Rig::public_with(move |_| Reply::Keep(text.clone()), |_| {}).await;
        let answer = rig.client().await.get("/x").await;
        assert_eq!(answer.status, status, "{fields} of {length}");
        if status == 502 {
            let why = "the head of its answer is too large";
            assert!(answer.body.contains(why), "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn h1_14_a_connection_that_stays_after_a_broken_answer_is_not_used_again() {
    for broken in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx y: z\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "garbage\r\n\r\n",
    ] {
        let script = move |seen: &Seen| match seen.line() {
            line if line.contains("/broken") => Reply::Keep(broken.to_owned()),
            _ => ok(),
        };
        let rig = Rig::public_with(script, |_| {}).await;
        let mut client = rig.client().await;
        assert_eq!(client.get("/broken").await.status, 502, "{broken:?}");
        assert_eq!(rig.client().await.get("/next").await.body, "ok");
        assert_eq!(rig.upstream.connections(), 2, "{broken:?}");
    }
}

#[tokio::test]
async fn h1_14_bytes_after_the_end_of_an_answer_are_nobodys_answer() {
    let rig = Rig::public_with(
        |seen| {
            if seen.line().contains("/more") {
                Reply::Keep(
                    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
                        .to_owned(),
                )
            } else {
                ok()
            }
        },
        |_| {},
    )
    .await;
    let mut client = rig.client().await;
    assert_eq!(client.get("/more").await.body, "ok");
    for _ in 0..3 {
        assert_eq!(client.get("/next").await.body, "ok");
    }
    assert_eq!(rig.upstream.connections(), 2, "that one is not used again");
}

/// Whether it goes out again depends on how long its connection had waited; see the tests of the step.
#[tokio::test]
async fn h1_15_a_get_whose_connection_dies_is_sent_once_more_at_most_and_not_once_it_was_answered()
{
    for (dying, most) in [("", 2), ("HTTP/1.1 200 OK\r\ncontent-le", 1)] {
        let script = move |seen: &Seen| match seen.line() {
            line if line.contains("/dies") => Reply::Close(dying.to_owned()),
            _ => ok(),
        };
        let rig = Rig::public_with(script, |_| {}).await;
        let mut client = rig.client().await;
        // On a new connection, then on one that has been used.
        for _ in 0..2 {
            let before = times_seen(&rig, "/dies");
            assert_eq!(client.get("/dies").await.status, 502, "{dying}");
            let times = times_seen(&rig, "/dies") - before;
            assert!((1..=most).contains(&times), "{dying}: {times}");
            assert_eq!(client.get("/lives").await.status, 200);
        }
    }
}

fn times_seen(rig: &Rig, path: &str) -> usize {
    let seen = rig.upstream.seen();
    seen.iter()
        .filter(|seen| seen.line().contains(path))
        .count()
}

#[tokio::test]
async fn h1_15_a_post_whose_connection_dies_is_not_sent_again() {
    let rig = Rig::public_with(
        |seen| {
            if seen.line().contains("/dies") {
                Reply::Close(String::new())
            } else {
                ok()
            }
        },
        |_| {},
    )
    .await;
    let mut client = rig.client().await;
    // On a new connection, then on one that has been used.
    for method in ["POST", "POST", "PATCH"] {
        client
            .send(format!(
                "{method} /dies HTTP/1.1\r\nHost: gw\r\nContent-Length: 2\r\n\r\nhi"
            ))
            .await;
        assert_eq!(client.answer().await.unwrap().status, 502);
        assert_eq!(client.get("/lives").await.status, 200);
    }
    assert_eq!(times_seen(&rig, "/dies"), 3);
}
