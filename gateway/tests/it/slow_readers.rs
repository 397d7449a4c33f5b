//! Clients that read slowly, and clients that do not read.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use obo_gateway::Config;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time,
};

use crate::{
    client::{Client, in_time},
    frames::{
        self, CANCEL, DATA, Frame, HEADERS, RST_STREAM, WINDOW_UPDATE, frame, hello_with_window,
    },
    rig::{PUBLIC, Rig},
    upstream::{Reply, Seen, ok},
};

mod shares;

const SHORT: Duration = Duration::from_millis(200);
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
const NOWHERE: &str = "http://127.0.0.1:9";

/// What upstreams want to send.
const MUCH: usize = 100 * 1024 * 1024;

/// What of it may have left them when nobody reads: the buffers of two sockets, and of a gateway.
const LITTLE: usize = 16 * 1024 * 1024;

/// A connection with little room on its way, so that what is not read soon stands still.
async fn narrow(address: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_tcp_mss(1400).unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = TcpSocket::from_std_stream(socket.into());
    Client::over(in_time(socket.connect(address)).await.unwrap())
}

/// A connection from another address than all the others.
async fn stranger(rig: &Rig) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let connecting = socket.connect(rig.gateway.local_addr());
    Client::over(in_time(connecting).await.unwrap())
}

/// A document of that length, and the connection stays.
fn document(length: usize) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    Reply::Keep(head + &"a".repeat(length))
}

/// An upstream whose only answer is very long.
struct Endless {
    address: SocketAddr,
    sent: Arc<AtomicUsize>,
    /// How many answers broke off.
    broken: watch::Receiver<usize>,
}

impl Endless {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (broke, broken) = watch::channel(0);
        let sent = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (broke, counting) = (broke.clone(), Arc::clone(&counting));
                tokio::spawn(async move {
                    send_much(stream, &counting).await;
                    broke.send_modify(|count| *count += 1);
                });
            }
        });
        Self {
            address,
            sent,
            broken,
        }
    }

    async fn gateway(&self) -> obo_gateway::Running {
        let mut config = Rig::config(&format!("http://{}", self.address), NOWHERE, PUBLIC);
        config.limits.idle_timeout = SHORT;
        obo_gateway::start(config).await.unwrap()
    }

    /// Waits until one more has broken off, and says what was sent of all.
    async fn until_broken(&mut self) -> usize {
        in_time(self.broken.changed()).await.unwrap();
        self.sent.load(Ordering::SeqCst)
    }
}

async fn send_much(mut stream: TcpStream, sent: &AtomicUsize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    let piece = vec![b'a'; 64 * 1024];
    for _ in 0..MUCH / piece.len() {
        if stream.write_all(&piece).await.is_err() {
            return;
        }
        sent.fetch_add(piece.len(), Ordering::SeqCst);
    }
}

/// The head of that stream's answer, among the frames of all.
async fn head_of(client: &mut Client, stream: u32) -> Frame {
    loop {
        let frame = client.frame().await.unwrap();
        if (frame.kind, frame.stream) == (HEADERS, stream) {
            return frame;
        }
    }
}

/// The head of that stream's answer, or that there is none.
async fn answer_to(client: &mut Client, stream: u32) -> Frame {
    loop {
        let frame = client.frame().await.unwrap();
        if matches!(frame.kind, HEADERS | RST_STREAM) && frame.stream == stream {
            return frame;
        }
    }
}

/// The end of that stream, among the frames of all.
async fn end_of(client: &mut Client, stream: u32) -> Frame {
    loop {
        let frame = client.frame().await.unwrap();
        let ends = frame.kind == RST_STREAM || (frame.kind == DATA && frame.flags & 1 != 0);
        if ends && frame.stream == stream {
            return frame;
        }
    }
}

#[tokio::test]
async fn li_05_a_client_that_stops_reading_is_cut_off_and_sees_that() {
    let mut upstream = Endless::start().await;
    let gateway = upstream.gateway().await;
    for version in ["1.0", "1.1"] {
        let mut client = narrow(gateway.local_addr()).await;
        let request = format!("GET /x HTTP/{version}\r\nHost: gw\r\n\r\n");
        client.send(request).await;
        assert!(upstream.until_broken().await < 2 * LITTLE);
        let mut rest = Vec::new();
        let ended = in_time(client.stream.read_to_end(&mut rest)).await;
        assert!(ended.is_err(), "an end that looks orderly");
    }
}

#[tokio::test]
async fn li_05_an_answer_whose_end_is_not_read_is_cut_off_and_seen_to_be() {
    // Short enough to be read from the upstream to its end, too long for the sockets.
    let rig = Rig::public_with(
        |_| document(512 * 1024),
        |config| {
            config.limits.idle_timeout = SHORT;
            config.limits.head_bytes = 2 * 1024 * 1024;
        },
    )
    .await;
    let mut client = narrow(rig.gateway.local_addr()).await;
    client.send("GET /x HTTP/1.0\r\nHost: gw\r\n\r\n").await;
    in_time(async {
        // Until the reset has come, nothing is read.
        while client.stream.take_error().unwrap().is_none() {
            time::sleep(SHORT / 20).await;
        }
    })
    .await;
}

