//! A gigabyte in each direction, and how much memory the gateway had for it at most: run by
//! `scripts/conformance/big-transfers`, which builds the program that is measured.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use bytes::Bytes;
use entra_emulator::demo as ids;
use h2::{RecvStream, SendStream, client, server};
use http::{Request, Response};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time,
};

const SIZE: u64 = 1024 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

/// What may be in memory at most, in KiB.
const MOST: u64 = 64 * 1024;

/// Prime, so that a piece that is missing, doubled or moved does not fit.
const PERIOD: u64 = 251;

static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let bytes = (0..PERIOD).cycle().map(|byte| u8::try_from(byte).unwrap());
    bytes.take(2 * PIECE).collect()
});

/// Up to a piece of what is sent, from `at` on.
fn piece(at: u64) -> Bytes {
    let length = usize::try_from((SIZE - at).min(PIECE as u64)).unwrap();
    let from = usize::try_from(at % PERIOD).unwrap();
    PATTERN.slice(from..from + length)
}

/// Counts what is received, and finds what is not what was sent.
#[derive(Default)]
struct Received(u64);

impl Received {
    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let from = usize::try_from(self.0 % PERIOD).unwrap();
            let length = bytes.len().min(PIECE);
            let (now, later) = bytes.split_at(length);
            assert!(
                PATTERN[from..from + length] == *now,
                "wrong after {}",
                self.0
            );
            self.0 += length as u64;
            bytes = later;
        }
    }

    async fn read_http1(mut self, stream: &mut (impl AsyncRead + Unpin)) {
        let mut buffer = vec![0; PIECE];
        while self.0 < SIZE {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "ended after {}", self.0);
            self.add(&buffer[..read]);
        }
    }

    async fn read_http2(mut self, stream: &mut RecvStream) {
        while let Some(data) = stream.data().await {
            let data = data.unwrap();
            self.add(&data);
            stream.flow_control().release_capacity(data.len()).unwrap();
        }
        assert_eq!(self.0, SIZE);
    }
}

async fn to_http1(stream: &mut TcpStream) {
    let mut at = 0;
    while at < SIZE {
        let piece = piece(at);
        stream.write_all(&piece).await.unwrap();
        at += piece.len() as u64;
    }
}

async fn to_http2(stream: &mut SendStream<Bytes>) {
    let mut at = 0;
    while at < SIZE {
        let mut piece = piece(at);
        stream.reserve_capacity(piece.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        piece.truncate(room.unwrap().unwrap());
        at += piece.len() as u64;
        stream.send_data(piece, at == SIZE).unwrap();
    }
}

/// The next head, if there is one.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Sends all to who gets, and takes all from who puts.
async fn http1_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Some(head) = head(&mut stream).await {
                    if head.starts_with("GET ") {
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
                        stream.write_all(head.as_bytes()).await.unwrap();
                        to_http1(&mut stream).await;
                    } else {
                        Received::default().read_http1(&mut stream).await;
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        stream.write_all(answer).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

async fn http2_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        let gets = request.method() == "GET";
                        if !gets {
                            let mut body = request.into_body();
                            Received::default().read_http2(&mut body).await;
                        }
                        let length = if gets { SIZE } else { 0 };
                        let answer = Response::builder().header("content-length", length);
                        let answer = respond.send_response(answer.body(()).unwrap(), !gets);
                        if gets {
                            to_http2(&mut answer.unwrap()).await;
                        }
                    });
                }
            });
        }
    });
    address
}

/// A gateway in a process of its own, which ends with this.
struct Process(Child, SocketAddr);

impl Process {
    fn start(upstream: &str) -> Self {
        let program = env::var_os("OBO_GATEWAY").unwrap();
        let mut child = Command::new(program)
            .args([
                "--listen=127.0.0.1:0",
                "--workers=1",
                "--allow-http-loopback",
            ])
            .args([
                "--authority=http://127.0.0.1:9",
                "--scope=s",
                "--log-format=json",
            ])
            .arg(format!("--config={}", config().display()))
            .arg(format!("--upstream={upstream}"))
            .env("AZURE_TENANT_ID", ids::CONTOSO)
            .env("AZURE_CLIENT_ID", ids::API_CLIENT_ID)
            .env("AZURE_CLIENT_SECRET", "x")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("\"listen\":\"http://")?;
            rest.split('"').next()?.parse().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, address.unwrap())
    }

    /// The most that was in memory, in KiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = line.unwrap().trim().trim_end_matches(" kB");
        peak.parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn config() -> std::path::PathBuf {
    let path = env::temp_dir().join(format!("obo-big-{}.toml", std::process::id()));
    fs::write(&path, "[[route]]\npath = '/*'\naccess = 'public'\n").unwrap();
    path
}

async fn over_http1(gateway: SocketAddr) {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: gw\r\n\r\n")
        .await
        .unwrap();
    let answer = head(&mut stream).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Received::default().read_http1(&mut stream).await;
    let put = format!("PUT /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {SIZE}\r\n\r\n");
    stream.write_all(put.as_bytes()).await.unwrap();
    to_http1(&mut stream).await;
    let answer = head(&mut stream).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

async fn over_http2(gateway: SocketAddr) {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (mut client, connection) = client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let get = Request::get("http://gw/x").body(()).unwrap();
    let (answer, _) = client.send_request(get, true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    Received::default().read_http2(&mut body).await;
    let put = Request::put("http://gw/x").header("content-length", SIZE);
    let put = put.body(()).unwrap();
    let (answer, mut body) = client.send_request(put, false).unwrap();
    to_http2(&mut body).await;
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a release build; scripts/conformance/big-transfers runs it"]
async fn a_gigabyte_each_way_takes_less_than_64_mib() {
    let upstreams = [
        format!("http://{}", http1_upstream().await),
        format!("h2c://{}", http2_upstream().await),
    ];
    for upstream in upstreams {
        let gateway = Process::start(&upstream);
        let limit = Duration::from_secs(240);
        time::timeout(limit, over_http1(gateway.1)).await.unwrap();
        time::timeout(limit, over_http2(gateway.1)).await.unwrap();
        let peak = gateway.peak();
        assert!(peak < MOST, "{upstream}: {peak} KiB");
        eprintln!("{upstream}: at most {peak} KiB");
    }
    fs::remove_file(config()).unwrap();
}
