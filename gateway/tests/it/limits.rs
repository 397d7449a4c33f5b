//! Limits and slow peers: section 13 of the catalogue.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::Instant,
};

use crate::{
    admin::{admin, with_admin},
    client::{Client, in_time},
    rig::{PUBLIC, Rig},
    upstream::{Reply, ok},
};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn li_01_a_request_head_that_trickles_in_is_cut_off() {
    let rig = Rig::public_with(|_| ok(), |config| config.limits.head_timeout = SHORT).await;
    let mut client = rig.client().await;
    // The connection may idle longer than that before a head begins.
    assert_eq!(client.get("/x").await.status, 200);
    tokio::time::sleep(SHORT * 3).await;
    assert_eq!(client.get("/x").await.status, 200);
    client.send("GET /x HTTP/1.1\r\nHo").await;
    let mut writes = 0;
    in_time(async {
        // One byte at a time does not start the time anew.
        while client.stream.write_all(b"o").await.is_ok() {
            writes += 1;
            tokio::time::sleep(SHORT / 10).await;
        }
    })
    .await;
    assert!(writes > 1, "cut off at once");
    assert_eq!(rig.upstream.seen().len(), 2);
}

#[tokio::test]
async fn li_01_a_head_that_begins_behind_another_request_has_no_more_time() {
    let rig = Rig::public_with(|_| ok(), |config| config.limits.head_timeout = SHORT).await;
    for begun in ["G", "GET /y HT", "GET /y HTTP/1.1\r\nHost: gw\r\n"] {
        let mut client = rig.client().await;
        let requests = format!("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n{begun}");
        client.send(requests).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        // Its idle time would be longer than any test.
        client.rest().await;
    }
    // Nothing behind it: it may be idle.
    let mut client = rig.client().await;
    assert_eq!(client.get("/x").await.status, 200);
    tokio::time::sleep(SHORT * 3).await;
    assert_eq!(client.get("/x").await.status, 200);
}

#[tokio::test]
async fn li_02_connections_beyond_the_limit_wait_and_idle_ones_give_way() {
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            config.limits.connections = 2;
            config.limits.requests_per_client = Some(config.limits.requests);
            config.limits.idle_timeout = SHORT * 2;
        },
    )
    .await;
    let mut first = rig.client().await;
    let mut second = rig.client().await;
    assert_eq!(first.get("/x").await.status, 200);
    assert_eq!(second.get("/x").await.status, 200);
    // Both are open and idle; the third is served once one of them has been idle too long.
    let mut third = rig.client().await;
    assert_eq!(third.get("/x").await.status, 200);
    assert_eq!(first.rest().await, "");
}

#[tokio::test]
async fn li_03_large_heads_and_targets_are_refused() {
    let rig = Rig::public().await;
    let large = format!(
        "GET /x HTTP/1.1\r\nHost: gw\r\nX-A: {}\r\n\r\n",
        "a".repeat(200 * 1024)
    );
    assert_eq!(rig.exchange(large).await.status, 431);
    let medium = format!(
        "GET /x HTTP/1.1\r\nHost: gw\r\nX-A: {}\r\n\r\n",
        "a".repeat(65 * 1024)
    );
    assert_eq!(rig.exchange(medium).await.status, 431);
    let many = format!(
        "GET /x HTTP/1.1\r\nHost: gw\r\n{}\r\n",
        "X-A: a\r\n".repeat(300)
    );
    assert_eq!(rig.exchange(many).await.status, 431);
    for kib in [17, 100] {
        let target = format!(
            "GET /{} HTTP/1.1\r\nHost: gw\r\n\r\n",
            "a".repeat(kib * 1024)
        );
        assert_eq!(rig.exchange(target).await.status, 414, "{kib} KiB");
    }
    rig.assert_nothing_reached_the_upstream();
    let fits = format!(
        "GET /{} HTTP/1.1\r\nHost: gw\r\n{}X-A: {}\r\n\r\n",
        "a".repeat(15 * 1024),
        "X-B: b\r\n".repeat(98),
        "a".repeat(30 * 1024)
    );
    assert_eq!(rig.exchange(fits).await.status, 200);
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_and_said_when_to_come_again() {
    let rig = Rig::public_with(
        |seen| {
            if seen.line().contains("/slow") {
                Reply::Pause(
                    String::new(),
                    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(),
                )
            } else {
                ok()
            }
        },
        |config| config.limits.requests = 1,
    )
    .await;
    let mut slow = rig.client().await;
    slow.send("GET /slow HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    rig.upstream.until_seen(1).await;
    let mut other = rig.client().await;
    let refused = other.get("/x").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.all("retry-after"), ["1"]);
    assert!(
        refused.body.contains("\"actor\":\"gateway\""),
        "{refused:?}"
    );
    rig.upstream.go_on();
    assert_eq!(slow.answer().await.unwrap().status, 200);
    assert_eq!(other.get("/x").await.status, 200);
}

#[tokio::test]
async fn li_05_an_upload_that_stands_still_is_given_up() {
    let rig = Rig::public_with(|_| ok(), |config| config.limits.idle_timeout = SHORT).await;
    let mut client = rig.client().await;
    client
        .send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 10\r\n\r\nhello")
        .await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.all("connection"), ["close"]);
    assert_eq!(client.rest().await, "");
    assert!(!rig.upstream.until_seen(1).await[0].complete);
}