#[tokio::test]
async fn h2_12_a_client_that_never_opens_its_window_stops_the_upstream_and_its_stream_ends() {
    for window in [0, 1, 65_535] {
        let mut upstream = Endless::start().await;
        let gateway = upstream.gateway().await;
        let mut client = Client::connect(gateway.local_addr()).await;
        client.send(hello_with_window(window)).await;
        client.send(frames::get(1, "/x")).await;
        assert!(upstream.until_broken().await < LITTLE, "{window}");
        let end = end_of(&mut client, 1).await;
        assert_eq!((end.kind, end.code()), (RST_STREAM, Some(CANCEL)));
    }
}

#[tokio::test]
async fn h2_12_a_window_of_a_byte_does_not_keep_answers_in_memory() {
    let rig = Rig::public_with(
        |seen| match seen.line() {
            line if line.contains("/long") => document(4 * 1024),
            _ => ok(),
        },
        // The connection, which stands still behind the last of them, has as long.
        |config| config.limits.idle_timeout = SHORT * 5,
    )
    .await;
    let mut client = rig.client().await;
    client.send(hello_with_window(1)).await;
    for stream in (1..40).step_by(2) {
        client.send(frames::get(stream, "/long")).await;
    }
    let mut reset = 0;
    while reset < 20 {
        let frame = client.frame().await.unwrap();
        reset += usize::from(frame.code() == Some(CANCEL));
        assert_eq!(frame.flags & u8::from(frame.kind == DATA), 0, "{frame:?}");
    }
    // The connection goes on.
    let more = frame(WINDOW_UPDATE, 0, 41, &[0, 0, 0, 1]);
    client.send([frames::get(41, "/x"), more].concat()).await;
    assert!(end_of(&mut client, 41).await.payload.ends_with(b"k"));
}

#[tokio::test]
async fn h2_12_answers_that_nobody_reads_take_no_place_of_others() {
    let answers = |seen: &Seen| match seen.line() {
        line if line.contains("/chunked") => Reply::Keep(CHUNKED.to_owned()),
        // Several short pieces are one.
        line if line.contains("/pieces") => {
            Reply::Keep(CHUNKED.replace("0\r\n", "2\r\nok\r\n0\r\n"))
        }
        line if line.contains("/trailers") => {
            Reply::Keep(CHUNKED.replace("0\r\n", "0\r\nX-A: a\r\n"))
        }
        _ => ok(),
    };
    let limits = |config: &mut Config| {
        config.limits.requests = 4;
        config.limits.requests_per_client = Some(1_000);
    };
    let rig = Rig::public_with(answers, limits).await;
    // The gateway's own, and short ones of the upstream, whatever tells their end.
    for (path, status) in [
        ("/.", 400),
        ("/x", 200),
        ("/chunked", 200),
        ("/pieces", 200),
        ("/trailers", 200),
    ] {
        let mut greedy = stranger(&rig).await;
        greedy.send(hello_with_window(0)).await;
        for stream in (1..20).step_by(2) {
            greedy.send(frames::get(stream, path)).await;
            assert_eq!(frames::status(&head_of(&mut greedy, stream).await), status);
        }
        assert_eq!(rig.client().await.get("/x").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn h2_12_an_answer_of_the_gateway_s_own_waits_for_less_long_than_a_stream_may_stand_still() {
    let rig = Rig::public_with(|_| ok(), |config| config.limits.head_timeout = SHORT).await;
    let mut client = rig.client().await;
    client.send(hello_with_window(0)).await;
    client.send(frames::get(1, "/.")).await;
    let end = end_of(&mut client, 1).await;
    assert_eq!((end.kind, end.code()), (RST_STREAM, Some(CANCEL)));
}

#[tokio::test]
async fn h2_12_a_client_that_reads_nothing_is_cut_off_however_much_it_asks_for() {
    let mut upstream = Endless::start().await;
    let gateway = upstream.gateway().await;
    let mut client = narrow(gateway.local_addr()).await;
    client.send(hello_with_window(0x7fff_ffff)).await;
    client.send(frames::get(1, "/x")).await;
    assert!(upstream.until_broken().await < LITTLE);
    let mut stream = 3;
    in_time(async {
        // A request now and then, so that there is always one that runs.
        while client
            .stream
            .write_all(&frames::get(stream, "/x"))
            .await
            .is_ok()
        {
            stream += 2;
            time::sleep(SHORT / 4).await;
        }
    })
    .await;
    // Not only where there is no room for more requests.
    assert!(stream < 100, "{stream}");
}
