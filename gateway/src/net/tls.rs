//! TLS towards an upstream: its certificate is always judged, and there is no switch for that.

use std::{
    cell::Cell,
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::{
    sync::{Mutex, oneshot},
    time::{self, Instant},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig, RootCertStore,
        client::WantsClientCert,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};
use zeroize::Zeroizing;

use tower_obo::Timestamp;
use x509_cert::{Certificate, der::Decode as _};

use super::line::UpstreamIo;
use crate::config::{Upstream, UpstreamTls};

/// How old what is known of the files may be when a connection is opened.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long one connection waits for them to be read, and no longer than half of the time that it has to connect.
/// File systems of the network hang, the old ones may still do, and it is not the upstream that is slow.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is offered, dearest first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{0}: it holds no certificate in PEM form")]
    NoCertificate(PathBuf),
    #[error("{path}: {source}")]
    Pem {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
    #[error("{0:?} is no name that a certificate could be for")]
    Name(String),
}

/// How one worker speaks TLS with one upstream.
pub(crate) struct Tls {
    name: ServerName<'static>,
    followed: Arc<Followed>,
    looked: Cell<Instant>,
    patience: Duration,
}

/// Files, and what they say. They are read on threads of their own, since a worker must not stand still with
/// all its connections.
struct Followed {
    /// Whose they are, for the log.
    upstream: Box<str>,
    files: UpstreamTls,
    config: ArcSwap<ClientConfig>,
    /// Stands for what the files held when they were read last; held by who reads them.
    seen: Arc<Mutex<u64>>,
    hasher: RandomState,
}

impl Tls {
    /// # Errors
    ///
    /// A file cannot be read or holds something else, or the system has no certification authorities.
    pub(crate) fn new(upstream: &Upstream, connect_timeout: Duration) -> Result<Self, TlsError> {
        let name = ServerName::try_from(upstream.host.clone())
            .map_err(|_| TlsError::Name(upstream.host.clone()))?;
        let files = upstream.tls.clone();
        let hasher = RandomState::new();
        Ok(Self {
            name,
            followed: Arc::new(Followed {
                seen: Arc::new(Mutex::new(fingerprint(&hasher, &files))),
                hasher,
                upstream: upstream.host.as_str().into(),
                config: ArcSwap::from(config(&files)?),
                files,
            }),
            looked: Cell::new(Instant::now()),
            patience: PATIENCE.min(connect_timeout / 2),
        })
    }

    /// Shakes hands, and says whether HTTP/2 was chosen.
    ///
    /// # Errors
    ///
    /// The certificate is not believed, or the peer speaks no TLS.
    pub(crate) async fn connect(
        &self,
        io: UpstreamIo,
    ) -> io::Result<(Box<TlsStream<UpstreamIo>>, bool)> {
        let connector = TlsConnector::from(self.current().await);
        let stream = connector.connect(self.name.clone(), io).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Box::new(stream), http2))
    }

    /// Shakes hands without a word of HTTP/2.
    ///
    /// # Errors
    ///
    /// The certificate is not believed, or the peer speaks no TLS.
    pub(crate) async fn connect_http1(
        &self,
        io: UpstreamIo,
    ) -> io::Result<Box<TlsStream<UpstreamIo>>> {
        let mut config = ClientConfig::clone(&*self.current().await);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(self.name.clone(), io).await?;
        Ok(Box::new(stream))
    }

    /// The configuration, made anew where a file has changed; the old one where the new one is bad.
    async fn current(&self) -> Arc<ClientConfig> {
        self.current_at(Instant::now()).await
    }

    async fn current_at(&self, now: Instant) -> Arc<ClientConfig> {
        if now.saturating_duration_since(self.looked.get()) >= LOOK_EVERY
            && let Some(looked) = Followed::look(&self.followed)
        {
            self.looked.set(now);
            if time::timeout(self.patience, looked).await.is_err() {
                tracing::warn!(
                    upstream = %self.followed.upstream,
                    "the TLS files of an upstream cannot be read in time; the old ones stay"
                );
            }
        }
        self.followed.config.load_full()
    }
}

