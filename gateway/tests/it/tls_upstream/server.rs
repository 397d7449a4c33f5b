//! Upstreams that speak TLS, and who vouches for them.

use super::*;

/// A certification authority, and files that are gone with it.
pub(super) struct Authority {
    pub(super) issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = std::env::temp_dir().join(format!("obo-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A certificate for `names` and its key, as PEM.
    pub(super) fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// The same, in files.
    pub(super) fn issue_files(&self, name: &str) -> ClientCertificate {
        let (certificate, key) = self.issue(&[name], |_| {});
        let files = ["certificate", "key"].map(|kind| self.file(&format!("{name}-{kind}.pem")));
        std::fs::write(&files[0], certificate).unwrap();
        std::fs::write(&files[1], key).unwrap();
        let [certificate, key] = files;
        ClientCertificate::new(certificate, key)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An https server that answers with the version it was spoken to in.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) connections: Arc<AtomicUsize>,
    /// What each handshake said of whom it is for (SNI), and the certificate that it showed.
    pub(super) shown: Arc<Mutex<Vec<Shown>>>,
}

pub(super) type Shown = (Option<String>, Option<CertificateDer<'static>>);

impl Server {
    /// `clients`: the authority that clients' certificates must be of.
    pub(super) async fn start(
        (certificate, key): (String, String),
        alpn: &[&str],
        clients: Option<&Authority>,
    ) -> Self {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::new(aws_lc_rs::default_provider()),
                );
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let certificates = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(certificates, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&shown);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let session = stream.get_ref().1;
                    let name = session.server_name().map(str::to_owned);
                    let certificate = session
                        .peer_certificates()
                        .and_then(<[_]>::first)
                        .map(|first| first.clone().into_owned());
                    noted.lock().unwrap().push((name, certificate));
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                });
            }
        });
        Self {
            address,
            connections,
            shown,
        }
    }

    /// The names that were asked for, one a handshake.
    pub(super) fn names(&self) -> Vec<Option<String>> {
        let shown = self.shown.lock().unwrap();
        shown.iter().map(|(name, _)| name.clone()).collect()
    }

    /// A gateway in front of it, by that name.
    pub(super) async fn rig(
        &self,
        name: &str,
        ca_file: &Path,
        change: impl FnOnce(&mut Config),
    ) -> Rig {
        let url = format!("https://{name}:{}", self.address.port());
        Rig::public_with(
            |_| ok(),
            |config| {
                for upstream in config.upstreams.values_mut() {
                    upstream.set_url(&url).unwrap();
                    upstream.tls.ca_file = Some(ca_file.to_owned());
                }
                change(config);
            },
        )
        .await
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (request, body) = request.into_parts();
    // All of it, before the answer.
    let _ = body.collect().await;
    let host = request
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri.authority().map(|authority| authority.as_str()));
    let text = format!("{:?} {}", request.version, host.unwrap_or_default());
    Ok(Response::new(Full::new(text.into())))
}
