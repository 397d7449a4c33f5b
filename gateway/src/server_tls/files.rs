//! From three files to what a handshake needs.

use std::{
    fs,
    hash::{Hash, Hasher},
    path::Path,
    sync::Arc,
};

use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tower_obo::Timestamp;
use x509_cert::{Certificate, der::Decode as _};
use zeroize::Zeroizing;

use crate::config::Tls;

/// Why there is no TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{key}: {path}: {reason}", path = path.display())]
pub struct TlsError {
    key: &'static str,
    path: Box<Path>,
    reason: String,
}

impl TlsError {
    /// The key of the setting that names the file.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        self.key
    }

    fn new(key: &'static str, path: &Path, reason: impl ToString) -> Self {
        Self {
            key,
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}

const CERTIFICATE: &str = "tls.certificate";
const KEY: &str = "tls.key";
const CLIENT_CA: &str = "tls.client_ca";

/// The files' contents. No `Debug`: one is a private key.
pub(super) struct Files<'a> {
    settings: &'a Tls,
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

impl Hash for Files<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.certificate, &*self.key, &self.client_ca).hash(state);
    }
}

impl<'a> Files<'a> {
    pub(super) fn read(settings: &'a Tls) -> Result<Self, TlsError> {
        Ok(Self {
            settings,
            certificate: read(CERTIFICATE, &settings.certificate)?,
            key: read(KEY, &settings.key).map(Zeroizing::new)?,
            client_ca: settings
                .client_ca
                .as_deref()
                .map(|path| read(CLIENT_CA, path))
                .transpose()?,
        })
    }

    /// Everything that is wrong with the files.
    pub(super) fn problems(settings: &'a Tls) -> Vec<TlsError> {
        let named = [
            (CERTIFICATE, Some(&settings.certificate)),
            (KEY, Some(&settings.key)),
            (CLIENT_CA, settings.client_ca.as_ref()),
        ];
        let looked = named.map(|(key, path)| path.map(|path| read(key, path).map(Zeroizing::new)));
        let unreadable: Vec<_> = looked
            .into_iter()
            .flatten()
            .filter_map(Result::err)
            .collect();
        if !unreadable.is_empty() {
            return unreadable;
        }
        let made = Self::read(settings).and_then(|files| files.server());
        made.err().into_iter().collect()
    }

    /// When the certificate ends, as far as it can be read.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        let chain = certificates(&self.certificate).ok()?;
        let certificate = Certificate::from_der(chain.first()?).ok()?;
        let until = certificate.tbs_certificate.validity.not_after;
        Some(Timestamp::from_unix(until.to_unix_duration().as_secs()))
    }

    /// The configuration of a server that shows this certificate, and asks for one where there is
    /// somebody to vouch for it.
    pub(super) fn server(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificate =
            |reason: String| TlsError::new(CERTIFICATE, &self.settings.certificate, reason);
        let chain =
            certificates(&self.certificate).map_err(|reason| certificate(reason.to_owned()))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsError::new(KEY, &self.settings.key, "holds no private key (PEM)"))?;
        // TLS 1.2 and 1.3; older ones are not built in.
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| certificate(error.to_string()))?;
        let builder = match (&self.client_ca, &self.settings.client_ca) {
            (Some(pem), Some(path)) => {
                let wrong = |reason: String| TlsError::new(CLIENT_CA, path, reason);
                let mut roots = RootCertStore::empty();
                for root in certificates(pem).map_err(|reason| wrong(reason.to_owned()))? {
                    roots.add(root).map_err(|error| wrong(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(&provider),
                )
                .build()
                .map_err(|error| wrong(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        // This finds out too whether the key is the certificate's.
        let mut server = builder
            .with_single_cert(chain, key)
            .map_err(|error| certificate(error.to_string()))?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Sessions are resumed by tickets, whose keys live as long as this configuration: whom a new
        // one would not let in cannot resume either.
        server.ticketer =
            aws_lc_rs::Ticketer::new().map_err(|error| certificate(error.to_string()))?;
        Ok(Arc::new(server))
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::new(key, path, format!("cannot be read: {error}")))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| "is no PEM")?;
    if all.is_empty() {
        return Err("holds no certificate (PEM)");
    }
    Ok(all)
}