impl Followed {
    /// Looks at the files on another thread, unless one does already. What is returned ends with it.
    fn look(followed: &Arc<Self>) -> Option<oneshot::Receiver<()>> {
        let mut seen = Arc::clone(&followed.seen).try_lock_owned().ok()?;
        let (ended, ends) = oneshot::channel();
        let this = Arc::clone(followed);
        let thread = thread::Builder::new().name("obo-tls-files".to_owned());
        thread
            .spawn(move || {
                this.compare(&mut seen);
                drop((seen, ended));
            })
            .ok()?;
        Some(ends)
    }

    fn compare(&self, seen: &mut u64) {
        // Not by their times: those of mounted secrets are links that are exchanged, to files that may be
        // as old as those before.
        let now = fingerprint(&self.hasher, &self.files);
        if now == *seen {
            return;
        }
        match config(&self.files) {
            Ok(config) => {
                *seen = now;
                self.config.store(config);
                tracing::info!(upstream = %self.upstream, "the TLS files of an upstream have changed and are used");
            }
            Err(error) => {
                // Else it may have been there a moment ago, and be there again.
                if !matches!(error, TlsError::File { .. }) {
                    *seen = now;
                }
                tracing::warn!(upstream = %self.upstream, %error, "the TLS files of an upstream have changed and cannot be used; the old ones stay");
            }
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .field("files", &self.followed.files)
            .finish_non_exhaustive()
    }
}

/// Stands for what the files hold. One of them is a private key, of which nothing is left behind.
fn fingerprint(hasher: &RandomState, files: &UpstreamTls) -> u64 {
    let client = files.client.as_ref();
    let contents = [
        files.ca_file.as_deref(),
        client.map(|client| client.certificate.as_path()),
        client.map(|client| client.key.as_path()),
    ]
    .map(|path| fs::read(path?).ok().map(Zeroizing::new));
    hasher.hash_one(contents.each_ref().map(|text| text.as_deref()))
}

fn config(files: &UpstreamTls) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = authorities(files.ca_file.as_deref())?;
    let mut config = match &files.client {
        Some(client) => {
            let text = Zeroizing::new(read(&client.key)?);
            let key = PrivateKeyDer::from_pem_slice(&text).map_err(|source| {
                let path = client.key.clone();
                TlsError::Pem { path, source }
            })?;
            builder.with_client_auth_cert(certificates(&client.certificate)?, key)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

/// When the certificate ends that an upstream is shown, where it and its key can be used.
pub(crate) fn client_certificate_ends(files: &UpstreamTls) -> Option<Timestamp> {
    config(files).ok()?;
    let chain = certificates(&files.client.as_ref()?.certificate).ok()?;
    let certificate = Certificate::from_der(chain.first()?).ok()?;
    let until = certificate.tbs_certificate.validity.not_after;
    Some(Timestamp::from_unix(until.to_unix_duration().as_secs()))
}

/// Whom to believe. The provider is named, since which one a process has by default depends on what
/// else is compiled in.
fn authorities(
    file: Option<&Path>,
) -> Result<rustls::ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?;
    let Some(file) = file else {
        return Ok(builder.with_platform_verifier()?);
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate)?;
    }
    Ok(builder.with_root_certificates(roots))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem {
            path: path.to_owned(),
            source,
        })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::config::ClientCertificate;

    struct Files {
        folder: PathBuf,
        client: ClientCertificate,
        ca_file: PathBuf,
    }

