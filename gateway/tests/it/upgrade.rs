//! WebSockets: section 12 of the catalogue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use obo_gateway::{Config, Target};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_tungstenite::{
    accept_async, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::{
    addresses::nobody,
    client::{Client, in_time},
    rig::Rig,
    upstream::{Reply, Seen, Upstream, ok},
};

const SHORT: Duration = Duration::from_millis(200);
const NOWHERE: &str = "http://127.0.0.1:9";
const OPEN: &str = "[[route]]\npath = '/*'\naccess = 'public'\n\
     [[route]]\npath = '/ws/*'\naccess = 'public'\nupgrade = ['websocket']";
const GUARDED: &str = "[[route]]\npath = '/ws'\nupgrade = ['websocket']\n\
     [[route]]\npath = '/forever'\nupgrade = ['websocket']\noutlive_token = true";
const CHANGED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";

/// A request for a WebSocket, with these lines too.
fn wish(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gw\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// Answers every wish with a tunnel that echoes.
fn echo(seen: &Seen) -> Reply {
    if seen.all("upgrade").is_empty() {
        ok()
    } else {
        Reply::Echo(CHANGED.to_owned())
    }
}

async fn rig() -> Rig {
    Rig::new(OPEN, echo, |_| {}).await
}

/// A tunnel that is open, and has been used.
async fn tunnel(rig: &Rig, wish: String) -> Client {
    let mut client = rig.client().await;
    client.send(wish).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 101, "{answer:?}");
    ping(&mut client).await;
    client
}

async fn ping(client: &mut Client) {
    client.send("ping").await;
    assert!(client.until("ping").await.is_some());
}

/// The connection ends, with whatever.
async fn ends(client: &mut Client) {
    client.rest().await;
}

/// Sends a thousand bytes at a time, and tells how many it has sent.
fn trickle(listener: std::net::TcpListener, lines: String, sent: Arc<AtomicUsize>) {
    use std::io::{Read as _, Write as _};
    let (mut stream, _) = listener.accept().unwrap();
    let mut wish = Vec::new();
    while !wish.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        wish.push(byte[0]);
    }
    stream.write_all(CHANGED.as_bytes()).unwrap();
    for piece in lines.as_bytes().chunks(1_000) {
        stream.write_all(piece).unwrap();
        sent.fetch_add(piece.len(), Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(20));
    }
}

#[tokio::test]
async fn a_client_that_reads_a_tunnel_slowly_gets_every_byte_once_and_in_order() {
    // More than all sockets' buffers take, so that the gateway has to wait with a part of it.
    let lines: String = (0..1_500_000).map(|line| format!("{line:015}\n")).collect();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sent, text) = (Arc::new(AtomicUsize::new(0)), lines.clone());
    let counting = Arc::clone(&sent);
    let upstream = std::thread::spawn(move || trickle(listener, text, counting));
    let config = Rig::config(&format!("http://{address}"), NOWHERE, OPEN);
    let gateway = obo_gateway::start(config).await.unwrap();
    let mut client = Client::connect(gateway.local_addr()).await;
    client.send(wish("/ws/x", "")).await;
    let head = client.until("\r\n\r\n").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut before = usize::MAX;
    while sent.load(Ordering::Relaxed) != before {
        before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(SHORT).await;
    }
    assert!(before < lines.len(), "nobody had to wait");
    let got = client.rest().await;
    assert_eq!(got.len(), lines.len());
    let wrong = got
        .lines()
        .zip(lines.lines())
        .find(|(got, sent)| got != sent);
    assert_eq!(wrong, None);
    upstream.join().unwrap();
}

#[tokio::test]
async fn a_wish_is_all_that_connection_says_to_the_upstream() {
    let rig = rig().await;
    let mut client = rig.client().await;
    client
        .send(wish("/ws/x", "TE: trailers\r\nConnection: TE\r\n"))
        .await;
    assert_eq!(client.answer().await.unwrap().status, 101);
    let seen = rig.only_seen();
    assert_eq!(seen.all("connection"), ["upgrade"]);
    assert!(seen.all("te").is_empty(), "{seen:?}");
}

