//! Bodies of requests over HTTP/2: whether they are asked for, and how much of them is taken.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::poll_immediate;
use h2::{Ping, SendStream};
use http::Request;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::{
    client::{Client, in_time},
    frames::{DATA, END_HEADERS, END_STREAM, Frame, HEADERS, frame, hello, request, status},
    rig::{PUBLIC, Rig},
};

const SHORT: Duration = Duration::from_millis(200);
const NOWHERE: &str = "http://127.0.0.1:9";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What a client wants to send.
const MUCH: usize = 32 * 1024 * 1024;

/// What of it may be taken while the upstream does not read: the buffers of two sockets, and the
/// window of a stream.
const LITTLE: usize = 8 * 1024 * 1024;

const PIECE: usize = 64 * 1024;

/// A client that has announced a body of five bytes, and waits for a word.
async fn announced(rig: &Rig, expectation: &str, more: &[(&str, &str)]) -> Client {
    let mut client = rig.client().await;
    let fields = [("content-length", "5"), ("expect", expectation)];
    let block = request("POST", "/x", &[&fields, more].concat());
    let head = frame(HEADERS, END_HEADERS, 1, &block);
    client.send([hello(), head].concat()).await;
    client
}

/// The first head that comes.
async fn first_head(client: &mut Client) -> Frame {
    loop {
        let frame = client.frame().await.unwrap();
        if frame.kind == HEADERS {
            return frame;
        }
    }
}

#[tokio::test]
async fn h1_11_over_http_2_who_has_a_bad_token_hears_so_before_the_body() {
    let rig = Rig::protected().await;
    for (expectation, refusal) in [("100-continue", 401), ("tea", 417)] {
        let mut client = announced(&rig, expectation, &[]).await;
        assert_eq!(status(&first_head(&mut client).await), refusal);
    }
    rig.assert_nothing_reached_the_upstream();
}

/// No 100 is sent over HTTP/2, since hyper cannot: the client goes on by itself, as it must
/// (RFC 9110 §10.1.1).
#[tokio::test]
async fn a_body_that_was_announced_over_http_2_is_waited_for_and_nothing_said_before() {
    let rig = Rig::protected().await;
    let bearer = format!("Bearer {}", rig.token("alice"));
    let mut client = announced(&rig, "100-continue", &[("authorization", &bearer)]).await;
    in_time(async {
        while rig.upstream.connections() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.send(frame(DATA, END_STREAM, 1, b"hello")).await;
    assert_eq!(status(&first_head(&mut client).await), 200);
    let seen = rig.only_seen();
    assert_eq!(seen.body, b"hello");
    assert!(seen.all("expect").is_empty());
}

#[tokio::test]
async fn a_body_that_was_announced_over_http_2_and_never_comes_is_408() {
    let rig = Rig::public_with(
        |_| crate::upstream::ok(),
        |config| config.limits.idle_timeout = SHORT,
    )
    .await;
    let mut client = announced(&rig, "100-continue", &[]).await;
    assert_eq!(status(&first_head(&mut client).await), 408);
}

/// As clients may say it who learn late that there is no more.
#[tokio::test]
async fn an_end_behind_the_last_byte_costs_no_upstream_connection() {
    let rig = Rig::public().await;
    let mut client = rig.client().await;
    client.send(hello()).await;
    for stream in [1, 3, 5] {
        let block = request("POST", "/x", &[("content-length", "5")]);
        let request = [
            frame(HEADERS, END_HEADERS, stream, &block),
            frame(DATA, 0, stream, b"hello"),
            frame(DATA, END_STREAM, stream, b""),
        ];
        client.send(request.concat()).await;
        assert_eq!(status(&first_head(&mut client).await), 200);
    }
    assert_eq!(rig.upstream.connections(), 1);
}

/// All of the body has come, so that the client is waited for no more.
#[tokio::test]
async fn li_06_an_upstream_that_is_silent_is_504_also_before_the_end_behind_the_last_byte() {
    let (upstream, accepted) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        Notify::new(),
    );
    let address = upstream.local_addr().unwrap();
    let mut config = Rig::config(&format!("http://{address}"), NOWHERE, PUBLIC);
    config.limits.response_timeout = SHORT;
    let gateway = obo_gateway::start(config).await.unwrap();
    let mut client = Client::connect(gateway.local_addr()).await;
    let silent = async {
        let (mut stream, _) = upstream.accept().await.unwrap();
        let mut all = head(&mut stream).await;
        while !all.ends_with(b"hello") {
            all.push(stream.read_u8().await.unwrap());
        }
        accepted.notify_one();
        std::future::pending::<()>().await;
    };
    let asks = async {
        let block = request("POST", "/x", &[("content-length", "5")]);
        let frames = [
            hello(),
            frame(HEADERS, END_HEADERS, 1, &block),
            frame(DATA, 0, 1, b"hello"),
        ];
        client.send(frames.concat()).await;
        accepted.notified().await;
        client.send(frame(DATA, END_STREAM, 1, b"")).await;
        assert_eq!(status(&first_head(&mut client).await), 504);
    };
    tokio::select! {
        () = silent => unreachable!("it says nothing"),
        () = in_time(asks) => {}
    }
}

/// Answers every GET, and reads no other request's body before it may. Gives back how much came.
async fn reluctant(may_read: Arc<Notify>) -> (SocketAddr, tokio::sync::oneshot::Receiver<usize>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&address.into()).unwrap();
    socket.listen(16).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    let address = listener.local_addr().unwrap();
    let (came, comes) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut upload, _) = listener.accept().await.unwrap();
        let others = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                head(&mut stream).await;
                stream.write_all(ANSWER).await.unwrap();
            }
        });
        head(&mut upload).await;
        may_read.notified().await;
        let mut body = vec![0; PIECE];
        let mut read = 0;
        while read < MUCH {
            read += upload.read(&mut body).await.unwrap();
        }
        upload.write_all(ANSWER).await.unwrap();
        came.send(read).unwrap();
        others.abort();
    });
    (address, comes)
}

