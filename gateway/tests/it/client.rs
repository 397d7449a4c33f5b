//! A client that sends exactly the bytes it is given.

use std::{future::Future, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time,
};

use crate::upstream::find;

/// No test waits longer than this for anything: longer than a machine may be busy with all the others.
pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    match time::timeout(Duration::from_secs(60), future).await {
        Ok(output) => output,
        Err(_) => panic!("nothing happened in 60 seconds"),
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = in_time(TcpStream::connect(address)).await.unwrap();
        Self::over(stream)
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time(self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap();
    }

    /// Sends what may not all be taken: a peer that refuses early may close.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = in_time(self.stream.write_all(bytes.as_ref())).await;
    }

    async fn more(&mut self) -> bool {
        matches!(
            in_time(self.stream.read_buf(&mut self.buffer)).await,
            Ok(1..)
        )
    }

    /// The bytes up to and including `what`, or `None` where the connection ends before.
    pub(crate) async fn until(&mut self, what: &str) -> Option<String> {
        loop {
            if let Some(at) = find(&self.buffer, what.as_bytes()) {
                let text = self.buffer.drain(..at + what.len()).collect();
                return Some(String::from_utf8(text).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next response, or `None` where the connection ends without a whole one.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET").await
    }

    /// The next response, which has no body where the method was HEAD.
    pub(crate) async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let head = self.until("\r\n\r\n").await?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        let bodyless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
        if bodyless {
            return Some(answer);
        }
        if answer.all("transfer-encoding") == ["chunked"] {
            loop {
                let size = self.until("\r\n").await?;
                let size = usize::from_str_radix(size.trim(), 16).ok()?;
                let chunk = self.exactly(size + 2).await?;
                if size == 0 {
                    return Some(answer);
                }
                answer.body.push_str(chunk.trim_end_matches("\r\n"));
            }
        }
        let length = answer.all("content-length").first()?.parse().ok()?;
        answer.body = self.exactly(length).await?;
        Some(answer)
    }

    async fn exactly(&mut self, length: usize) -> Option<String> {
        let bytes = self.exactly_bytes(length).await?;
        Some(String::from_utf8(bytes).unwrap())
    }

    pub(crate) async fn exactly_bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.more().await {
                return None;
            }
        }
        Some(self.buffer.drain(..length).collect())
    }

    /// Everything until the peer closes.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// What `/metrics` says; this is the admin listener on loopback.
    pub(crate) async fn figures(&mut self) -> String {
        self.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        let answer = self.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: gw\r\n\r\n"))
            .await;
        self.answer().await.unwrap()
    }
}