#[tokio::test]
async fn a_websocket_works_through_the_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let config = Rig::config(&upstream, NOWHERE, OPEN);
    let gateway = obo_gateway::start(config).await.unwrap();
    let stream = TcpStream::connect(gateway.local_addr()).await.unwrap();
    let request = "ws://gw/ws/chat".into_client_request().unwrap();
    let (mut socket, answer) = in_time(client_async(request, stream)).await.unwrap();
    assert_eq!(answer.status(), 101);
    assert!(answer.headers().contains_key("x-request-id"));
    for message in [
        Message::text("hello"),
        Message::binary(vec![7; 1024 * 1024]),
        Message::text("bye"),
    ] {
        in_time(socket.send(message.clone())).await.unwrap();
        assert_eq!(in_time(socket.next()).await.unwrap().unwrap(), message);
    }
    in_time(socket.close(None)).await.unwrap();
    while in_time(socket.next()).await.is_some() {}
    in_time(serving).await.unwrap();
}

#[tokio::test]
async fn a_wish_goes_to_another_address_where_the_first_cannot_be_reached() {
    let (_closed, nobody) = nobody();
    let there = Upstream::start(echo).await;
    let addresses = [nobody, there.address, nobody].map(|address| Target::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
    });
    let rig = Rig::new(OPEN, echo, |config| {
        for upstream in config.upstreams.values_mut() {
            upstream.addresses = addresses.to_vec();
        }
    })
    .await;
    for _ in 0..4 {
        tunnel(&rig, wish("/ws/x", "")).await;
    }
    assert_eq!(there.seen().len(), 4);
}

#[tokio::test]
async fn up_01_without_a_fit_token_there_is_no_tunnel() {
    let rig = Rig::new(GUARDED, echo, |_| {}).await;
    let token = rig.emulator.as_ref().unwrap().token();
    let unfit = token.scopes(["other"]).sign();
    for (line, status) in [
        (String::new(), 401),
        ("Authorization: Bearer x\r\n".to_owned(), 401),
        (format!("Authorization: Bearer {unfit}\r\n"), 403),
    ] {
        let answer = rig.exchange(wish("/ws", &line)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    rig.assert_nothing_reached_the_upstream();
    let line = format!("Authorization: Bearer {}\r\n", rig.token("alice"));
    drop(tunnel(&rig, wish("/ws", &line)).await);
    assert!(rig.only_seen().all("authorization").is_empty());
}

#[tokio::test]
async fn up_02_what_follows_a_wish_that_is_not_granted_is_no_request() {
    let rig = Rig::new(OPEN, |_| ok(), |_| {}).await;
    let mut client = rig.client().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: gw\r\n\r\n";
    client.send(wish("/ws/x", "") + hidden).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.all("connection"), ["close"]);
    assert_eq!(client.rest().await, "");
    let seen = rig.only_seen();
    assert_eq!(seen.all("upgrade"), ["websocket"]);
    assert_eq!(seen.all("connection"), ["upgrade"]);
    assert_eq!(seen.all("sec-websocket-version"), ["13"]);
}

#[tokio::test]
async fn up_02_what_follows_a_wish_is_of_the_tunnel_once_that_is_open() {
    let rig = rig().await;
    let mut client = rig.client().await;
    client.send(wish("/ws/x", "") + "early").await;
    assert_eq!(client.answer().await.unwrap().status, 101);
    assert!(client.until("early").await.is_some());
    ping(&mut client).await;
    assert_eq!(rig.upstream.seen().len(), 1);
}

#[tokio::test]
async fn up_03_other_wishes_are_not_heard() {
    let rig = rig().await;
    let good = wish("/ws/x", "");
    let wishes = [
        good.replace("websocket", "h2c"),
        good.replace("websocket", "foo"),
        good.replace("websocket", "websocket, h2c"),
        good.replace("/ws/x", "/other"),
        good.replace("GET", "POST"),
        good.replace("HTTP/1.1", "HTTP/1.0"),
        good.replace("keep-alive, Upgrade", "keep-alive"),
        good.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi"),
    ];
    for wish in &wishes {
        assert_eq!(rig.exchange(wish).await.status, 200, "{wish}");
    }
    let seen = rig.upstream.seen();
    assert_eq!(seen.len(), wishes.len());
    for seen in seen {
        assert!(seen.all("upgrade").is_empty(), "{seen:?}");
        assert!(seen.all("connection").is_empty(), "{seen:?}");
    }
}

#[tokio::test]
async fn up_04_a_change_that_nobody_asked_for_ends_both_connections() {
    for (path, answer) in [
        ("/other", CHANGED.to_owned()),
        ("/ws/x", CHANGED.replace("websocket", "h2c")),
    ] {
        let rig = Rig::new(OPEN, move |_| Reply::Echo(answer.clone()), |_| {}).await;
        let mut client = rig.client().await;
        client.send(wish(path, "") + "early").await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, 502, "{answer:?}");
        assert_eq!(client.rest().await, "");
        assert_eq!(rig.upstream.until_ended(1).await, 1);
    }
}

