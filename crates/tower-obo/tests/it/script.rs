//! A token endpoint that says exactly what a test wants, byte for byte, also what no honest server
//! says.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use entra_emulator::{Emulator, demo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower_obo::{
    CoreBuilder, Entra, Issuers, KeySet, KeySource, RefreshReason, Refreshed, TestClock, Timestamp,
};

use crate::fixture::{Upstream, World, core_at};

/// What a connection does once it has got a request.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    /// Sends these bytes and closes.
    Say(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Sends this much of a body that never ends, as far as the other side lets it.
    Flood(&'static str),
}

impl Line {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        Self::Say(head.into())
    }
}

/// The server. Every request is answered by the line that is set when it arrives.
pub(crate) struct Script {
    line: Arc<Mutex<Line>>,
    requests: Arc<Mutex<Vec<String>>>,
    url: String,
    server: JoinHandle<()>,
}

impl Script {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let line = Arc::new(Mutex::new(Line::Reset));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (lines, seen) = (Arc::clone(&line), Arc::clone(&requests));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (lines, seen) = (Arc::clone(&lines), Arc::clone(&seen));
                tokio::spawn(async move {
                    if let Some((stream, request)) = read(stream).await {
                        seen.lock().unwrap().push(request);
                        let line = lines.lock().unwrap().clone();
                        say(stream, line).await;
                    }
                });
            }
        });
        Self {
            line,
            requests,
            url,
            server,
        }
    }

    pub(crate) fn will(&self, line: Line) {
        *self.line.lock().unwrap() = line;
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// A core whose keys are the emulator's and whose token endpoint is somewhere else.
pub(crate) async fn world_at(authority: &str) -> World {
    world_of(Emulator::builder().start().await.unwrap(), authority)
}

pub(crate) fn world_of(entra: Emulator, authority: &str) -> World {
    world_with(entra, authority, |builder| builder)
}

pub(crate) fn world_with(
    entra: Emulator,
    authority: &str,
    configure: impl FnOnce(CoreBuilder) -> CoreBuilder,
) -> World {
    let clock = TestClock::starting_now();
    let keys = Fixed::of(&entra);
    let contoso = Entra::tenant(demo::CONTOSO);
    let core = core_at(authority, contoso, &clock, |builder| {
        configure(builder.with_keys(keys))
    });
    World {
        entra,
        clock,
        core,
        upstream: Upstream::default(),
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn read(mut stream: TcpStream) -> Option<(TcpStream, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some((stream, text));
            }
        }
        // A handshake of TLS is no request, and all that comes before an answer.
        if bytes.first() == Some(&0x16) {
            return Some((stream, String::new()));
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn say(mut stream: TcpStream, line: Line) {
    // Whether the other side wants to hear it all is its own affair.
    match line {
        Line::Say(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Line::Reset => {
            let _ = stream.set_zero_linger();
        }
        Line::Flood(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&[b' '; 64 * 1024]).await.is_ok() {}
        }
    }
}

/// The emulator's keys, without any fetch.
#[derive(Debug)]
pub(crate) struct Fixed(Arc<KeySet>);

impl Fixed {
    pub(crate) fn of(entra: &Emulator) -> Self {
        let issuers = Issuers::new(&format!("{}/{{tenantid}}/v2.0", entra.url()))
            .with_v1(&format!("{}/{{tenantid}}/", entra.url()));
        let json = entra.jwks(None).to_string();
        let long = Duration::from_secs(1 << 40);
        let keys = KeySet::parse(json.as_bytes(), issuers, Timestamp::default(), long);
        Self(Arc::new(keys.unwrap()))
    }
}

impl KeySource for Fixed {
    fn current(&self) -> Option<Arc<KeySet>> {
        Some(Arc::clone(&self.0))
    }

    fn refresh(&self, _: RefreshReason) -> Option<Refreshed> {
        None
    }
}
