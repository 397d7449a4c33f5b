//! An upstream that speaks TLS: whom the gateway believes, what it shows, and what is spoken within.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use obo_gateway::{ClientCertificate, Config, StartError, Target};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

use crate::{
    client::in_time,
    rig::{PUBLIC, Rig},
    upstream::ok,
};

mod server;

use self::server::{Authority, Server};

#[tokio::test]
async fn the_upstream_chooses_between_http2_and_http1_and_gets_its_own_host() {
    let authority = Authority::new("chooses");
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], "HTTP/2.0"),
        (&["http/1.1"], "HTTP/1.1"),
        (&[], "HTTP/1.1"),
    ] {
        let server = Server::start(authority.issue(&["localhost"], |_| {}), alpn, None).await;
        let rig = server
            .rig("localhost", &authority.file("ca.pem"), |_| {})
            .await;
        let mut client = rig.client().await;
        for _ in 0..3 {
            let answer = client.get("/x").await;
            assert_eq!(answer.status, 200, "{alpn:?} {answer:?}");
            let port = server.address.port();
            assert_eq!(answer.body, format!("{version} localhost:{port}"));
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), 1, "{alpn:?}");
    }
}

/// What opens no WebSocket is no worse for anything else: a caller's wishes must not make the gateway
/// believe that the upstream cannot be reached.
#[tokio::test]
async fn wishes_for_a_websocket_to_an_upstream_of_http2_only_are_502_and_change_nothing_for_others()
{
    let authority = Authority::new("only-http2");
    let start = || Server::start(authority.issue(&["localhost"], |_| {}), &["h2"], None);
    let servers = [start().await, start().await];
    let file = "[[route]]\npath = '/*'\naccess = 'public'\nupgrade = ['websocket']";
    let change = |config: &mut Config| {
        for upstream in config.upstreams.values_mut() {
            upstream.set_url("https://localhost").unwrap();
            let target = |server: &Server| Target::Tcp {
                host: "localhost".to_owned(),
                port: server.address.port(),
            };
            upstream.addresses = servers.iter().map(target).collect();
            upstream.tls.ca_file = Some(authority.file("ca.pem"));
        }
    };
    let rig = Rig::new(file, |_| ok(), change).await;
    for _ in 0..3 {
        let answer = rig
            .exchange(
                "GET /ws HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
            )
            .await;
        assert_eq!(answer.status, 502);
        assert!(answer.body.contains("it speaks HTTP/2 only"), "{answer:?}");
    }
    let mut client = rig.client().await;
    for _ in 0..4 {
        assert_eq!(client.get("/x").await.status, 200);
    }
    for server in &servers {
        // A handshake that came to its end was for HTTP/2.
        assert_eq!(server.names().len(), 1, "both have their turns");
    }
}

/// An answer that is over when its connection is: over TLS that has to be said (RFC 9112 §9.8), or
/// whoever is between could cut it short.
#[tokio::test]
async fn h1_14_an_answer_without_a_length_is_whole_only_where_tls_says_that_it_is_over() {
    let authority = Authority::new("truncated");
    let (certificate, key) = authority.issue(&["localhost"], |_| {});
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let certificates = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut head).await.unwrap() > 0);
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\nhello")
                .await
                .unwrap();
            stream.flush().await.unwrap();
            if head.starts_with(b"GET /whole") {
                stream.shutdown().await.unwrap();
            } else {
                // The end of the TCP connection, and none of TLS.
                stream.get_mut().0.shutdown().await.unwrap();
            }
        }
    });
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&url).unwrap();
                upstream.tls.ca_file = Some(authority.file("ca.pem"));
            }
        },
    )
    .await;
    let mut client = rig.client().await;
    let answer = client.get("/whole").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    client.send("GET /cut HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    assert!(client.answer().await.is_none(), "half of it is no answer");
}

