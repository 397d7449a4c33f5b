//! An upstream behind a socket in the file system.

use std::path::PathBuf;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
};

use crate::{
    client::in_time,
    rig::{PUBLIC, Rig},
    upstream::{find, ok},
};

/// A path that is gone with the test.
struct Path(PathBuf);

impl Path {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("obo-{name}-{}.sock", std::process::id())))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn rig(path: &Path) -> Rig {
    rig_with(path, PUBLIC).await
}

async fn rig_with(path: &Path, file: &str) -> Rig {
    let url = format!("unix:{}", path.0.display());
    Rig::new(
        file,
        |_| ok(),
        |config| {
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&url).unwrap();
            }
        },
    )
    .await
}

#[tokio::test]
async fn requests_reach_an_upstream_behind_a_unix_socket() {
    let path = Path::new("upstream");
    let listener = UnixListener::bind(&path.0).unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heads = Vec::new();
        for _ in 0..2 {
            let mut head = Vec::new();
            while find(&head, b"\r\n\r\n").is_none() {
                stream.read_buf(&mut head).await.unwrap();
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            heads.push(String::from_utf8(head).unwrap());
        }
        heads
    });
    let rig = rig(&path).await;
    let mut client = rig.client().await;
    for target in ["/x", "/y"] {
        let answer = client.get(target).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
    let heads = serving.await.unwrap();
    assert!(heads[0].starts_with("GET /x HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[1].starts_with("GET /y HTTP/1.1\r\n"), "{heads:?}");
    assert!(
        heads[0].to_lowercase().contains("\r\nhost: localhost\r\n"),
        "{heads:?}"
    );
}

#[tokio::test]
async fn a_unix_socket_that_is_not_there_is_502_until_it_is() {
    let path = Path::new("late");
    let rig = rig(&path).await;
    assert_eq!(rig.client().await.get("/x").await.status, 502);
    let listener = UnixListener::bind(&path.0).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while find(&head, b"\r\n\r\n").is_none() {
            stream.read_buf(&mut head).await.unwrap();
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        std::future::pending::<()>().await;
    });
    assert_eq!(rig.client().await.get("/x").await.status, 200);
}

#[tokio::test]
async fn a_websocket_is_opened_to_an_upstream_behind_a_unix_socket() {
    let path = Path::new("tunnel");
    let listener = UnixListener::bind(&path.0).unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while find(&head, b"\r\n\r\n").is_none() {
            stream.read_buf(&mut head).await.unwrap();
        }
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        String::from_utf8(head).unwrap().to_lowercase()
    });
    let file = "[[route]]\npath = '/*'\naccess = 'public'\nupgrade = ['websocket']";
    let rig = rig_with(&path, file).await;
    let mut client = rig.client().await;
    client
        .send(
            "GET /ws HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.unwrap().status, 101);
    client.send("there and back").await;
    assert!(client.until("there and back").await.is_some());
    drop(client);
    let head = in_time(serving).await.unwrap();
    assert!(head.contains("\r\nhost: localhost\r\n"), "{head}");
}
