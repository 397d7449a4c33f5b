//! Bad clients, a kind at a time.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::upstream;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    Idle,
    SlowHeads,
    SlowUploads,
    SlowReaders,
    Resets,
    RapidReset,
    Unread,
    Downloads,
}

impl Trouble {
    pub(crate) const ALL: [Self; 9] = [
        Self::None,
        Self::Idle,
        Self::SlowHeads,
        Self::SlowUploads,
        Self::SlowReaders,
        Self::Resets,
        Self::RapidReset,
        Self::Unread,
        Self::Downloads,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "nobody else",
            Self::Idle => "2,000 idle connections",
            Self::SlowHeads => "200 heads, a byte a second",
            Self::SlowUploads => "200 uploads, 10 bytes a second",
            Self::SlowReaders => "200 downloads of 64 MiB, read at 1 KiB a second",
            Self::Resets => "a flood of connections, reset in the middle of the head",
            Self::RapidReset => "HTTP/2 streams, reset as soon as they are opened",
            Self::Unread => "200 HTTP/2 connections with a window of 0, 100 requests a second each",
            Self::Downloads => "8 downloads of 1 GiB, again and again, at full speed",
        }
    }

    const fn clients(self) -> usize {
        match self {
            Self::None => 0,
            Self::Idle => 2_000,
            Self::SlowHeads | Self::SlowUploads | Self::SlowReaders | Self::Unread => 200,
            Self::Resets => 32,
            Self::RapidReset | Self::Downloads => 8,
        }
    }
}

/// Starts the crowd; whoever is sent away comes again. How many connections it has made.
pub(crate) async fn start(
    kind: Trouble,
    gateway: SocketAddr,
    token: &str,
    crowd: &mut JoinSet<()>,
) -> Arc<AtomicUsize> {
    let made = Arc::new(AtomicUsize::new(0));
    let token: Arc<str> = token.into();
    for _ in 0..kind.clients() {
        let (made, token) = (Arc::clone(&made), Arc::clone(&token));
        crowd.spawn(async move {
            loop {
                made.fetch_add(1, Ordering::Relaxed);
                // How it ends does not matter to it.
                let _ = client(kind, gateway, &token).await;
                tokio::task::yield_now().await;
            }
        });
    }
    // The idle ones are all there before anything is measured.
    let there = if kind == Trouble::Idle {
        kind.clients()
    } else {
        0
    };
    while made.load(Ordering::Relaxed) < there {
        sleep(Duration::from_millis(10)).await;
    }
    made
}

