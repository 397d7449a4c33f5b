//! An upstream that speaks HTTP/2 without TLS, and what the gateway makes of what it does.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, Request, Response, Version, request::Parts};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
};

use crate::{
    client::{Client, in_time},
    http2::connect,
    rig::{PROTECTED, PUBLIC, Rig},
    upstream::{ok, refusing},
};

type Answering = Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>;
type Script = dyn Fn(Call) -> Answering + Send + Sync;

/// One request that an upstream has got.
struct Call {
    /// Which one, from 0.
    number: usize,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

impl Call {
    fn answer(mut self, status: u16, body: &'static str) -> Result<(), h2::Error> {
        let response = Response::builder().status(status).body(()).unwrap();
        let mut stream = self.respond.send_response(response, body.is_empty())?;
        if body.is_empty() {
            return Ok(());
        }
        stream.send_data(Bytes::from_static(body.as_bytes()), true)
    }
}

struct Shared {
    seen: Mutex<Vec<Parts>>,
    connections: AtomicUsize,
    changed: Notify,
    script: Box<Script>,
}

pub(crate) struct Http2Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Http2Upstream {
    async fn start<F>(builder: Builder, script: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            changed: Notify::new(),
            script: Box::new(move |call| Box::pin(script(call))),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, builder.clone(), Arc::clone(&accepting)));
            }
        });
        Self { address, shared }
    }

    fn seen(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    fn head(&self, index: usize) -> (Parts, HeaderMap) {
        let parts = self.shared.seen.lock().unwrap()[index].clone();
        let headers = parts.headers.clone();
        (parts, headers)
    }

    fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    async fn until_seen(&self, count: usize) {
        in_time(async {
            loop {
                let changed = self.shared.changed.notified();
                if self.seen() >= count {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    async fn rig(&self, file: &str) -> Rig {
        let url = format!("h2c://{}", self.address);
        Rig::new(
            file,
            |_| ok(),
            |config| {
                for upstream in config.upstreams.values_mut() {
                    upstream.set_url(&url).unwrap();
                }
            },
        )
        .await
    }
}

async fn serve(stream: TcpStream, builder: Builder, shared: Arc<Shared>) {
    let Ok(mut connection) = builder.handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (parts, body) = request.into_parts();
        let number = {
            let mut seen = shared.seen.lock().unwrap();
            seen.push(parts.clone());
            seen.len() - 1
        };
        shared.changed.notify_waiters();
        let request = Request::from_parts(parts, body);
        let call = Call {
            number,
            request,
            respond,
        };
        // What this one says at once is the end of the connection.
        let ends = call.request.uri().path() == "/go-away";
        let answering = (shared.script)(call);
        if ends {
            connection.graceful_shutdown();
        }
        tokio::spawn(answering);
    }
}

async fn body_of(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok(body)
}

/// Sends this on a connection of its own, and gives back the status.
async fn status(rig: &Rig, bytes: String) -> u16 {
    let mut client = rig.client().await;
    client.send(bytes).await;
    client.answer().await.unwrap().status
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gw\r\n\r\n")
}

#[tokio::test]
async fn a_request_over_http2_says_what_it_said_over_http1_and_one_connection_serves_many() {
    let upstream = Http2Upstream::start(Builder::new(), |call: Call| async move {
        call.answer(200, "ok")
    })
    .await;
    let rig = upstream.rig(PROTECTED).await;
    let token = rig.token("alice");
    let mut client = rig.client().await;
    for _ in 0..5 {
        client
            .send(format!(
                "GET /a/b%2Fc?x=%20 HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\nTE: trailers\r\nConnection: TE, keep-alive\r\nKeep-Alive: 5\r\nCookie: a=b\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
    assert_eq!(upstream.connections(), 1);
    let (parts, headers) = upstream.head(0);
    assert_eq!(parts.version, Version::HTTP_2);
    assert_eq!(
        parts.uri.to_string(),
        format!("http://{}/a/b%2Fc?x=%20", upstream.address)
    );
    assert_eq!(headers["te"], "trailers");
    assert_eq!(headers["cookie"], "a=b");
    assert_eq!(headers["x-forwarded-host"], "gw");
    for absent in [
        "trailer",
        "host",
        "connection",
        "keep-alive",
        "transfer-encoding",
    ] {
        assert!(!headers.contains_key(absent), "{absent}");
    }
    let bearer = headers["authorization"].to_str().unwrap();
    assert!(bearer.starts_with("Bearer ") && !bearer.contains(&token));
}

#[tokio::test]
async fn bodies_stream_both_ways_over_http2() {
    // Each piece of the request is answered before the next is sent.
    let upstream = Http2Upstream::start(Builder::new(), |mut call: Call| async move {
        let mut answer = call.respond.send_response(Response::new(()), false)?;
        let mut body = call.request.into_body();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            answer.send_data(data, false)?;
        }
        answer.send_data(Bytes::new(), true)
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let mut client = rig.client().await;
    client
        .send("POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client.until("\r\n\r\n").await.unwrap();
    for piece in ["one", "two", "six"] {
        client.send(format!("3\r\n{piece}\r\n")).await;
        assert_eq!(
            client.until("\r\n").await.as_deref(),
            Some("3\r\n"),
            "{piece}"
        );
        assert_eq!(client.until("\r\n").await.unwrap().trim_end(), piece);
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.until("\r\n\r\n").await.as_deref(), Some("0\r\n\r\n"));
    // A body of known length, larger than any window, on another connection: after an answer that
    // began before the last chunk, the gateway reads no more.
    let mut client = rig.client().await;
    let size = 3 * 1024 * 1024;
    client
        .send(format!(
            "PUT /y HTTP/1.1\r\nHost: gw\r\nContent-Length: {size}\r\n\r\n"
        ))
        .await;
    let Client { stream, .. } = client;
    let (mut reading, mut writing) = stream.into_split();
    let sending = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        writing.write_all(&vec![b'x'; size]).await.unwrap();
        writing
    });
    let received = in_time(async {
        use tokio::io::AsyncReadExt as _;
        let mut count = 0;
        let mut buffer = vec![0; 64 * 1024];
        while count < size {
            let read = reading.read(&mut buffer).await.unwrap();
            assert!(read > 0, "ended after {count}");
            count += buffer[..read].iter().filter(|byte| **byte == b'x').count();
        }
        count
    })
    .await;
    assert!(received >= size);
    drop(in_time(sending).await.unwrap());
    let (_, headers) = upstream.head(1);
    assert_eq!(headers["content-length"], size.to_string());
}

#[tokio::test]
async fn an_upstream_that_takes_few_requests_at_once_gets_more_connections_and_refuses_none() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let upstream = Http2Upstream::start(
        Builder::new().max_concurrent_streams(2).clone(),
        move |call: Call| {
            let held = Arc::clone(&held);
            async move {
                held.acquire().await.unwrap().forget();
                call.answer(200, "ok")
            }
        },
    )
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let mut clients = Vec::new();
    for _ in 0..7 {
        let mut client = rig.client().await;
        // With a body: none of them could go out twice.
        client
            .send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 1\r\n\r\nx")
            .await;
        clients.push(client);
    }
    upstream.until_seen(7).await;
    assert!(
        (4..=7).contains(&upstream.connections()),
        "{}",
        upstream.connections()
    );
    gate.add_permits(7);
    for mut client in clients {
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
}

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

#[tokio::test]
async fn requests_that_come_at_once_wait_for_one_connection() {
    let upstream = Http2Upstream::start(Builder::new(), |call: Call| async move {
        call.answer(200, "ok")
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(rig.client().await);
    }
    for client in &mut clients {
        client.send(get("/x")).await;
    }
    for mut client in clients {
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_call_streams_both_ways_over_http2_from_end_to_end_and_so_do_its_trailers() {
    let upstream = Http2Upstream::start(Builder::new(), |mut call: Call| async move {
        let answer = Response::builder()
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let mut answer = call.respond.send_response(answer, false)?;
        let body = call.request.body_mut();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            answer.send_data(data, false)?;
        }
        let mut trailers = body.trailers().await?.unwrap_or_default();
        trailers.insert("grpc-status", 0.into());
        trailers.insert("x-token", call.request.headers()["authorization"].clone());
        answer.send_trailers(trailers)
    })
    .await;
    let rig = upstream.rig(PROTECTED).await;
    let (mut client, _connection) = connect(&rig).await;
    let request = Request::post("http://gw/pkg.Service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("trailer", "x-sum, x-real-ip")
        .header("authorization", format!("Bearer {}", rig.token("alice")))
        .body(())
        .unwrap();
    let (answer, mut sending) = client.send_request(request, false).unwrap();
    let answer = in_time(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    for piece in ["one", "two", "three"] {
        sending.send_data(Bytes::from(piece), false).unwrap();
        let got = in_time(body.data()).await.unwrap().unwrap();
        assert_eq!(got, piece);
        body.flow_control().release_capacity(got.len()).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", 7.into());
    trailers.insert("x-real-ip", 1.into());
    sending.send_trailers(trailers).unwrap();
    assert!(in_time(body.data()).await.is_none());
    let trailers = in_time(body.trailers()).await.unwrap().unwrap();
    // Neither the reserved name nor the token that the upstream repeats.
    let mut wanted = HeaderMap::new();
    wanted.insert("x-sum", 7.into());
    wanted.insert("grpc-status", 0.into());
    assert_eq!(trailers, wanted);
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_cancelled_at_the_upstream() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Http2Upstream::start(Builder::new(), move |mut call: Call| {
        let tell = tell.clone();
        async move {
            let mut answer = call.respond.send_response(Response::new(()), false)?;
            answer.send_data(Bytes::from_static(b"one"), false)?;
            let reason = std::future::poll_fn(|cx| answer.poll_reset(cx)).await?;
            let _ = tell.send(reason);
            Ok(())
        }
    })
    .await;
    let rig = upstream.rig(PUBLIC).await;
    let (mut client, _connection) = connect(&rig).await;
    let request = Request::get("http://gw/x").body(()).unwrap();
    let (answer, mut sending) = client.send_request(request, true).unwrap();
    let mut body = in_time(answer).await.unwrap().into_body();
    assert_eq!(in_time(body.data()).await.unwrap().unwrap(), "one");
    sending.send_reset(Reason::CANCEL);
    assert_eq!(in_time(told.recv()).await, Some(Reason::CANCEL));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn hd_12_the_token_is_not_repeated_in_trailers_behind_a_body_of_known_length() {
    let upstream = Http2Upstream::start(Builder::new(), |mut call: Call| async move {
        let answer = Response::builder().header("content-length", 2).body(());
        let mut answer = call.respond.send_response(answer.unwrap(), false)?;
        answer.send_data(Bytes::from_static(b"ok"), false)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-token", call.request.headers()["authorization"].clone());
        trailers.insert("x-sum", 7.into());
        answer.send_trailers(trailers)
    })
    .await;
    let rig = upstream.rig(PROTECTED).await;
    let (mut client, _connection) = connect(&rig).await;
    let request = Request::get("http://gw/x")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", rig.token("alice")))
        .body(())
        .unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let mut body = in_time(answer).await.unwrap().into_body();
    assert_eq!(in_time(body.data()).await.unwrap().unwrap(), "ok");
    let trailers = in_time(body.trailers()).await.unwrap().unwrap();
    let mut wanted = HeaderMap::new();
    wanted.insert("x-sum", 7.into());
    assert_eq!(trailers, wanted);
}
