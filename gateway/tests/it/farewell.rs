//! How tunnels end that the gateway ends: a WebSocket hears why, where a frame may be said (RFC 6455 §5.5.1).

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use obo_gateway::{Config, Target};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use crate::{client::in_time, rig::Rig, upstream::ok};

const SHORT: Duration = Duration::from_millis(200);
const ROUTES: &str = "[[route]]\npath = '/ws'\nupgrade = ['websocket']\n\
     [[route]]\npath = '/open'\naccess = 'public'\nupgrade = ['websocket']";

const CHANGED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";

type Socket = WebSocketStream<TcpStream>;

/// An upstream that opens WebSockets, says these bytes in them, and is silent.
async fn saying(frames: &'static [u8]) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut head).await.unwrap();
            }
            stream.write_all(CHANGED).await.unwrap();
            stream.write_all(frames).await.unwrap();
            tokio::spawn(async move {
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            });
        }
    });
    Target::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
    }
}

async fn rig(frames: &'static [u8], change: impl FnOnce(&mut Config)) -> Rig {
    let upstream = saying(frames).await;
    Rig::new(
        ROUTES,
        |_| ok(),
        |config| {
            for known in config.upstreams.values_mut() {
                known.addresses = vec![upstream.clone()];
            }
            change(config);
        },
    )
    .await
}

/// The handshake is by hand, since the upstream knows nothing of keys; from there on it is a real client.
async fn open(rig: &Rig, path: &str, token: Option<String>) -> Socket {
    let stream = shaken(rig, path, token).await;
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

/// A connection right behind the handshake.
async fn shaken(rig: &Rig, path: &str, token: Option<String>) -> TcpStream {
    let mut stream = TcpStream::connect(rig.gateway.local_addr()).await.unwrap();
    let token = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let wish = format!(
        "GET {path} HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n{token}\r\n"
    );
    stream.write_all(wish.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time(stream.read_u8()).await.unwrap());
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

/// What the socket says last, and whether it ended as it should.
async fn farewell(socket: &mut Socket) -> (Option<CloseFrame>, bool) {
    let mut said = None;
    loop {
        match in_time(socket.next()).await {
            Some(Ok(Message::Close(frame))) => said = frame,
            Some(Ok(_)) => {}
            Some(Err(_)) => return (said, false),
            None => return (said, true),
        }
    }
}

fn drains_for(time: Duration) -> impl FnOnce(&mut Config) {
    move |config| config.drain_timeout = time
}

#[tokio::test]
async fn li_07_a_websocket_is_told_that_the_gateway_goes_away() {
    // A whole message, and one of which the first frame has come.
    let told = [&b""[..], b"\x81\x02hi", b"\x01\x02hi"].map(|frames| async move {
        let drain = SHORT * 20;
        let rig = rig(frames, drains_for(drain)).await;
        let mut socket = open(&rig, "/open", None).await;
        let shutdown = tokio::spawn(rig.gateway.shutdown());
        let (said, orderly) = farewell(&mut socket).await;
        let said = said.expect("a Close frame");
        assert_eq!(said.code, CloseCode::Away, "{frames:?}");
        assert_eq!(said.reason, "the gateway shuts down");
        assert!(orderly);
        drop(socket);
        in_time(shutdown).await.unwrap();
    });
    join_all(told).await;
}

#[tokio::test]
async fn li_07_a_websocket_in_the_middle_of_a_frame_is_cut_off() {
    for frames in [
        &b"\x81"[..],
        b"\x81\x05hel",
        b"\x81\x7e\x01",
        b"\x82\x7e\x01\x00some",
    ] {
        let rig = rig(frames, drains_for(SHORT * 5)).await;
        let mut socket = open(&rig, "/open", None).await;
        let mut bare = shaken(&rig, "/open", None).await;
        let shutdown = tokio::spawn(rig.gateway.shutdown());
        let (said, orderly) = farewell(&mut socket).await;
        assert_eq!((said, orderly), (None, false), "{frames:?}");
        // A Close frame would look as a part of that frame.
        let mut got = Vec::new();
        while let Ok(1..) = in_time(bare.read_buf(&mut got)).await {}
        assert_eq!(got, frames);
        in_time(shutdown).await.unwrap();
    }
}

#[tokio::test]
async fn up_05_a_websocket_is_told_that_its_callers_token_has_expired() {
    let rig = rig(b"\x81\x02hi", |_| {}).await;
    let token = rig.emulator.as_ref().unwrap().token();
    // The leeway of a minute ends in two seconds.
    let mut socket = open(&rig, "/ws", Some(token.expires_in(-54).sign())).await;
    let (said, orderly) = farewell(&mut socket).await;
    let said = said.expect("a Close frame");
    assert_eq!(said.code, CloseCode::Policy);
    assert_eq!(said.reason, "the token has expired");
    assert!(orderly);
}

#[tokio::test]
async fn up_05_a_websocket_is_told_that_nothing_moved_for_too_long() {
    let rig = rig(b"", |config| config.limits.idle_timeout = SHORT).await;
    let mut socket = open(&rig, "/open", None).await;
    let (said, orderly) = farewell(&mut socket).await;
    assert_eq!(said.expect("a Close frame").code, CloseCode::Away);
    assert!(orderly);
}

/// Once a Close frame has passed, nothing follows it.
#[tokio::test]
async fn a_websocket_whose_upstream_has_said_goodbye_hears_it_once() {
    let rig = rig(b"\x88\x02\x03\xe8", drains_for(SHORT * 5)).await;
    let mut socket = open(&rig, "/open", None).await;
    let shutdown = tokio::spawn(rig.gateway.shutdown());
    let (said, _) = farewell(&mut socket).await;
    assert_eq!(said.expect("the upstream's").code, CloseCode::Normal);
    in_time(shutdown).await.unwrap();
}

/// A client that neither reads nor answers keeps no shutdown waiting.
#[tokio::test]
async fn li_07_a_websocket_that_does_not_answer_is_cut_off_at_the_end_of_the_drain() {
    let rig = rig(b"", drains_for(SHORT * 5)).await;
    let mut socket = open(&rig, "/open", None).await;
    in_time(socket.send(Message::text("hello"))).await.unwrap();
    let begun = Instant::now();
    in_time(rig.gateway.shutdown()).await;
    assert!(begun.elapsed() < SHORT * 75, "{:?}", begun.elapsed());
    drop(socket);
}
