//! When the certificates end that upstreams are shown, for whoever has to renew them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tower_obo::Timestamp;

use crate::{config::Config, net::tls};

/// By the upstream's name.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpstreamCertificates(Arc<Mutex<BTreeMap<String, Timestamp>>>);

impl UpstreamCertificates {
    /// Reads the files. Where they cannot be used, connections go on with the ones before, and so does what is
    /// said of them.
    pub(crate) fn look(&self, config: &Config) {
        let certificates = config.upstreams.iter();
        let shown: Vec<_> = certificates
            .filter(|(_, upstream)| upstream.tls.client.is_some())
            .map(|(name, upstream)| (name, tls::client_certificate_ends(&upstream.tls)))
            .collect();
        let mut ends = self.ends();
        ends.retain(|name, _| shown.iter().any(|(known, _)| *known == name));
        for (name, end) in shown {
            if let Some(end) = end {
                ends.insert(name.clone(), end);
            }
        }
    }

    pub(crate) fn read(&self) -> Vec<(String, Timestamp)> {
        let ends = self.ends();
        ends.iter()
            .map(|(name, end)| (name.clone(), *end))
            .collect()
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::Sources;

    fn config(folder: &str, more: &str) -> Config {
        let text = format!(
            "[upstreams.api]\nurl = 'https://api.internal'\n{more}\n\
             [[route]]\npath = '/*'\naccess = 'public'\nupstream = 'api'\n[entra]\n\
             tenant = '00000000-0000-0000-0000-000000000001'\n\
             client_id = '00000000-0000-0000-0000-000000000002'\n\
             credential = {{ secret_file = '/nowhere' }}"
        );
        let text = text.replace("FOLDER", folder);
        let sources = Sources::new().file("gw.toml", text);
        sources.load().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_certificate_that_is_shown_has_an_end_and_a_bad_one_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("obo-ends-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let put = |year: i32| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(["gateway".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 1, 1);
            let certificate = params.self_signed(&key).unwrap();
            fs::write(folder.join("c.pem"), certificate.pem()).unwrap();
            fs::write(folder.join("k.pem"), key.serialize_pem()).unwrap();
        };
        put(2030);
        let shown = "client_certificate = 'FOLDER/c.pem'\nclient_key = 'FOLDER/k.pem'";
        let named = folder.display().to_string();
        let (with, without) = (config(&named, shown), config(&named, ""));
        let certificates = UpstreamCertificates::default();
        let end = || {
            let ends = certificates.read();
            ends.first()
                .map(|(name, end)| (name.clone(), end.as_unix()))
        };
        certificates.look(&without);
        assert_eq!(end(), None);
        certificates.look(&with);
        assert_eq!(end(), Some(("api".to_owned(), 1_893_456_000)));
        // Half of a rotation: another key.
        let key = fs::read(folder.join("k.pem")).unwrap();
        put(2031);
        fs::write(folder.join("k.pem"), key).unwrap();
        certificates.look(&with);
        assert_eq!(end(), Some(("api".to_owned(), 1_893_456_000)));
        put(2031);
        certificates.look(&with);
        assert_eq!(end(), Some(("api".to_owned(), 1_924_992_000)));
        certificates.look(&without);
        assert_eq!(end(), None);
        fs::remove_dir_all(&folder).unwrap();
    }
}
