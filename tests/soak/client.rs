//! HTTP/1.1 as a careful client speaks it: what the protocol lets it send again, it sends again.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longer than anything that is tried may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// The key of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A Close frame with 1000, as the upstream sends it.
pub(crate) const CLOSE: [u8; 4] = [0x88, 2, 0x03, 0xe8];

/// An answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// It came at the second try.
    pub(crate) again: bool,
}

/// A client for one request, on a connection that an earlier one has kept, if there is one.
pub(crate) struct Client {
    gateway: SocketAddr,
    pub(crate) kept: Option<TcpStream>,
}

impl Client {
    pub(crate) const fn new(gateway: SocketAddr, kept: Option<TcpStream>) -> Self {
        Self { gateway, kept }
    }

    /// A WebSocket on a connection of its own, until the upstream's Close frame. Its frames are the answer's
    /// body.
    pub(crate) async fn socket(&mut self, token: &str) -> io::Result<Answer> {
        let head = format!(
            "GET /socket HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        self.fresh(head.as_bytes()).await
    }

    /// A GET on a connection that is kept. One that was closed before any byte of an answer came is
    /// used no more, and the request is sent again on another (RFC 9110 §9.2.2).
    pub(crate) async fn get(&mut self, path: &str, token: &str) -> io::Result<Answer> {
        let head = head("GET", path, token, 0);
        if let Some(stream) = self.kept.take() {
            match self.exchange(stream, head.as_bytes()).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::BeforeAnswer) => {}
                Err(Failure::Else(error)) => return Err(error),
            }
            let again = self.fresh(head.as_bytes()).await?;
            return Ok(Answer {
                again: true,
                ..again
            });
        }
        self.fresh(head.as_bytes()).await
    }

    /// A POST on a connection of its own: it cannot be sent again.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        token: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut bytes = head("POST", path, token, body.len()).into_bytes();
        bytes.extend_from_slice(body);
        self.fresh(&bytes).await
    }

    async fn fresh(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        let stream = TcpStream::connect(self.gateway).await?;
        match self.exchange(stream, bytes).await {
            Ok(answer) => Ok(answer),
            Err(Failure::BeforeAnswer) => Err(io::Error::other("closed before an answer")),
            Err(Failure::Else(error)) => Err(error),
        }
    }

    async fn exchange(&mut self, stream: TcpStream, bytes: &[u8]) -> Result<Answer, Failure> {
        match timeout(PATIENCE, exchange(stream, bytes)).await {
            Ok(result) => result.map(|(answer, kept)| {
                self.kept = kept;
                answer
            }),
            Err(_) => Err(Failure::Else(io::Error::other("no whole answer in time"))),
        }
    }
}

enum Failure {
    BeforeAnswer,
    Else(io::Error),
}

fn head(method: &str, path: &str, token: &str, length: usize) -> String {
    let length = match length {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    // On loopback the admin listener answers to names of this machine alone.
    let host = if path == "/metrics" {
        "localhost"
    } else {
        "gw"
    };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{length}\r\n"
    )
}

async fn exchange(
    mut stream: TcpStream,
    bytes: &[u8],
) -> Result<(Answer, Option<TcpStream>), Failure> {
    if stream.write_all(bytes).await.is_err() {
        return Err(Failure::BeforeAnswer);
    }
    let mut answer = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) if answer.is_empty() => return Err(Failure::BeforeAnswer),
            Ok(0) => return Err(Failure::Else(io::Error::other("half an answer"))),
            Err(error) => return Err(Failure::Else(error)),
            Ok(read) => read,
        };
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let whole = match field("content-length: ") {
            _ if status == Some(101) => answer.ends_with(&CLOSE),
            Some(length) => body.len() >= length.trim().parse().unwrap_or(0),
            None => body.ends_with("0\r\n\r\n"),
        };
        if whole {
            let closes = field("connection: ").is_some_and(|value| value.contains("close"));
            let answer = Answer {
                status: status.unwrap_or(0),
                body: body.to_owned(),
                again: false,
            };
            let keeps = !closes && answer.status != 101;
            return Ok((answer, keeps.then_some(stream)));
        }
    }
}
