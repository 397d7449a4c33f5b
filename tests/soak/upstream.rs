//! The upstream: it says for whom it was asked, and has times in which it does not.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::client::CLOSE;

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    Serves,
    /// 503, of its own.
    Fails,
    /// Closes the connection in place of an answer.
    BreaksOff,
}

#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    mood: Arc<AtomicU8>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mood = Arc::new(AtomicU8::new(Mood::Serves as u8));
        let shared = Arc::clone(&mood);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, mood }
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::Relaxed);
    }
}

/// The user in a downstream token.
fn user(token: &str) -> Option<String> {
    let payload = token.split('.').nth(1)?;
    let json = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&json).ok()?;
    Some(claims["oid"].as_str()?.to_owned())
}

async fn serve(stream: TcpStream, mood: Arc<AtomicU8>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let events = line.starts_with("GET /events");
        let socket = line.starts_with("GET /socket");
        let (mut length, mut told, mut token) = (0, String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            match &*name.to_ascii_lowercase() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "x-obo-oid" => value.trim().clone_into(&mut told),
                "authorization" => value
                    .trim_start_matches(" Bearer ")
                    .trim()
                    .clone_into(&mut token),
                _ => {}
            }
        }
        let mut body = (&mut stream).take(length);
        let taken = tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
        let mood = mood.load(Ordering::Relaxed);
        if mood == Mood::BreaksOff as u8 {
            return Ok(());
        }
        if mood == Mood::Fails as u8 {
            let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await?;
            continue;
        }
        let whom = format!("{told} {} {taken}", user(&token).unwrap_or_default());
        if socket {
            let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            stream.write_all(head).await?;
            for _ in 0..10 {
                // A text frame; its text is short.
                let mut frame = vec![0x81, whom.len() as u8];
                frame.extend_from_slice(whom.as_bytes());
                stream.write_all(&frame).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            stream.write_all(&CLOSE).await?;
            // Until the gateway has closed it, too.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            return Ok(());
        }
        if events {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head).await?;
            for _ in 0..10 {
                let chunk = format!("{:x}\r\n{whom}\r\n", whom.len());
                stream.write_all(chunk.as_bytes()).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            stream.write_all(b"0\r\n\r\n").await?;
        } else {
            let length = whom.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{whom}");
            stream.write_all(head.as_bytes()).await?;
        }
    }
}