#[tokio::test]
async fn an_answer_that_opens_a_tunnel_has_no_larger_head_than_another() {
    let more = format!("X-More: {}\r\n\r\n", "a".repeat(300 * 1024));
    let answer = CHANGED.replace("\r\n\r\n", "\r\n") + &more;
    let rig = Rig::new(OPEN, move |_| Reply::Echo(answer.clone()), |_| {}).await;
    for path in ["/ws/x", "/other"] {
        assert_eq!(rig.exchange(wish(path, "")).await.status, 502, "{path}");
    }
}

#[tokio::test]
async fn up_05_a_tunnel_ends_when_nothing_moves_in_it_and_not_before() {
    // Longer than this test stands still on a machine that is busy.
    let limit = SHORT * 5;
    let rig = Rig::new(OPEN, echo, |config| config.limits.idle_timeout = limit).await;
    let mut client = tunnel(&rig, wish("/ws/x", "")).await;
    let begun = Instant::now();
    while begun.elapsed() < limit * 2 {
        ping(&mut client).await;
    }
    ends(&mut client).await;
    assert_eq!(rig.upstream.until_ended(1).await, 1);
}

/// The upstream has gone, and the client says nothing to that.
#[tokio::test]
async fn up_05_half_a_tunnel_ends_when_nothing_moves_in_it() {
    let half = |seen: &Seen| match echo(seen) {
        Reply::Echo(answer) => Reply::Close(answer),
        other => other,
    };
    let rig = Rig::new(OPEN, half, |config| {
        config.limits.idle_timeout = SHORT;
        config.limits.requests = 1;
    })
    .await;
    let mut client = rig.client().await;
    client.send(wish("/ws/x", "")).await;
    assert_eq!(client.answer().await.unwrap().status, 101);
    assert_eq!(client.rest().await, "");
    in_time(async { while rig.client().await.get("/x").await.status != 200 {} }).await;
    drop(client);
}

#[tokio::test]
async fn up_05_a_tunnel_ends_with_the_callers_token_unless_the_route_lets_it_live() {
    let rig = Rig::new(GUARDED, echo, |_| {}).await;
    let token = rig.emulator.as_ref().unwrap().token();
    // The leeway of a minute ends in two seconds.
    let line = format!("Authorization: Bearer {}\r\n", token.expires_in(-54).sign());
    let mut forever = tunnel(&rig, wish("/forever", &line)).await;
    let mut client = tunnel(&rig, wish("/ws", &line)).await;
    ends(&mut client).await;
    ping(&mut forever).await;
}

#[tokio::test]
async fn li_07_a_tunnel_that_is_asked_for_while_the_gateway_drains_opens() {
    let rig = Rig::new(OPEN, echo, |config| config.drain_timeout = SHORT * 20).await;
    let mut kept = rig.client().await;
    assert_eq!(kept.get("/x").await.status, 200);
    let address = rig.gateway.local_addr();
    let shutdown = tokio::spawn(rig.gateway.shutdown());
    in_time(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    kept.send(wish("/ws/x", "")).await;
    let answer = kept.answer().await.unwrap();
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.all("connection"), ["upgrade"], "{answer:?}");
    ping(&mut kept).await;
    in_time(shutdown).await.unwrap();
    ends(&mut kept).await;
}

#[tokio::test]
async fn li_07_a_tunnel_goes_on_while_the_gateway_drains_and_ends_with_that() {
    // Twice as long as an idle connection may stay.
    let rig = Rig::new(OPEN, echo, |config| config.drain_timeout = SHORT * 20).await;
    let mut client = tunnel(&rig, wish("/ws/x", "")).await;
    let mut idle = rig.client().await;
    assert_eq!(idle.get("/x").await.status, 200);
    let shutdown = tokio::spawn(rig.gateway.shutdown());
    // It has begun: who has nothing to do is gone.
    ends(&mut idle).await;
    ping(&mut client).await;
    in_time(shutdown).await.unwrap();
    ends(&mut client).await;
}

#[tokio::test]
async fn a_tunnel_counts_as_a_request_that_runs() {
    let of_all = |config: &mut Config| config.limits.requests = 1;
    let of_the_route = |config: &mut Config| config.routes[1].limits.requests = Some(1);
    for limit in [of_all, of_the_route] {
        let rig = Rig::new(OPEN, echo, limit).await;
        let client = tunnel(&rig, wish("/ws/x", "")).await;
        let mut other = rig.client().await;
        assert_eq!(other.get("/ws/y").await.status, 503);
        drop(client);
        in_time(async { while other.get("/ws/y").await.status != 200 {} }).await;
    }
}
