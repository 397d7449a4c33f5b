//! Connections to the upstream that are used again, and those that must not be.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    time,
};

use crate::{
    rig::Rig,
    upstream::{find, ok},
};

/// A listener whose connections hold little that is not read, and always as much.
fn small_listener() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket.listen(16).unwrap()
}

/// Answers an upload without reading it, and a request without a body at once.
async fn answers_early(mut stream: TcpStream) {
    let mut head = Vec::new();
    loop {
        while find(&head, b"\r\n\r\n").is_none() {
            if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
                return;
            }
        }
        let upload = head.starts_with(b"POST");
        if upload {
            // Meanwhile the gateway takes all that the client has.
            time::sleep(Duration::from_millis(300)).await;
        }
        head.clear();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if stream.write_all(answer).await.is_err() {
            return;
        }
        if upload {
            // It never reads on, and keeps the connection open.
            std::future::pending::<()>().await;
        }
    }
}

/// How many bytes the sockets on both sides of a connection take while nobody reads.
async fn capacity(address: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let bytes = vec![b'x'; 64 * 1024];
    let mut taken = 0;
    while let Ok(written) = time::timeout(Duration::from_millis(200), stream.write(&bytes)).await {
        taken += written.unwrap();
    }
    taken
}

#[tokio::test]
async fn an_upload_that_the_upstream_does_not_read_holds_up_nobody_else() {
    let listener = small_listener();
    let address = listener.local_addr().unwrap();
    let unread = small_listener();
    let size = capacity(unread.local_addr().unwrap()).await + 200 * 1024;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answers_early(stream));
        }
    });
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&format!("http://{address}")).unwrap();
            }
        },
    )
    .await;
    // All of the upload leaves the client, and its end stays behind in the gateway.
    let mut uploader = rig.client().await;
    let head = format!("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {size}\r\n\r\n");
    uploader.send(head).await;
    uploader.send(vec![b'x'; size]).await;
    assert_eq!(uploader.answer().await.unwrap().status, 200);
    let mut next = rig.client().await;
    assert_eq!(next.get("/y").await.status, 200);
}