#[tokio::test]
async fn li_05_an_upload_that_trickles_goes_on_until_all_of_its_time_is_over() {
    const HEAD: &str = "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 8\r\n\r\n";
    let rig = Rig::public_with(|_| ok(), |config| config.limits.idle_timeout = SHORT * 10).await;
    let mut client = rig.client().await;
    client.send(HEAD).await;
    for _ in 0..8 {
        // Twice the limit in all.
        tokio::time::sleep(SHORT * 10 / 4).await;
        client.send("a").await;
    }
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(rig.only_seen().body, b"aaaaaaaa");

    let rig = Rig::public_with(
        |_| ok(),
        |config| config.limits.total_timeout = Some(SHORT * 3),
    )
    .await;
    let mut client = rig.client().await;
    client.send(HEAD.replace("8", "1000000")).await;
    let refused = loop {
        client.try_send("a").await;
        tokio::select! {
            answer = client.answer() => break answer.unwrap(),
            () = tokio::time::sleep(SHORT / 10) => {}
        }
    };
    assert_eq!(refused.status, 408);
    assert!(refused.body.contains("\"actor\":\"caller\""), "{refused:?}");
    assert_eq!(client.rest().await, "");
    assert!(!rig.upstream.until_seen(1).await[0].complete);
}

#[tokio::test]
async fn li_06_an_upstream_that_says_nothing_is_504() {
    let rig = Rig::public_with(
        |_| Reply::Hang(String::new()),
        |config| config.limits.response_timeout = SHORT,
    )
    .await;
    let answer = rig.client().await.get("/x").await;
    assert_eq!(answer.status, 504);
    assert!(answer.body.contains("\"actor\":\"upstream\""), "{answer:?}");
}

#[tokio::test]
async fn li_06_an_answer_that_stands_still_is_aborted_and_one_that_goes_on_is_not() {
    let rig = Rig::public_with(
        |seen| {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
            if seen.line().contains("/stalls") {
                Reply::Hang(head.to_owned())
            } else {
                Reply::Pause(head.to_owned(), " whole".to_owned())
            }
        },
        |config| config.limits.idle_timeout = SHORT * 10,
    )
    .await;
    let mut stalls = rig.client().await;
    stalls
        .send("GET /stalls HTTP/1.1\r\nHost: gw\r\n\r\n")
        .await;
    let mut goes_on = rig.client().await;
    goes_on
        .send("GET /goes-on HTTP/1.1\r\nHost: gw\r\n\r\n")
        .await;
    assert!(goes_on.until("half").await.is_some());
    rig.upstream.go_on();
    assert!(goes_on.until(" whole").await.is_some());
    assert!(
        stalls.answer().await.is_none(),
        "never presented as complete"
    );
}

#[tokio::test]
async fn li_06_an_answer_that_keeps_coming_may_take_longer_than_it_may_stand_still() {
    const LIMIT: Duration = Duration::from_secs(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
        stream.write_all(begin).await.unwrap();
        for _ in 0..10 {
            tokio::time::sleep(LIMIT / 4).await;
            stream.write_all(b"a").await.unwrap();
        }
        // Whoever ends it is not this side.
        let _ = stream.read(&mut head).await;
    });
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            config.limits.idle_timeout = LIMIT;
            config.limits.response_timeout = LIMIT;
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&url).unwrap();
            }
        },
    )
    .await;
    let begun = Instant::now();
    let answer = rig.client().await.get("/x").await;
    assert_eq!((answer.status, &*answer.body), (200, "aaaaaaaaaa"));
    assert!(begun.elapsed() > LIMIT * 2);
}

#[tokio::test]
async fn li_07_a_shutdown_lets_running_requests_finish_and_takes_no_new_ones() {
    let rig = Rig::new(
        PUBLIC,
        |seen| match seen.line().contains("/whole") {
            true => ok(),
            false => Reply::Pause(
                "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst".to_owned(),
                " half".to_owned(),
            ),
        },
        with_admin,
    )
    .await;
    let mut probe = admin(&rig).await;
    let mut idle = rig.client().await;
    assert_eq!(idle.get("/whole").await.status, 200);
    let mut running = rig.client().await;
    running.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    assert!(running.until("first").await.is_some());
    let address = rig.gateway.local_addr();
    let shutdown = tokio::spawn(rig.gateway.shutdown());
    assert_eq!(idle.rest().await, "", "idle connections are closed");
    in_time(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!shutdown.is_finished(), "a request still runs");
    let ready = probe.get("/readyz").await;
    assert_eq!((ready.status, &*ready.body), (503, "shutting down\n"));
    assert_eq!(probe.get("/livez").await.status, 200);
    rig.upstream.go_on();
    assert!(running.until(" half").await.is_some());
    assert_eq!(
        running.rest().await,
        "",
        "and then its connection is closed"
    );
    in_time(shutdown).await.unwrap();
}