/// Takes `/stuck`, and reads nothing of it; everything else is read and answered.
async fn reads_some() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = head(&mut stream).await;
                if head.starts_with(b"PUT /stuck") {
                    std::future::pending::<()>().await;
                }
                let mut body = Vec::new();
                while !body.ends_with(b"0\r\n\r\n") {
                    if stream.read_buf(&mut body).await.unwrap() == 0 {
                        return;
                    }
                }
                stream.write_all(ANSWER).await.unwrap();
            });
        }
    });
    address
}

#[tokio::test]
async fn uploads_that_stand_still_hold_up_no_other_of_their_connection() {
    let config = Rig::config(&format!("http://{}", reads_some().await), NOWHERE, PUBLIC);
    let gateway = obo_gateway::start(config).await.unwrap();
    let stream = TcpStream::connect(gateway.local_addr()).await.unwrap();
    let (mut client, mut connection) = in_time(h2::client::handshake(stream)).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let _connection = tokio::spawn(connection);
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let put = Request::put("http://gw/stuck").header("content-length", MUCH);
        let (answer, body) = client.send_request(put.body(()).unwrap(), false).unwrap();
        stuck.push((answer, body, 0));
    }
    let mut unheard = 0;
    while unheard < 50 {
        let mut more = false;
        for (_, body, sent) in &mut stuck {
            more |= poll_immediate(pin!(send_more(body, sent))).await.is_some();
        }
        unheard = if more { 0 } else { unheard + 1 };
        in_time(pings.ping(Ping::opaque())).await.unwrap();
    }
    assert!(stuck.iter().all(|(_, _, sent)| *sent > 0 && *sent < MUCH));
    let post = Request::post("http://gw/read").body(()).unwrap();
    let (answer, mut body) = client.send_request(post, false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    assert_eq!(in_time(answer).await.unwrap().status(), 200);
}

async fn head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    head
}

/// Sends more of a body that has come to `sent`, where that may be: at once, or later.
async fn send_more(body: &mut SendStream<Bytes>, sent: &mut usize) {
    body.reserve_capacity(PIECE.min(MUCH - *sent));
    let room = std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
    let length = room.unwrap().unwrap().min(MUCH - *sent);
    *sent += length;
    body.send_data(vec![b'a'; length].into(), *sent == MUCH)
        .unwrap();
}

#[tokio::test]
async fn an_upload_over_http_2_stands_still_with_its_upstream_and_others_go_on() {
    let may_read = Arc::new(Notify::new());
    let (upstream, came) = reluctant(Arc::clone(&may_read)).await;
    let config = Rig::config(&format!("http://{upstream}"), NOWHERE, PUBLIC);
    let gateway = obo_gateway::start(config).await.unwrap();
    let stream = TcpStream::connect(gateway.local_addr()).await.unwrap();
    let (mut client, mut connection) = in_time(h2::client::handshake(stream)).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let _connection = tokio::spawn(connection);
    let put = Request::put("http://gw/x").header("content-length", MUCH);
    let (answer, mut body) = client.send_request(put.body(()).unwrap(), false).unwrap();
    let mut sent = 0;
    // A gateway that has answered so many pings in a row without taking more takes no more.
    let mut unheard = 0;
    while unheard < 100 && sent < MUCH {
        let more = pin!(send_more(&mut body, &mut sent));
        if poll_immediate(more).await.is_some() {
            unheard = 0;
        } else {
            in_time(pings.ping(Ping::opaque())).await.unwrap();
            unheard += 1;
        }
    }
    assert!(sent < LITTLE, "{sent}");
    let get = Request::get("http://gw/y").body(()).unwrap();
    let (other, _) = client.send_request(get, true).unwrap();
    assert_eq!(in_time(other).await.unwrap().status(), 200);
    may_read.notify_one();
    in_time(async {
        while sent < MUCH {
            send_more(&mut body, &mut sent).await;
        }
    })
    .await;
    assert_eq!(in_time(answer).await.unwrap().status(), 200);
    assert_eq!(in_time(came).await.unwrap(), MUCH);
}
