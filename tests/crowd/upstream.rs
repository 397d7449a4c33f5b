//! The upstream: an item, or a lot of bytes, or whatever is uploaded thrown away.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

const LOT: usize = 64 * 1024 * 1024;

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
        let (mut line, mut length, mut big) = (String::new(), 0, false);
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            big |= line.starts_with("GET /big ");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = (&mut stream).take(length);
        tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
        if big {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LOT}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            for _ in 0..LOT / 65_536 {
                stream.write_all(&[b'x'; 65_536]).await?;
            }
        } else {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nan item";
            stream.write_all(answer).await?;
        }
    }
}