async fn client(kind: Trouble, gateway: SocketAddr, token: &str) -> io::Result<()> {
    let mut stream = connect(kind, gateway).await?;
    let authorization = format!("Authorization: Bearer {token}\r\n");
    match kind {
        Trouble::None => Ok(()),
        Trouble::Idle => wait_for_the_end(&mut stream).await,
        Trouble::SlowHeads => {
            let head = format!("GET /item HTTP/1.1\r\nHost: gw\r\n{authorization}\r\n");
            trickle(&mut stream, head.as_bytes(), 1).await
        }
        Trouble::SlowUploads => {
            let head = format!(
                "POST /item HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000000\r\n{authorization}\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            trickle(&mut stream, &[b'x'; 10_000], 10).await
        }
        Trouble::SlowReaders => {
            let head = format!("GET /big HTTP/1.1\r\nHost: gw\r\n{authorization}\r\n");
            stream.write_all(head.as_bytes()).await?;
            let mut buffer = [0; 1_024];
            while stream.read(&mut buffer).await? > 0 {
                sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        }
        Trouble::Resets => {
            stream.set_zero_linger()?;
            stream
                .write_all(b"GET /item HTTP/1.1\r\nHost: gw\r\nX-Half: ")
                .await
        }
        Trouble::RapidReset => rapid_reset(&mut stream, token).await,
        Trouble::Unread => unread(stream, token).await,
        Trouble::Downloads => {
            let head = format!("GET /huge HTTP/1.1\r\nHost: gw\r\n{authorization}\r\n");
            stream.write_all(head.as_bytes()).await?;
            let mut buffer = vec![0; 65_536];
            let mut left = upstream::HUGE;
            while left > 0 {
                match stream.read(&mut buffer).await? {
                    0 => break,
                    length => left = left.saturating_sub(length),
                }
            }
            Ok(())
        }
    }
}

async fn connect(kind: Trouble, gateway: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // Not the good caller's: whoever has the same address has the same share of requests at once. Nor is the one
    // who downloads punished for those who did not read a moment ago.
    let last = if kind == Trouble::Downloads { 3 } else { 2 };
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    if kind == Trouble::SlowReaders {
        // Else the kernel takes megabytes on its behalf.
        socket.set_recv_buffer_size(4_096)?;
    }
    socket.connect(gateway).await
}

async fn wait_for_the_end(stream: &mut TcpStream) -> io::Result<()> {
    stream.read(&mut [0; 64]).await.map(drop)
}

/// Sends `bytes`, a few a second.
async fn trickle(stream: &mut TcpStream, bytes: &[u8], each: usize) -> io::Result<()> {
    for piece in bytes.chunks(each) {
        stream.write_all(piece).await?;
        sleep(Duration::from_secs(1)).await;
    }
    wait_for_the_end(stream).await
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Asks for answers of some kilobytes, and lets none of them come (RFC 9113 §6.9.2): new requests
/// every second, of which the gateway takes as many at once as it likes.
async fn unread(stream: TcpStream, token: &str) -> io::Result<()> {
    const INITIAL_WINDOW_SIZE: u8 = 4;
    let (mut reading, mut writing) = stream.into_split();
    writing.write_all(PREFACE).await?;
    let no_window = [0, INITIAL_WINDOW_SIZE, 0, 0, 0, 0];
    writing
        .write_all(&frame(SETTINGS, 0, 0, &no_window))
        .await?;
    let block = head(b"/page", token);
    let asking = async {
        for id in (1..).step_by(2) {
            writing.write_all(&frame(HEADERS, 5, id, &block)).await?;
            if id % 200 == 199 {
                sleep(Duration::from_secs(1)).await;
            }
        }
        Ok(())
    };
    let mut buffer = [0; 4_096];
    tokio::select! {
        asked = asking => asked,
        // The ends of streams, until that of the connection.
        ended = async { while reading.read(&mut buffer).await? > 0 {} Ok(()) } => ended,
    }
}

/// GET, http, and three literals without index (RFC 7541 §6.2.2): `:path`, `:authority` and
/// `authorization` by their places in the static table.
fn head(path: &[u8], token: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    literal(&mut block, 4, path);
    literal(&mut block, 1, b"gw");
    literal(&mut block, 23, format!("Bearer {token}").as_bytes());
    block
}

/// CVE-2023-44487: each stream is reset right behind its head, so that no limit of streams at once
/// is ever reached.
async fn rapid_reset(stream: &mut TcpStream, token: &str) -> io::Result<()> {
    stream.write_all(PREFACE).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let block = head(b"/", token);
    let mut id = 1;
    loop {
        let mut bytes = Vec::new();
        for _ in 0..50 {
            // END_HEADERS and END_STREAM; then CANCEL.
            bytes.extend(frame(HEADERS, 5, id, &block));
            bytes.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
            id += 2;
        }
        stream.write_all(&bytes).await?;
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn literal(block: &mut Vec<u8>, name: u8, value: &[u8]) {
    integer(block, 4, usize::from(name));
    integer(block, 7, value.len());
    block.extend(value);
}

/// An integer with a prefix of so many bits (RFC 7541 §5.1).
fn integer(block: &mut Vec<u8>, bits: u32, value: usize) {
    let limit = (1 << bits) - 1;
    if value < limit {
        block.push(u8::try_from(value).unwrap());
        return;
    }
    block.push(u8::try_from(limit).unwrap());
    let mut rest = value - limit;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}