    impl Files {
        fn new(name: &str) -> Self {
            let folder = format!("obo-client-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            fs::create_dir_all(&folder).unwrap();
            let [certificate, key, ca_file] =
                ["certificate.pem", "key.pem", "ca.pem"].map(|name| folder.join(name));
            Self {
                client: ClientCertificate::new(certificate, key),
                ca_file,
                folder,
            }
        }

        /// As old as ever: a link that is exchanged may lead to such a file.
        fn write(&self, path: &Path, text: &str) {
            fs::write(path, text).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(UNIX_EPOCH).unwrap();
        }

        fn write_all(&self) {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::default().self_signed(&key).unwrap();
            self.write(&self.client.certificate, &certificate.pem());
            self.write(&self.client.key, &key.serialize_pem());
            self.write(&self.ca_file, &certificate.pem());
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    #[tokio::test]
    async fn what_changes_in_the_files_is_used_within_ten_seconds_and_what_is_bad_is_not() {
        let files = Files::new("change");
        files.write_all();
        let mut upstream = Upstream::at("https://localhost:1");
        upstream.tls.ca_file = Some(files.ca_file.clone());
        upstream.tls.client = Some(files.client.clone());
        let tls = Tls::new(&upstream, Duration::from_secs(5)).unwrap();
        let mut now = Instant::now();
        let first = tls.current_at(now).await;
        now += LOOK_EVERY;
        assert!(
            Arc::ptr_eq(&first, &tls.current_at(now).await),
            "nothing has changed"
        );

        files.write_all();
        assert!(
            Arc::ptr_eq(&first, &tls.current_at(now).await),
            "not looked yet"
        );
        now += LOOK_EVERY;
        let second = tls.current_at(now).await;
        assert!(!Arc::ptr_eq(&first, &second), "the new ones are used");

        // Half of a change: the key is of the certificate that was.
        let key = fs::read_to_string(&files.client.key).unwrap();
        files.write_all();
        let new = fs::read_to_string(&files.client.key).unwrap();
        files.write(&files.client.key, &key);
        now += LOOK_EVERY;
        assert!(
            Arc::ptr_eq(&second, &tls.current_at(now).await),
            "they do not fit"
        );
        files.write(&files.client.key, &new);
        now += LOOK_EVERY;
        let third = tls.current_at(now).await;
        assert!(!Arc::ptr_eq(&second, &third), "now they do");

        // Each file counts.
        files.write(&files.ca_file, "nothing");
        now += LOOK_EVERY;
        assert!(
            Arc::ptr_eq(&third, &tls.current_at(now).await),
            "no certificate"
        );
        fs::remove_file(&files.client.certificate).unwrap();
        now += LOOK_EVERY;
        assert!(Arc::ptr_eq(&third, &tls.current_at(now).await), "no file");
        files.write_all();
        now += LOOK_EVERY;
        assert!(
            !Arc::ptr_eq(&third, &tls.current_at(now).await),
            "all there again"
        );
    }

    /// To connect within.
    const SOON: Duration = Duration::from_millis(800);

    #[cfg(unix)]
    #[tokio::test]
    async fn files_that_hang_keep_one_connection_for_a_second_and_no_other() {
        let files = Files::new("hang");
        files.write_all();
        let mut upstream = Upstream::at("https://localhost:1");
        upstream.tls.ca_file = Some(files.ca_file.clone());
        let tls = Tls::new(&upstream, Duration::from_secs(5)).unwrap();
        let hasty = Tls::new(&upstream, SOON).unwrap();
        let good = fs::read_to_string(&files.ca_file).unwrap();
        fs::remove_file(&files.ca_file).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(&files.ca_file)
            .status();
        assert!(made.unwrap().success());
        // Open for both, or nobody could let the reader go on; let go in the end, whoever it is that hangs.
        let both = fs::File::options()
            .read(true)
            .write(true)
            .open(&files.ca_file);
        let pipe = both.unwrap();
        let (let_go, kept) = std::sync::mpsc::channel::<()>();
        let path = files.ca_file.clone();
        let keeper = thread::spawn(move || {
            let in_time = kept.recv_timeout(Duration::from_secs(20)).is_ok();
            fs::remove_file(&path).unwrap();
            fs::write(&path, good).unwrap();
            drop(pipe);
            in_time
        });
        let first = tls.followed.config.load_full();
        let mut now = Instant::now() + LOOK_EVERY;
        let hasty = async {
            let found = time::timeout(SOON, hasty.current_at(now)).await;
            assert!(found.is_ok(), "no time would be left to connect");
        };
        let others = async {
            tokio::task::yield_now().await;
            for _ in 0..3 {
                let at_once = time::timeout(PATIENCE / 2, tls.current_at(now + LOOK_EVERY));
                assert!(Arc::ptr_eq(&at_once.await.unwrap(), &first));
            }
        };
        let one = async { assert!(Arc::ptr_eq(&tls.current_at(now).await, &first)) };
        let all = async { tokio::join!(one, others, hasty) };
        time::timeout(Duration::from_secs(20), all).await.unwrap();
        // They answer again.
        let_go.send(()).ok();
        assert!(
            keeper.join().unwrap(),
            "nobody stood still until the files answered"
        );
        let free = async { drop(tls.followed.seen.lock().await) };
        time::timeout(Duration::from_secs(20), free).await.unwrap();
        files.write_all();
        now += LOOK_EVERY * 3;
        assert!(!Arc::ptr_eq(&tls.current_at(now).await, &first));
    }
}
