//! TLS from clients: section 14 of the catalogue.

use std::{io, sync::Arc, time::Duration};

use obo_gateway::{StartError, Tls};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector, client::TlsStream, rustls::ClientConfig, rustls::pki_types::CertificateDer,
};

use crate::{
    admin::{admin, with_admin},
    certificates::{Ca, Folder},
    client::{Client, in_time},
    rig::{PUBLIC, Rig},
    upstream::ok,
};

const NOWHERE: &str = "http://127.0.0.1:9";
const SHORT: Duration = Duration::from_millis(100);
const GET: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A gateway with a certificate of an authority that the test's clients know.
struct Secured {
    rig: Rig,
    ca: Ca,
    folder: Folder,
}

impl Secured {
    async fn start() -> Self {
        Self::with(|_, _| {}).await
    }

    async fn with(change: impl FnOnce(&Folder, &mut obo_gateway::Config)) -> Self {
        let ca = Ca::new();
        let folder = Folder::new();
        let identity = ca.issue();
        let rig = Rig::public_with(
            |_| ok(),
            |config| {
                config.tls = Some(folder.put(&identity));
                change(&folder, config);
            },
        )
        .await;
        Self { rig, ca, folder }
    }

    async fn shake(&self, client: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let address = self.rig.gateway.local_addr();
        let stream = TcpStream::connect(address).await?;
        let name = "localhost".try_into().unwrap();
        in_time(TlsConnector::from(client).connect(name, stream)).await
    }