/// Speaks HTTP/1 on the first connection, where it answers one request and closes at the next, and
/// HTTP/2 on the others, where it refuses every stream. Counts the requests.
async fn changeable(authority: &Authority) -> (SocketAddr, Arc<AtomicUsize>) {
    let (certificate, key) = authority.issue(&["localhost"], |_| {});
    let acceptor = |alpn: &[u8]| {
        let certificates = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_no_client_auth();
        let mut config = builder.with_single_cert(certificates, key).unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    };
    let (http1, http2) = (acceptor(b"http/1.1"), acceptor(b"h2"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = http1.accept(stream).await.unwrap();
        let count = Arc::clone(&counted);
        tokio::spawn(async move {
            for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""] {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut head).await.unwrap() > 0);
                }
                count.fetch_add(1, Ordering::SeqCst);
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
        });
        while let Ok((stream, _)) = listener.accept().await {
            let (http2, count) = (http2.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                let stream = http2.accept(stream).await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                }
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn h1_15_a_request_that_was_lost_over_http1_and_over_http2_is_not_sent_a_third_time() {
    let authority = Authority::new("changeable");
    let (address, seen) = changeable(&authority).await;
    let url = format!("https://localhost:{}", address.port());
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            config.limits.head_timeout = Duration::from_millis(200);
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&url).unwrap();
                upstream.tls.ca_file = Some(authority.file("ca.pem"));
            }
        },
    )
    .await;
    let mut client = rig.client().await;
    assert_eq!(client.get("/x").await.status, 200);
    // Whoever is too slow is found by what also sees that the upstream's connection waits.
    let mut slow = rig.client().await;
    slow.send("GET").await;
    slow.rest().await;
    assert_eq!(client.get("/y").await.status, 502);
    assert_eq!(seen.load(Ordering::SeqCst), 3, "one, and one twice");
}

/// Whoever waits for `100 Continue` before it sends a body is not to blame for what the gateway waited for until
/// then.
#[tokio::test]
async fn a_body_that_the_gateway_asks_for_late_is_waited_for_as_long_as_any() {
    const LIMIT: Duration = Duration::from_secs(1);
    let authority = Authority::new("asks-late");
    let server = Server::start(authority.issue(&["localhost"], |_| {}), &[], None).await;
    // All that goes to it is held up for longer than a body may stand still.
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = slow.local_addr().unwrap().port();
    let to = server.address;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = slow.accept().await {
            let mut upstream = TcpStream::connect(to).await.unwrap();
            time::sleep(LIMIT * 3).await;
            let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        }
    });
    let rig = server
        .rig("localhost", &authority.file("ca.pem"), |config| {
            config.limits.idle_timeout = LIMIT;
            for upstream in config.upstreams.values_mut() {
                let url = format!("https://localhost:{port}");
                upstream.set_url(&url).unwrap();
            }
        })
        .await;
    let mut client = rig.client().await;
    let begun = time::Instant::now();
    client
        .send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let asked = client.until("\r\n\r\n").await.unwrap();
    assert_eq!(asked, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(begun.elapsed() > LIMIT * 2, "{:?}", begun.elapsed());
    time::sleep(LIMIT / 2).await;
    client.send("hello").await;
    assert_eq!(client.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn tl_01_a_certificate_of_an_unknown_authority_for_another_name_or_of_the_past_is_502() {
    let authority = Authority::new("believed");
    let stranger = Authority::new("stranger");
    let past = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    for (what, certificate) in [
        ("unknown", stranger.issue(&["localhost"], |_| {})),
        ("name", authority.issue(&["elsewhere.example"], |_| {})),
        ("address", authority.issue(&["127.0.0.1"], |_| {})),
        ("expired", authority.issue(&["localhost"], past)),
    ] {
        let server = Server::start(certificate, &["h2", "http/1.1"], None).await;
        let rig = server
            .rig("localhost", &authority.file("ca.pem"), |_| {})
            .await;
        let answer = rig.client().await.get("/x").await;
        assert_eq!(answer.status, 502, "{what}");
        assert!(answer.body.contains("\"actor\":\"upstream\""), "{what}");
        assert!(server.connections.load(Ordering::SeqCst) > 0, "{what}");
    }
}

/// The name of the upstream's `url` is what counts, wherever its machines are: it is what is asked for
/// in the handshake (SNI), and whom the certificate has to be for.
#[tokio::test]
async fn tl_01_the_name_of_the_url_is_asked_for_and_judged_and_not_that_of_the_address() {
    let authority = Authority::new("names");
    let name = "api.example";
    let behind = |server: &Server| {
        let (address, ca_file) = (server.address, authority.file("ca.pem"));
        move |config: &mut Config| {
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&format!("https://{name}")).unwrap();
                upstream.addresses = vec![Target::Tcp {
                    host: "localhost".to_owned(),
                    port: address.port(),
                }];
                upstream.tls.ca_file = Some(ca_file.clone());
            }
        }
    };
    for alpn in ["h2", "http/1.1"] {
        let server = Server::start(authority.issue(&[name], |_| {}), &[alpn], None).await;
        let rig = Rig::public_with(|_| ok(), behind(&server)).await;
        let answer = rig.client().await.get("/x").await;
        assert_eq!(answer.status, 200, "{alpn} {answer:?}");
        assert!(answer.body.ends_with(" api.example"), "{}", answer.body);
        assert_eq!(server.names(), [Some(name.to_owned())], "{alpn}");

        let others = ["localhost", "127.0.0.1", "www.api.example", "*.example.org"];
        let certificate = authority.issue(&others, |_| {});
        let server = Server::start(certificate, &[alpn], None).await;
        let rig = Rig::public_with(|_| ok(), behind(&server)).await;
        assert_eq!(rig.client().await.get("/x").await.status, 502, "{alpn}");
        assert!(server.connections.load(Ordering::SeqCst) > 0, "{alpn}");
    }
}