#[tokio::test]
async fn li_07_a_request_that_crosses_the_shutdown_is_answered_and_told_that_it_is_the_last() {
    let rig = Rig::public().await;
    let mut kept = rig.client().await;
    assert_eq!(kept.get("/x").await.status, 200);
    let mut new = rig.client().await;
    let address = rig.gateway.local_addr();
    let shutdown = tokio::spawn(rig.gateway.shutdown());
    in_time(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for client in [&mut kept, &mut new] {
        let answer = client.get("/x").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.all("connection"), ["close"]);
        assert_eq!(client.rest().await, "");
    }
    in_time(shutdown).await.unwrap();
}

/// Whoever has connected a moment before may be on a machine that is busy, or behind a slow line.
#[tokio::test]
async fn li_07_who_has_just_connected_has_time_for_a_first_request_and_who_has_had_one_is_closed() {
    let rig = Rig::public().await;
    let mut kept = rig.client().await;
    assert_eq!(kept.get("/x").await.status, 200);
    let mut new = rig.client().await;
    let shutdown = tokio::spawn(rig.gateway.shutdown());
    let begun = Instant::now();
    assert_eq!(kept.rest().await, "");
    let closed = begun.elapsed();
    // Behind the grace of those that have been served.
    tokio::time::sleep(SHORT * 10).await;
    let answer = new.get("/x").await;
    assert_eq!(answer.status, 200, "{closed:?}");
    assert_eq!(answer.all("connection"), ["close"]);
    assert_eq!(new.rest().await, "");
    in_time(shutdown).await.unwrap();
}

#[tokio::test]
async fn li_07_a_shutdown_ends_at_its_time_out() {
    let rig = Rig::public_with(
        |_| Reply::Hang(String::new()),
        |config| config.drain_timeout = SHORT,
    )
    .await;
    let mut client = rig.client().await;
    client.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    rig.upstream.until_seen(1).await;
    in_time(rig.gateway.shutdown()).await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_gateway_that_is_dropped_ends() {
    let rig = Rig::public().await;
    let mut client = rig.client().await;
    assert_eq!(client.get("/x").await.status, 200);
    let address = rig.gateway.local_addr();
    drop(rig.gateway);
    assert_eq!(client.rest().await, "");
    in_time(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn li_08_a_compressed_body_stays_as_it_is() {
    let rig = Rig::public().await;
    // The head of a gzip file, and what is none any more: whoever unpacked it would fail.
    let body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03 not deflated";
    for coding in ["gzip", "deflate, gzip", "br", "unknown"] {
        let head = format!(
            "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = rig.exchange([head.as_bytes(), body].concat()).await;
        assert_eq!(answer.status, 200, "{coding}");
        let seen = rig.upstream.seen().pop().unwrap();
        assert_eq!(seen.body, body, "{coding}");
        assert_eq!(seen.all("content-encoding"), [coding]);
    }
}

#[tokio::test]
async fn li_02_one_address_has_no_more_than_its_part_of_the_connections() {
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            config.limits.connections = 4;
            with_admin(config);
        },
    )
    .await;
    let connect = async |number: u8| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let own = std::net::Ipv4Addr::new(127, 0, 0, number);
        socket.bind((own, 0).into()).unwrap();
        let connecting = socket.connect(rig.gateway.local_addr());
        Client::over(in_time(connecting).await.unwrap())
    };
    let mut crowd = [connect(2).await, connect(2).await];
    for client in &mut crowd {
        assert_eq!(client.get("/x").await.status, 200);
    }
    for _ in 0..10 {
        assert_eq!(connect(2).await.rest().await, "", "closed at once");
    }
    let mut admin = admin(&rig).await;
    let figures = admin.figures().await;
    assert!(
        figures.contains("\nobo_connections_refused_total 10\n"),
        "{figures}"
    );
    let mut other = rig.client().await;
    assert_eq!(other.get("/x").await.status, 200);
    drop(crowd);
    in_time(async {
        let get = "GET /x HTTP/1.1\r\nHost: gw\r\n\r\n";
        loop {
            let mut client = connect(2).await;
            client.try_send(get).await;
            if client
                .answer()
                .await
                .is_some_and(|answer| answer.status == 200)
            {
                break;
            }
        }
    })
    .await;
}
