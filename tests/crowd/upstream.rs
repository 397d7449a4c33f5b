//! The upstream: an item, or a lot of bytes, or whatever is uploaded thrown away.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

const LOT: usize = 64 * 1024 * 1024;
pub(crate) const HUGE: usize = 1024 * 1024 * 1024;

/// Without a length, so that only what comes behind it tells its end.
const PAGE: usize = 6_000;

pub(crate) async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length, mut path) = (String::new(), 0, String::new());
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or("/").to_owned();
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = (&mut stream).take(length);
        tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
        if let "/big" | "/huge" = &*path {
            let lot = if path == "/big" { LOT } else { HUGE };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {lot}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            for _ in 0..lot / 65_536 {
                stream.write_all(&[b'x'; 65_536]).await?;
            }
        } else if path == "/page" {
            let page = "x".repeat(PAGE);
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let answer = format!("{head}{PAGE:x}\r\n{page}\r\n0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await?;
        } else {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nan item";
            stream.write_all(answer).await?;
        }
    }
}
