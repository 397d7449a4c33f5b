//! TLS towards clients: the certificates, read anew when their files change.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{task, time};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tower_obo::Timestamp;

mod files;

use self::files::Files;
pub use self::files::TlsError;
use crate::config::Tls;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long that may take before it is said.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the next connection's handshake uses.
#[derive(Clone)]
pub(crate) struct ServerTls(Arc<ArcSwap<Shown>>);

struct Shown {
    server: Arc<ServerConfig>,
    expires: Option<Timestamp>,
}

impl Shown {
    fn of(files: &Files<'_>) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self {
            server: files.server()?,
            expires: files.expires(),
        }))
    }
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or does not hold what it should.
    pub(crate) fn load(settings: &Tls) -> Result<(Self, Reload), TlsError> {
        let files = Files::read(settings)?;
        let tls = Self(Arc::new(ArcSwap::from(Shown::of(&files)?)));
        let hasher = RandomState::new();
        let known = hasher.hash_one(Ok::<_, TlsError>(files));
        let reload = Reload {
            settings: settings.clone(),
            tls: tls.clone(),
            known,
            seen: known,
            hasher,
        };
        Ok((tls, reload))
    }

    /// Everything that is wrong with the files.
    pub(crate) fn problems(settings: &Tls) -> Vec<TlsError> {
        Files::problems(settings)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.load().server))
    }

    /// When the certificate ends that new connections are shown.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.0.load().expires
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// Keeps a [`ServerTls`] as its files are.
#[derive(Debug)]
pub(crate) struct Reload {
    settings: Tls,
    tls: ServerTls,
    /// Stands for what was used last or said to be wrong, so that neither is said twice.
    known: u64,
    /// Stands for what was read last.
    seen: u64,
    hasher: RandomState,
}

impl Reload {
    /// Looks at the files for ever. Their contents are compared, not their times: those of mounted
    /// secrets are links that are exchanged.
    pub(crate) async fn run(mut self) {
        let mut ticks = time::interval(LOOK);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A file system may hang; what else runs here must not.
            let mut looking = task::spawn_blocking(move || {
                let found = self.look();
                (self, found)
            });
            let looked = match time::timeout(PATIENCE, &mut looking).await {
                Ok(looked) => looked,
                Err(_) => {
                    tracing::error!(
                        key = "tls",
                        "the certificate's files have not been read for {} s, since their file system does not \
                         answer; the old certificate stays in use",
                        PATIENCE.as_secs()
                    );
                    looking.await
                }
            };
            match looked {
                Ok((this, found)) => {
                    self = this;
                    match found {
                        None => {}
                        Some(Ok(())) => tracing::info!(
                            "new connections use the certificate that has been read anew"
                        ),
                        Some(Err(error)) => tracing::error!(
                            key = error.key(),
                            %error,
                            "the certificate's files have changed and cannot be used; the old certificate stays in use"
                        ),
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "certificates are not read any more");
                    return;
                }
            }
        }
    }

    /// Takes what has changed, or finds it wrong; `None` where there is nothing to say.
    fn look(&mut self) -> Option<Result<(), TlsError>> {
        let files = Files::read(&self.settings);
        let found = self.hasher.hash_one(&files);
        // A certificate and its key are seldom written in one moment: nothing is used or said to be
        // wrong before it has been the same twice.
        let settled = std::mem::replace(&mut self.seen, found) == found;
        if !settled || found == self.known {
            return None;
        }
        let shown = files.and_then(|files| Shown::of(&files));
        self.known = found;
        Some(shown.map(|shown| self.tls.0.store(shown)))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use base64::{Engine as _, prelude::BASE64_STANDARD};

    use super::*;

    /// Removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        /// A certificate and its key.
        fn put(&self) -> Tls {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            self.write("certificate", "CERTIFICATE", made.cert.der());
            self.write("key", "PRIVATE KEY", &made.signing_key.serialize_der());
            Tls::new(self.0.join("certificate"), self.0.join("key"))
        }

        fn write(&self, name: &str, label: &str, der: &[u8]) {
            let text = BASE64_STANDARD.encode(der);
            let pem = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
            fs::write(self.0.join(name), pem).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn tl_04_what_has_changed_is_used_once_it_has_settled_and_what_is_wrong_is_said_once() {
        let name = format!("obo-gateway-reload-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        let settings = folder.put();
        let (tls, mut reload) = ServerTls::load(&settings).unwrap();
        let first = tls.0.load_full();
        assert_eq!(reload.look(), None);

        folder.write("key", "PRIVATE KEY", b"none");
        assert_eq!(reload.look(), None, "it may not have settled");
        let error = reload.look().unwrap().unwrap_err();
        assert_eq!(error.key(), "tls.certificate", "{error}");
        assert_eq!(reload.look(), None, "it has been said");
        fs::remove_file(folder.0.join("key")).unwrap();
        assert_eq!(reload.look(), None);
        assert_eq!(reload.look().unwrap().unwrap_err().key(), "tls.key");
        assert!(Arc::ptr_eq(&first, &tls.0.load_full()));

        folder.put();
        assert_eq!(reload.look(), None);
        assert_eq!(reload.look(), Some(Ok(())));
        assert_eq!(reload.look(), None);
        assert!(!Arc::ptr_eq(&first, &tls.0.load_full()));
    }
}
