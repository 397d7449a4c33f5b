//! Connections to the upstream that are used again, and those that must not be.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, oneshot},
    time,
};

use crate::{
    client::in_time,
    http2::connect,
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

/// Answers an upload without reading it, once the client has sent it, and a request without a body at once.
async fn answers_early(mut stream: TcpStream, sent: Arc<Notify>) {
    let mut head = Vec::new();
    loop {
        while find(&head, b"\r\n\r\n").is_none() {
            if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
                return;
            }
        }
        let upload = head.starts_with(b"POST");
        if upload {
            sent.notified().await;
            // Meanwhile the gateway takes what is on its way.
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

async fn rig_before(upstream: SocketAddr) -> Rig {
    Rig::public_with(
        |_| ok(),
        |config| {
            for own in config.upstreams.values_mut() {
                own.set_url(&format!("http://{upstream}")).unwrap();
            }
        },
    )
    .await
}

#[tokio::test]
async fn an_upload_that_the_upstream_does_not_read_holds_up_nobody_else() {
    let listener = small_listener();
    let address = listener.local_addr().unwrap();
    let unread = small_listener();
    let size = capacity(unread.local_addr().unwrap()).await + 200 * 1024;
    let sent = Arc::new(Notify::new());
    let told = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answers_early(stream, Arc::clone(&told)));
        }
    });
    let rig = rig_before(address).await;
    // All of the upload leaves the client, and its end stays behind in the gateway.
    let mut uploader = rig.client().await;
    let head = format!("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {size}\r\n\r\n");
    uploader.send(head).await;
    uploader.send(vec![b'x'; size]).await;
    sent.notify_one();
    assert_eq!(uploader.answer().await.unwrap().status, 200);
    let mut next = rig.client().await;
    assert_eq!(next.get("/y").await.status, 200);
}

const UPLOAD: usize = 32 * 1024 * 1024;

/// Answers the first request, and the second without end while it reads it to its end.
async fn answers_for_ever(mut stream: TcpStream, read: oneshot::Sender<()>) {
    let mut head = Vec::new();
    while find(&head, b"\r\n\r\n").is_none() {
        stream.read_buf(&mut head).await.unwrap();
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    stream.write_all(answer).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let mut upload = Vec::new();
    reader.read_buf(&mut upload).await.unwrap();
    tokio::spawn(async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
        let mut bytes = head.as_bytes().to_vec();
        while writer.write_all(&bytes).await.is_ok() {
            bytes = vec![b'x'; 64 * 1024];
        }
    });
    let mut left = UPLOAD - upload.len();
    let mut bytes = vec![0; 64 * 1024];
    while left > 0 {
        let read = reader.read(&mut bytes).await.unwrap();
        assert!(read > 0);
        left = left.saturating_sub(read);
    }
    read.send(()).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn an_upload_goes_on_while_the_client_does_not_read_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = rig_before(listener.local_addr().unwrap()).await;
    let (read, was_read) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answers_for_ever(stream, read).await;
    });
    let mut client = rig.client().await;
    // On a connection that has served a request without a body.
    assert_eq!(client.get("/x").await.status, 200);
    let head = format!("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {UPLOAD}\r\n\r\n");
    client.send(head).await;
    for _ in 0..UPLOAD / (64 * 1024) {
        in_time(client.stream.write_all(&[b'x'; 64 * 1024]))
            .await
            .unwrap();
    }
    in_time(was_read).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_the_upstream_closes_while_nobody_has_it_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = rig_before(listener.local_addr().unwrap()).await;
    let (close, closes) = oneshot::channel();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
        closes.await.unwrap();
        stream.shutdown().await.unwrap();
        // The gateway's end.
        stream.read(&mut bytes).await.unwrap()
    });
    let mut client = rig.client().await;
    assert_eq!(client.get("/x").await.status, 200);
    close.send(()).unwrap();
    assert_eq!(in_time(serving).await.unwrap(), 0);
}

/// An upload that the upstream does not read, which says `answer` at once or nothing.
async fn rig_before_a_deaf_one(answer: &'static str) -> Rig {
    let listener = small_listener();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 20];
                let _ = stream.read_exact(&mut head).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                std::future::pending::<()>().await;
            });
        }
    });
    Rig::public_with(
        |_| ok(),
        |config| {
            config.limits.response_timeout = Duration::from_millis(300);
            for own in config.upstreams.values_mut() {
                own.set_url(&format!("http://{address}")).unwrap();
            }
        },
    )
    .await
}

const EARLY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Nobody looks at such a connection any more, and an upstream that never reads would keep it for ever.
#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing_behind_that_waits_for_the_upstream() {
    for (answer, status) in [("", 504), (EARLY, 200)] {
        let rig = rig_before_a_deaf_one(answer).await;
        let mut client = rig.client().await;
        let head = format!("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: {UPLOAD}\r\n\r\n");
        client.send(head).await;
        let (mut reader, mut writer) = client.stream.into_split();
        // All that is on its way would be kept with it.
        let sending =
            tokio::spawn(
                async move { while writer.write_all(&[b'x'; 64 * 1024]).await.is_ok() {} },
            );
        let mut answered = Vec::new();
        in_time(reader.read_to_end(&mut answered)).await.ok();
        let answered = String::from_utf8_lossy(&answered).into_owned();
        assert!(
            answered.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answered}"
        );
        in_time(sending).await.unwrap();
    }
}

#[tokio::test]
async fn over_http_2_the_stream_of_an_upload_that_is_given_up_ends() {
    for (early, status) in [("", 504), (EARLY, 200)] {
        let rig = rig_before_a_deaf_one(early).await;
        let (mut client, _connection) = connect(&rig).await;
        let post = Request::post("http://gw/x").body(()).unwrap();
        let (answer, mut sending) = client.send_request(post, false).unwrap();
        let upload = Bytes::from(vec![b'x'; UPLOAD]);
        sending.send_data(upload, false).unwrap();
        assert_eq!(in_time(answer).await.unwrap().status(), status);
        // Or it would count as one of those that this client may have open, for ever.
        let reset = std::future::poll_fn(|cx| sending.poll_reset(cx));
        assert_eq!(in_time(reset).await.unwrap(), h2::Reason::NO_ERROR);
    }
}
