//! WebSockets between clients and upstreams that both speak TLS, and how a tunnel ends with and
//! without it.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _, future::poll_immediate};
use obo_gateway::Running;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, pem::PemObject as _},
    },
};
use tokio_tungstenite::{
    accept_async, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::{
    certificates::{Ca, Folder},
    client::in_time,
    rig::Rig,
};

const NOWHERE: &str = "http://127.0.0.1:9";
const OPEN: &str = "[[route]]\npath = '/*'\naccess = 'public'\nupgrade = ['websocket']";
const WISH: &str = "GET /ws HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// A length has no place there (RFC 9110 §8.6), and some say one.
const CHANGED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\nContent-Length: 3\r\n\r\n";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A gateway, and both sides of it: with TLS on both, or on neither.
struct Between {
    gateway: Running,
    upstream: TcpListener,
    secure: Option<Secure>,
}

struct Secure {
    client: TlsConnector,
    upstream: TlsAcceptor,
    _folder: Folder,
}

impl Between {
    async fn start(secure: bool) -> Self {
        let ca = secure.then(Ca::new);
        Self::believing(ca.as_ref(), ca.as_ref()).await
    }

    /// `ca` is that of both certificates, and `believed` that of upstreams that the gateway believes.
    async fn believing(ca: Option<&Ca>, believed: Option<&Ca>) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = upstream.local_addr().unwrap().port();
        let mut config = Rig::config(&format!("http://127.0.0.1:{port}"), NOWHERE, OPEN);
        let secure = ca.zip(believed).map(|(ca, believed)| {
            let folder = Folder::new();
            config.tls = Some(folder.put(&ca.issue()));
            for upstream in config.upstreams.values_mut() {
                upstream
                    .set_url(&format!("https://localhost:{port}"))
                    .unwrap();
                upstream.tls.ca_file = Some(folder.write("ca.pem", believed.pem()));
            }
            Secure {
                client: ca.client(None, &["http/1.1"]).into(),
                upstream: acceptor(ca),
                _folder: folder,
            }
        });
        Self {
            gateway: obo_gateway::start(config).await.unwrap(),
            upstream,
            secure,
        }
    }

    async fn connect(&self) -> Box<dyn Stream> {
        let stream = TcpStream::connect(self.gateway.local_addr()).await.unwrap();
        let Some(secure) = &self.secure else {
            return Box::new(stream);
        };
        let name = "localhost".try_into().unwrap();
        Box::new(in_time(secure.client.connect(name, stream)).await.unwrap())
    }

    /// The connection that the gateway has opened.
    async fn accept(&self) -> Box<dyn Stream> {
        let (stream, _) = in_time(self.upstream.accept()).await.unwrap();
        let Some(secure) = &self.secure else {
            return Box::new(stream);
        };
        let stream = in_time(secure.upstream.accept(stream)).await.unwrap();
        // There are no upgrades in HTTP/2, which this server would rather speak.
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        Box::new(stream)
    }

    /// Both ends of a tunnel, the client's first.
    async fn tunnel(&self) -> [Box<dyn Stream>; 2] {
        let mut client = self.connect().await;
        client.write_all(WISH.as_bytes()).await.unwrap();
        let mut upstream = self.accept().await;
        head(&mut upstream).await;
        upstream.write_all(CHANGED.as_bytes()).await.unwrap();
        let answer = head(&mut client).await.to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        assert!(!answer.contains("content-length"), "{answer}");
        [client, upstream]
    }
}

fn acceptor(ca: &Ca) -> TlsAcceptor {
    let identity = ca.issue();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config).into()
}

async fn head(stream: &mut Box<dyn Stream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_websocket_works_over_tls_and_to_an_upstream_over_tls() {
    let between = Between::start(true).await;
    let client = between.connect().await;
    let request = "wss://localhost/ws".into_client_request().unwrap();
    let opening = tokio::spawn(in_time(client_async(request, client)));
    let mut upstream = accept_async(between.accept().await).await.unwrap();
    let (mut client, answer) = opening.await.unwrap().unwrap();
    assert_eq!(answer.status(), 101);
    let echoing = tokio::spawn(async move {
        while let Some(Ok(message)) = upstream.next().await {
            if message.is_text() || message.is_binary() {
                upstream.send(message).await.unwrap();
            }
        }
    });
    for message in [
        Message::text("hello"),
        Message::binary(vec![7; 1024 * 1024]),
        Message::text("bye"),
    ] {
        in_time(client.send(message.clone())).await.unwrap();
        assert_eq!(in_time(client.next()).await.unwrap().unwrap(), message);
    }
    in_time(client.close(None)).await.unwrap();
    while in_time(client.next()).await.is_some() {}
    in_time(echoing).await.unwrap();
}

#[tokio::test]
async fn tl_01_there_is_no_tunnel_to_an_upstream_that_is_not_believed() {
    let between = Between::believing(Some(&Ca::new()), Some(&Ca::new())).await;
    let mut client = between.connect().await;
    client.write_all(WISH.as_bytes()).await.unwrap();
    let (stream, _) = in_time(between.upstream.accept()).await.unwrap();
    let secure = between.secure.as_ref().unwrap();
    assert!(in_time(secure.upstream.accept(stream)).await.is_err());
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

/// One side has said all that it wants to say, and still listens.
#[tokio::test]
async fn what_is_said_after_the_others_last_word_arrives_whole() {
    let piece = vec![7; 64 * 1024];
    for secure in [false, true] {
        for clients_last_word_is_first in [true, false] {
            let between = Between::start(secure).await;
            let mut ends = between.tunnel().await;
            if !clients_last_word_is_first {
                ends.reverse();
            }
            let [mut first, mut second] = ends;
            first.write_all(b"bye").await.unwrap();
            first.shutdown().await.unwrap();
            let mut heard = Vec::new();
            in_time(second.read_to_end(&mut heard)).await.unwrap();
            assert_eq!(heard, b"bye");
            // As much as there is room for while nobody listens.
            let (mut said, mut pending) = (0, 0);
            while pending < 20_000 {
                match poll_immediate(second.write(&piece)).await {
                    Some(written) => (said, pending) = (said + written.unwrap(), 0),
                    None => pending += 1,
                }
                tokio::task::yield_now().await;
            }
            let saying = tokio::spawn(async move { second.shutdown().await });
            let mut heard = Vec::new();
            in_time(first.read_to_end(&mut heard)).await.unwrap();
            assert_eq!(heard.len(), said, "over TLS: {secure}");
            saying.await.unwrap().unwrap();
        }
    }
}