/// The files of `upstreams` are looked at every ten seconds, when somebody connects.
#[tokio::test]
async fn an_authority_that_is_put_in_the_place_of_another_is_believed_while_the_gateway_runs() {
    let [old, new] = [Authority::new("old-ca"), Authority::new("new-ca")];
    let server = Server::start(new.issue(&["localhost"], |_| {}), &["h2", "http/1.1"], None).await;
    let ca_file = old.file("ca.pem");
    let rig = server.rig("localhost", &ca_file, |_| {}).await;
    let mut client = rig.client().await;
    assert_eq!(client.get("/x").await.status, 502);
    std::fs::copy(new.file("ca.pem"), &ca_file).unwrap();
    in_time(async {
        while client.get("/x").await.status != 200 {
            time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_asks_for_a_certificate_gets_ours() {
    let authority = Authority::new("mutual");
    let clients = Authority::new("clients");
    let server = Server::start(
        authority.issue(&["127.0.0.1"], |_| {}),
        &["h2"],
        Some(&clients),
    )
    .await;
    let ours = clients.issue_files("gateway");
    let ca_file = authority.file("ca.pem");
    let rig = server
        .rig("127.0.0.1", &ca_file, |config| {
            for upstream in config.upstreams.values_mut() {
                upstream.tls.client = Some(ours.clone());
            }
        })
        .await;
    assert_eq!(rig.client().await.get("/x").await.status, 200);
    let pem = std::fs::read(&ours.certificate).unwrap();
    let certificate = CertificateDer::from_pem_slice(&pem).unwrap();
    assert_eq!(
        server.shown.lock().unwrap()[..],
        // An address is no name, and is not said (RFC 6066 §3).
        [(None, Some(certificate))]
    );
    let without = server.rig("127.0.0.1", &ca_file, |_| {}).await;
    assert_eq!(without.client().await.get("/x").await.status, 502);
}

#[test]
fn a_gateway_whose_tls_files_cannot_be_used_does_not_start_and_says_which() {
    let authority = Authority::new("files");
    let ours = authority.issue_files("gateway");
    let empty = authority.file("empty.pem");
    std::fs::write(&empty, "nothing\n").unwrap();
    let missing = authority.file("missing.pem");
    for (ca, client, wanted) in [
        (&missing, None, "missing.pem"),
        (&empty, None, "empty.pem"),
        (
            &authority.file("ca.pem"),
            Some(ClientCertificate::new(&ours.certificate, &missing)),
            "missing.pem",
        ),
        (
            &authority.file("ca.pem"),
            Some(ClientCertificate::new(&empty, &ours.key)),
            "empty.pem",
        ),
    ] {
        let mut config = Rig::config("http://127.0.0.1:9", "http://127.0.0.1:9", PUBLIC);
        for upstream in config.upstreams.values_mut() {
            upstream.set_url("https://127.0.0.1:9").unwrap();
            upstream.tls.ca_file = Some(ca.clone());
            upstream.tls.client = client.clone();
        }
        match obo_gateway::check(&config) {
            Err(error @ StartError::Problems(_)) => {
                let error = error.to_string();
                assert!(
                    error.contains(wanted) && error.contains("default"),
                    "{error}"
                );
            }
            other => panic!("{wanted}: {other:?}"),
        }
    }
}
