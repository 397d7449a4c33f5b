//! What becomes of requests where streams or connections fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, server::Builder};
use http::{Request, Response};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::server::{Call, Http2Upstream, body_of, get, status};
use crate::{
    client::in_time,
    frames::{CANCEL, DATA, END_HEADERS, HEADERS, RST_STREAM, frame, hello, request},
    http2::connect,
    rig::{PUBLIC, Rig},
    upstream::{ok, refusing},
};

#[tokio::test]
async fn one_streams_failure_is_nobody_elses() {
    let go_on = Arc::new(Notify::new());
    let gate = Arc::clone(&go_on);
    let break_off = Arc::new(Notify::new());
    let breaking = Arc::clone(&break_off);
    let upstream = Http2Upstream::start(Builder::new(), move |mut call: Call| {
        let gate = Arc::clone(&gate);
        let breaking = Arc::clone(&breaking);
        async move {
            match call.request.uri().path() {
                "/reset" => call.respond.send_reset(Reason::INTERNAL_ERROR),
                "/broken-off" => {
                    let mut stream = call.respond.send_response(Response::new(()), false)?;
                    stream.send_data(Bytes::from_static(b"half"), false)?;
                    breaking.notified().await;
                    stream.send_reset(Reason::INTERNAL_ERROR);
                }
                _ => {
                    gate.notified().await;
                    return call.answer(200, "ok");
                }
            }
            Ok(())
        }
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let mut slow = rig.client().await;
    slow.send(get("/slow")).await;
    upstream.until_seen(1).await;
    assert_eq!(status(&rig, get("/reset")).await, 502);
    assert_eq!(upstream.seen(), 2, "nobody says that it was not looked at");
    let mut cut = rig.client().await;
    cut.send(get("/broken-off")).await;
    cut.until("half\r\n").await.unwrap();
    break_off.notify_one();
    assert_eq!(
        cut.rest().await,
        "",
        "no last chunk: it would look complete"
    );
    // A client that goes away takes its stream with it.
    let mut gone = rig.client().await;
    gone.send(get("/slow")).await;
    upstream.until_seen(4).await;
    drop(gone);
    go_on.notify_waiters();
    assert_eq!(slow.answer().await.unwrap().status, 200);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_was_told_to_go_finishes_its_requests_and_gets_no_more() {
    let go_on = Arc::new(Notify::new());
    let gate = Arc::clone(&go_on);
    let upstream = Http2Upstream::start(Builder::new(), move |call: Call| {
        let gate = Arc::clone(&gate);
        async move {
            if call.request.uri().path() == "/go-away" {
                gate.notified().await;
            }
            call.answer(200, "ok")
        }
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let mut last = rig.client().await;
    last.send(get("/go-away")).await;
    upstream.until_seen(1).await;
    for _ in 0..20 {
        assert_eq!(rig.client().await.get("/x").await.status, 200);
        if upstream.connections() > 1 {
            break;
        }
    }
    assert_eq!(upstream.connections(), 2);
    assert_eq!(status(&rig, get("/y")).await, 200);
    assert_eq!(upstream.connections(), 2);
    go_on.notify_one();
    assert_eq!(last.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn h1_15_a_refused_stream_is_tried_once_more_where_that_is_harmless() {
    let upstream = Http2Upstream::start(Builder::new(), |mut call: Call| async move {
        if call.number.is_multiple_of(2) {
            call.respond.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
        call.answer(200, "ok")
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    assert_eq!(status(&rig, get("/x")).await, 200);
    assert_eq!(upstream.seen(), 2);
    let first = upstream.head(0).1;
    assert!(first.contains_key("x-forwarded-host"));
    assert_eq!(first, upstream.head(1).1);
    let post = "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(status(&rig, post.to_owned()).await, 502);
    assert_eq!(upstream.seen(), 3);
}

#[tokio::test]
async fn h1_15_a_request_that_is_refused_again_is_not_sent_a_third_time() {
    let upstream = Http2Upstream::start(Builder::new(), |mut call: Call| async move {
        call.respond.send_reset(Reason::REFUSED_STREAM);
        Ok(())
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    assert_eq!(status(&rig, get("/x")).await, 502);
    assert_eq!(upstream.seen(), 2);
}

#[tokio::test]
async fn h1_13_an_upload_that_breaks_off_is_reset_and_the_connection_goes_on() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Http2Upstream::start(Builder::new(), move |mut call: Call| {
        let tell = tell.clone();
        async move {
            let complete = body_of(call.request.body_mut()).await.is_ok();
            let _ = tell.send(complete);
            call.answer(200, "ok")
        }
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let mut client = rig.client().await;
    client
        .send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    upstream.until_seen(1).await;
    drop(client);
    assert_eq!(in_time(told.recv()).await, Some(false));
    let post = "POST /y HTTP/1.1\r\nHost: gw\r\nContent-Length: 4\r\n\r\nfull";
    assert_eq!(status(&rig, post.to_owned()).await, 200);
    assert_eq!(in_time(told.recv()).await, Some(true));
    assert_eq!(upstream.connections(), 1);
}

/// As of a process that hangs: the system takes what is sent, and nobody reads it.
#[tokio::test]
async fn an_upstream_s_connection_on_which_nothing_is_heard_any_more_gets_no_more_requests() {
    let upstream = Http2Upstream::start(Builder::new(), |call: Call| async move {
        call.answer(200, "ok")
    })
    .await;
    // Connections go through here, and the first is left alone after its first answer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hang = Arc::new(Notify::new());
    let (hangs, to) = (Arc::clone(&hang), upstream.address);
    tokio::spawn(async move {
        for first in [true, false] {
            let (mut client, _) = listener.accept().await.unwrap();
            let hangs = Arc::clone(&hangs);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let copying = tokio::io::copy_bidirectional(&mut client, &mut server);
                tokio::select! {
                    _ = copying => {}
                    () = hangs.notified(), if first => std::future::pending().await,
                }
            });
        }
    });
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            config.limits.response_timeout = Duration::from_millis(1_200);
            for entry in config.upstreams.values_mut() {
                entry.set_url(&format!("h2c://{address}")).unwrap();
            }
        },
    )
    .await;
    assert_eq!(status(&rig, get("/x")).await, 200);
    hang.notify_one();
    for _ in 0..2 {
        assert_eq!(status(&rig, get("/x")).await, 504);
    }
    assert_eq!(status(&rig, get("/x")).await, 200);
}

#[tokio::test]
async fn one_client_in_a_hurry_costs_a_slow_upstream_no_connection() {
    let taken_back = Arc::new(Notify::new());
    let tell = Arc::clone(&taken_back);
    let upstream = Http2Upstream::start(Builder::new(), move |mut call: Call| {
        let tell = Arc::clone(&tell);
        async move {
            if call.request.uri().path() == "/slow" {
                let reset = std::future::poll_fn(|cx| call.respond.poll_reset(cx)).await;
                assert_eq!(reset?, Reason::CANCEL);
                tell.notify_one();
                return Ok(());
            }
            call.answer(200, "ok")
        }
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    for number in 0..3 {
        assert_eq!(status(&rig, get("/x")).await, 200);
        let mut hurried = rig.client().await;
        hurried.send(get("/slow")).await;
        upstream.until_seen(2 * number + 2).await;
        // So long that the connection could be thought to be dead.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        drop(hurried);
        in_time(taken_back.notified()).await;
    }
    assert_eq!(status(&rig, get("/x")).await, 200);
    assert_eq!(upstream.connections(), 1);
}

/// A proxy whose own upstream broke off says that, if nobody told it to say more.
#[tokio::test]
async fn h1_14_an_answer_whose_stream_is_reset_in_the_middle_is_never_whole_whatever_the_reason() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL] {
        let break_off = Arc::new(Notify::new());
        let breaking = Arc::clone(&break_off);
        let upstream = Http2Upstream::start(Builder::new(), move |mut call: Call| {
            let breaking = Arc::clone(&breaking);
            async move {
                let mut stream = call.respond.send_response(Response::new(()), false)?;
                stream.send_data(Bytes::from_static(b"half"), false)?;
                breaking.notified().await;
                stream.send_reset(reason);
                Ok(())
            }
        })
        .await;
        let rig = upstream.rig(PUBLIC).await;
        let mut cut = rig.client().await;
        cut.send(get("/x")).await;
        cut.until("half\r\n").await.unwrap();
        break_off.notify_one();
        assert_eq!(cut.rest().await, "", "{reason:?}: no last chunk");

        let (mut client, _connection) = connect(&rig).await;
        let request = Request::get("http://gw/x").body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let mut body = in_time(answer).await.unwrap().into_body();
        assert_eq!(in_time(body.data()).await.unwrap().unwrap(), "half");
        break_off.notify_one();
        let error = in_time(body.data()).await.unwrap().unwrap_err();
        assert!(error.is_reset(), "{reason:?}: {error}");
        assert_ne!(error.reason(), Some(Reason::NO_ERROR));
    }
}

#[tokio::test]
async fn h1_13_an_upload_that_its_client_takes_back_is_never_whole_whatever_the_reason() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Http2Upstream::start(Builder::new(), move |mut call: Call| {
        let tell = tell.clone();
        async move {
            let complete = body_of(call.request.body_mut()).await.is_ok();
            let _ = tell.send(complete);
            call.answer(200, "ok")
        }
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    for (count, code) in [0, CANCEL].into_iter().enumerate() {
        let mut client = rig.client().await;
        let head = frame(HEADERS, END_HEADERS, 1, &request("POST", "/x", &[]));
        let half = frame(DATA, 0, 1, b"half");
        client.send([hello(), head, half].concat()).await;
        upstream.until_seen(count + 1).await;
        client.send(frame(RST_STREAM, 0, 1, &[0, 0, 0, code])).await;
        assert_eq!(in_time(told.recv()).await, Some(false), "{code}");
    }
}

#[tokio::test]
async fn an_upstream_that_closes_every_connection_at_once_is_502_and_not_asked_forever() {
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&format!("h2c://{}", refusing())).unwrap();
            }
        },
    )
    .await;
    assert_eq!(status(&rig, get("/x")).await, 502);
}

#[tokio::test]
async fn an_upstream_that_says_its_settings_and_closes_is_502_and_not_asked_forever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            // A frame of length 0, type SETTINGS, of the connection.
            let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        }
    });
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&format!("h2c://{address}")).unwrap();
            }
        },
    )
    .await;
    for _ in 0..5 {
        let before = connections.load(Ordering::SeqCst);
        assert_eq!(status(&rig, get("/x")).await, 502);
        let tries = connections.load(Ordering::SeqCst) - before;
        assert!((1..=9).contains(&tries), "{tries}");
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_http1_only_is_502_for_h2c() {
    let rig = Rig::public_with(|_| ok(), |_| {}).await;
    let upstream = rig.upstream.address;
    let other = Rig::public_with(
        |_| ok(),
        |config| {
            for entry in config.upstreams.values_mut() {
                entry.set_url(&format!("h2c://{upstream}")).unwrap();
            }
        },
    )
    .await;
    let mut client = other.client().await;
    client.send(get("/x")).await;
    assert_eq!(client.answer().await.unwrap().status, 502);
}
