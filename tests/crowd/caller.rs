//! The good caller: a request every few milliseconds, on a connection that stays.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

/// What the good caller has seen; times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) calls: usize,
    pub(crate) failed: usize,
    pub(crate) median: f64,
    pub(crate) late: f64,
    pub(crate) longest: f64,
}

/// Until the gateway has its keys and the user's token.
pub(crate) async fn until_served(gateway: SocketAddr, token: &str) {
    for _ in 0..500 {
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        if get(&mut stream, token).await.is_ok_and(|served| served) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the gateway does not become ready");
}

pub(crate) async fn call(gateway: SocketAddr, token: &str, time: Duration) -> Seen {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let (mut times, mut failed) = (Vec::new(), 0);
    while begun.elapsed() < time {
        let asked = Instant::now();
        let served = timeout(Duration::from_secs(10), get(&mut stream, token)).await;
        times.push(asked.elapsed().as_secs_f64() * 1000.0);
        if !matches!(served, Ok(Ok(true))) {
            failed += 1;
            stream = TcpStream::connect(gateway).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort_by(f64::total_cmp);
    Seen {
        calls: times.len(),
        failed,
        median: times[times.len() / 2],
        late: times[times.len() * 99 / 100],
        longest: times[times.len() - 1],
    }
}

/// One request; whether it was served.
async fn get(stream: &mut TcpStream, token: &str) -> io::Result<bool> {
    let request =
        format!("GET /item HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4_096];
    while !answer.ends_with(b"an item") {
        let length = stream.read(&mut buffer).await?;
        answer.extend_from_slice(&buffer[..length]);
        if length == 0 || answer.len() > 12 && !answer.starts_with(b"HTTP/1.1 200") {
            return Ok(false);
        }
    }
    Ok(true)
}
