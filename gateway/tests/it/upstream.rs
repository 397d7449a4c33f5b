//! A recording upstream that speaks raw TCP: what it saw is bytes, and its answers may be broken.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::client::in_time;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The request line and the header lines.
    pub(crate) head: String,
    /// As it came, chunks and all.
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) complete: bool,
}

impl Seen {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The values of all lines of that name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect()
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes, and the connection stays.
    Keep(String),
    /// These bytes, and the end of the connection.
    Close(String),
    /// These bytes, and nothing more for as long as the gateway wants to wait.
    Hang(String),
    /// These bytes, and then whatever comes, back again.
    Echo(String),
    /// The first, then, once somebody asks for it with [`Upstream::go_on`], the second.
    Pause(String, String),
}

pub(crate) fn ok() -> Reply {
    Reply::Keep("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned())
}

/// Takes connections and closes them at once.
pub(crate) fn refusing() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // Ends with the test's process.
        for stream in listener.incoming() {
            drop(stream);
        }
    });
    address
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

struct Shared {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
    changed: Notify,
    go_on: Notify,
    script: Box<Script>,
}

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            changed: Notify::new(),
            go_on: Notify::new(),
            script: Box::new(script),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                let serving = Arc::clone(&accepting);
                tokio::spawn(async move {
                    serve(stream, Arc::clone(&serving)).await;
                    serving.ended.fetch_add(1, Ordering::SeqCst);
                    serving.changed.notify_waiters();
                });
            }
        });
        Self { address, shared }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many requests have been seen, whole or broken off.
    pub(crate) async fn until_seen(&self, count: usize) -> Vec<Seen> {
        in_time(async {
            loop {
                let changed = self.shared.changed.notified();
                let seen = self.seen();
                if seen.len() >= count {
                    return seen;
                }
                changed.await;
            }
        })
        .await
    }

    /// Waits until so many connections have ended.
    pub(crate) async fn until_ended(&self, count: usize) -> usize {
        in_time(async {
            loop {
                let changed = self.shared.changed.notified();
                let ended = self.shared.ended.load(Ordering::SeqCst);
                if ended >= count {
                    return ended;
                }
                changed.await;
            }
        })
        .await
    }

    pub(crate) fn go_on(&self) {
        self.shared.go_on.notify_one();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(seen) = request(&mut stream, &mut buffer).await {
        shared.seen.lock().unwrap().push(seen.clone());
        shared.changed.notify_waiters();
        if !seen.complete {
            return;
        }
        match (shared.script)(&seen) {
            Reply::Keep(bytes) => {
                if stream.write_all(bytes.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Close(bytes) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                return;
            }
            Reply::Hang(bytes) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                return;
            }
            Reply::Echo(bytes) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                let _ = stream.write_all(&buffer).await;
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                return;
            }
            Reply::Pause(first, second) => {
                let _ = stream.write_all(first.as_bytes()).await;
                shared.go_on.notified().await;
                if stream.write_all(second.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut seen = Seen {
        head,
        body: Vec::new(),
        complete: false,
    };
    let chunked = !seen.all("transfer-encoding").is_empty();
    let length: usize = seen
        .all("content-length")
        .first()
        .map_or(0, |length| length.parse().unwrap());
    loop {
        let ends_at = if chunked {
            // Good enough for bodies of tests: the last chunk, and trailers up to an empty line.
            let last = if buffer.starts_with(b"0\r\n") {
                Some(1)
            } else {
                find(buffer, b"\r\n0\r\n").map(|at| at + 3)
            };
            last.and_then(|last| Some(last + find(&buffer[last..], b"\r\n\r\n")? + 4))
        } else {
            (buffer.len() >= length).then_some(length)
        };
        if let Some(at) = ends_at {
            seen.body = buffer.drain(..at).collect();
            seen.complete = true;
            return Some(seen);
        }
        if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
            seen.body = std::mem::take(buffer);
            return Some(seen);
        }
    }
}

pub(crate) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
