//! The listener's certificates: `[tls]`.

use std::path::PathBuf;

use super::{Origin, resolve::Resolver};

/// The files of a listener that speaks TLS, all of them PEM. They are read anew when they change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Tls {
    /// The listener's certificate, then those of the authorities between it and the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities that vouch for clients; a client without a certificate of theirs is refused.
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    /// Without client certificates.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            client_ca: None,
        }
    }
}

impl Resolver<'_> {
    pub(super) fn tls(&mut self) -> Option<Tls> {
        let mut path = |name: &str| {
            let given = self.settings.text(name)?;
            if given.value.is_empty() {
                self.problems
                    .push(given.origin, name, "an empty text names no file");
                return None;
            }
            Some((PathBuf::from(given.value), given.origin))
        };
        let certificate = path("tls.certificate");
        let key = path("tls.key");
        let client_ca = path("tls.client_ca");
        let any = [&certificate, &key, &client_ca]
            .into_iter()
            .flatten()
            .next();
        let origin = any.map(|(_, origin)| origin.clone())?;
        match (certificate, key) {
            (Some((certificate, _)), Some((key, _))) => Some(Tls {
                certificate,
                key,
                client_ca: client_ca.map(|(path, _)| path),
            }),
            (None, _) => self.tls_lacks("tls.certificate", origin),
            (_, None) => self.tls_lacks("tls.key", origin),
        }
    }

    fn tls_lacks(&mut self, key: &str, origin: Origin) -> Option<Tls> {
        if !self.has_been_said(key) {
            let message = "missing: TLS needs a certificate and its key";
            self.problems.push(origin, key, message);
        }
        None
    }
}