    /// The whole of an answer over HTTP/1.
    async fn get(&self, client: Arc<ClientConfig>) -> io::Result<String> {
        let mut stream = self.shake(client).await?;
        stream.write_all(GET.as_bytes()).await?;
        let mut text = String::new();
        in_time(stream.read_to_string(&mut text)).await?;
        Ok(text)
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self) -> Option<CertificateDer<'static>> {
        let stream = self.shake(self.ca.client(None, &[])).await.ok()?;
        let shown = stream.get_ref().1.peer_certificates()?.first()?;
        Some(shown.clone().into_owned())
    }

    async fn until_shown(&self, certificate: &CertificateDer<'static>) {
        in_time(async {
            while self.shown().await.as_ref() != Some(certificate) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_over_tls_is_told_to_the_upstream_as_https() {
    let secured = Secured::start().await;
    assert!(secured.rig.gateway.url().starts_with("https://"));
    for alpn in [&[][..], &["http/1.1"], &["http/1.1", "h2"]] {
        let client = secured.ca.client(None, alpn);
        if alpn.len() < 2 {
            let answer = secured.get(client).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        } else {
            // The gateway's choice where the client can do both.
            let stream = secured.shake(client).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (mut h2, connection) = h2::client::handshake(stream).await.unwrap();
            let connection = tokio::spawn(connection);
            let request = http::Request::get("https://localhost/x").body(()).unwrap();
            let (answer, _) = h2.send_request(request, true).unwrap();
            assert_eq!(in_time(answer).await.unwrap().status(), 200);
            drop(h2);
            in_time(connection).await.unwrap().unwrap();
        }
    }
    let seen = secured.rig.upstream.seen();
    assert_eq!(seen.len(), 3);
    for seen in seen {
        assert_eq!(seen.line(), "GET /x HTTP/1.1");
        assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
        assert_eq!(
            seen.all("forwarded"),
            ["for=127.0.0.1;host=\"localhost\";proto=https"]
        );
    }
}

#[tokio::test]
async fn a_client_that_speaks_nothing_of_ours_is_refused() {
    let secured = Secured::start().await;
    let refused = secured.shake(secured.ca.client(None, &["spdy/1"])).await;
    assert!(refused.is_err());
    // HTTP without TLS: no answer, since none would be understood, and nothing to the upstream.
    let mut plain = secured.rig.client().await;
    plain.send(GET).await;
    assert!(!plain.rest().await.contains("HTTP/1.1 200"));
    secured.rig.assert_nothing_reached_the_upstream();
    assert!(secured.get(secured.ca.client(None, &[])).await.is_ok());
}

#[tokio::test]
async fn tl_03_a_client_of_tls_1_1_or_older_is_refused() {
    let secured = Secured::start().await;
    for (minor, refused) in [(1, true), (2, true), (3, false)] {
        // ClientHello: a version, 32 random bytes, no session, a suite that the gateway has, no
        // compression; a group and a way to sign.
        let mut hello = vec![3, minor];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 16]);
        hello.extend([0, 10, 0, 4, 0, 2, 0, 0x17, 0, 13, 0, 4, 0, 2, 4, 3]);
        let length = u8::try_from(hello.len()).unwrap();
        let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
        record.extend(hello);
        let mut client = secured.rig.client().await;
        client.send(record).await;
        let said = client.exactly_bytes(7).await.unwrap();
        if refused {
            // Alert: fatal, protocol_version (RFC 8446 §6).
            assert_eq!((said[0], &said[5..]), (21, &[2, 70][..]), "{said:?}");
            client.rest().await;
        } else {
            // ServerHello.
            assert_eq!((said[0], said[5]), (22, 2), "{said:?}");
        }
    }
    secured.rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn tl_04_a_certificate_is_renewed_without_a_restart_and_a_broken_one_keeps_the_old() {
    let secured = Secured::start().await;
    let old = secured.shown().await.unwrap();
    let kept = secured.shake(secured.ca.client(None, &[])).await.unwrap();

    // A key that is not the certificate's, then nothing that is a certificate at all.
    let second = secured.ca.issue();
    secured
        .folder
        .write("key.pem", secured.ca.issue().key_pem());
    secured
        .folder
        .write("certificate.pem", "-----BEGIN NOTHING");
    let third = secured.ca.issue();
    // It is looked at each second, and has to have settled.
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(secured.shown().await.unwrap(), old);
    }

    secured.folder.put(&second);
    secured.until_shown(&second.certificate).await;
    secured.folder.put(&third);
    secured.until_shown(&third.certificate).await;

    // Who was connected all the time still is.
    let mut kept = kept;
    kept.write_all(GET.as_bytes()).await.unwrap();
    let mut text = String::new();
    in_time(kept.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
}

#[tokio::test]
async fn when_the_certificate_ends_is_told_of_the_one_that_is_shown() {
    let secured = Secured::with(|folder, config| {
        with_admin(config);
        config.tls = Some(folder.put(&Ca::new().issue_until(2030)));
    })
    .await;
    let mut probe = admin(&secured.rig).await;
    let told = "obo_certificate_expires_timestamp_seconds{use=\"listener\"}";
    let figures = probe.figures().await;
    assert!(
        figures.contains(&format!("\n{told} 1893456000\n")),
        "{figures}"
    );
    assert!(!figures.contains("use=\"client_credential\""), "{figures}");

    secured.folder.put(&secured.ca.issue_until(2040));
    in_time(async {
        while !probe
            .figures()
            .await
            .contains(&format!("\n{told} 2208988800\n"))
        {
            tokio::time::sleep(SHORT).await;
        }
    })
    .await;
    // One that cannot be used is not shown.
    secured
        .folder
        .write("certificate.pem", "-----BEGIN NOTHING");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let figures = probe.figures().await;
    assert!(
        figures.contains(&format!("\n{told} 2208988800\n")),
        "{figures}"
    );
}

#[tokio::test]
async fn only_clients_that_the_authority_vouches_for_are_served() {
    let clients = Ca::new();
    let pem = clients.pem();
    let secured = Secured::with(|folder, config| {
        let tls = config.tls.as_mut().unwrap();
        tls.client_ca = Some(folder.write("clients.pem", pem));
    })
    .await;
    let stranger = Ca::new().issue();
    assert!(secured.get(secured.ca.client(None, &[])).await.is_err());
    let foreign = secured.ca.client(Some(&stranger), &[]);
    assert!(secured.get(foreign).await.is_err());
    secured.rig.assert_nothing_reached_the_upstream();
    let known = secured.ca.client(Some(&clients.issue()), &[]);
    let answer = secured.get(known).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn another_authority_of_clients_takes_the_place_of_the_old_one_while_the_gateway_runs() {
    let [old, new] = [Ca::new(), Ca::new()];
    let secured = Secured::with(|folder, config| {
        let tls = config.tls.as_mut().unwrap();
        tls.client_ca = Some(folder.write("clients.pem", old.pem()));
    })
    .await;
    let [before, after] = [&old, &new].map(|ca| secured.ca.client(Some(&ca.issue()), &[]));
    assert!(secured.get(Arc::clone(&before)).await.is_ok());
    assert!(secured.get(Arc::clone(&after)).await.is_err());
    secured.folder.write("clients.pem", new.pem());
    in_time(async {
        while secured.get(Arc::clone(&after)).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Nor by the session that it had.
    assert!(secured.get(before).await.is_err());
}

#[tokio::test]
async fn li_01_a_handshake_that_does_not_end_is_cut_off() {
    // As long as one that ends may take on a machine that is busy.
    let limit = Duration::from_secs(1);
    let secured = Secured::with(|_, config| config.limits.head_timeout = limit).await;
    let mut clients = Vec::new();
    for begun in [&b""[..], &[22, 3, 1, 0, 200, 1]] {
        let mut client = Client::connect(secured.rig.gateway.local_addr()).await;
        client.send(begun).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.rest().await;
    }
    assert!(secured.get(secured.ca.client(None, &[])).await.is_ok());
}

#[tokio::test]
async fn a_gateway_without_its_certificate_does_not_start() {
    let folder = Folder::new();
    let identity = Ca::new().issue();
    let other = Ca::new().issue();
    let good = folder.put(&identity);
    let empty = folder.write("empty.pem", "");
    let wrong = folder.write("wrong.pem", other.key_pem());
    let mut cases = Vec::new();
    for (key, certificate, private) in [
        ("tls.certificate", folder.path("absent"), good.key.clone()),
        ("tls.certificate", empty.clone(), good.key.clone()),
        ("tls.key", good.certificate.clone(), empty.clone()),
        ("tls.certificate", good.certificate.clone(), wrong),
    ] {
        cases.push((key, Tls::new(certificate, private)));
    }
    let mut clients = good.clone();
    clients.client_ca = Some(empty);
    cases.push(("tls.client_ca", clients));
    for (key, tls) in cases {
        let mut config = Rig::config(NOWHERE, NOWHERE, PUBLIC);
        config.tls = Some(tls.clone());
        let same = config.clone();
        // Within a runtime, and without one of its own left behind.
        let Err(StartError::Problems(checked)) = obo_gateway::check(&same) else {
            panic!("{tls:?}");
        };
        let keys: Vec<_> = checked.iter().map(obo_gateway::Problem::key).collect();
        assert_eq!(keys, [key], "{tls:?}");
        let error = obo_gateway::start(config).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("{key}: ")), "{tls:?}: {text}");
    }
}
