//! The certificate authority and the server's certificate, made at start. The keys never leave the
//! memory; clients are given the authority's certificate.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::encoding::{pem, random};

/// For clocks that run late.
const BACKDATED: Duration = Duration::days(1);
/// Longer than any emulator runs, and what clients still accept.
const LIFETIME: Duration = Duration::days(397);

/// The certificates of https could not be made.
#[derive(Clone, Debug)]
pub struct CertificateError(String);

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no certificate for https could be made: {}", self.0)
    }
}

impl std::error::Error for CertificateError {}

/// One emulator's certificate authority, and the configuration of a server that it vouches for.
#[derive(Clone)]
pub(crate) struct Authority {
    pem: String,
    server: Arc<ServerConfig>,
}

impl Authority {
    /// The server is `localhost`, `127.0.0.1`, `::1` and these hosts (names or addresses).
    pub(crate) fn generate(
        now: i64,
        hosts: impl IntoIterator<Item = String>,
    ) -> Result<Self, CertificateError> {
        let wrong = |error: &dyn fmt::Display| CertificateError(error.to_string());
        let now = OffsetDateTime::from_unix_timestamp(now).map_err(|error| wrong(&error))?;
        let dated = |params: &mut CertificateParams, name: &str| {
            params.not_before = now - BACKDATED;
            params.not_after = now + LIFETIME;
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
        };

        let mut root = CertificateParams::default();
        // A name of its own for each run: a client that trusts two must not mix them up.
        dated(&mut root, &format!("entra-emulator CA {}", random(6)));
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root_key = KeyPair::generate().map_err(|error| wrong(&error))?;
        let root_certificate = root.self_signed(&root_key).map_err(|error| wrong(&error))?;

        let mut server = CertificateParams::default();
        dated(&mut server, "entra-emulator");
        server.subject_alt_names = names(hosts)?;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Python asks for it since 3.13.
        server.use_authority_key_identifier_extension = true;
        let server_key = KeyPair::generate().map_err(|error| wrong(&error))?;
        let certificate = server
            .signed_by(&server_key, &Issuer::from_params(&root, &root_key))
            .map_err(|error| wrong(&error))?;

        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .and_then(|builder| {
                    builder
                        .with_no_client_auth()
                        .with_single_cert(vec![certificate.der().clone()], key)
                })
                .map_err(|error| wrong(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            pem: pem("CERTIFICATE", root_certificate.der()),
            server: Arc::new(config),
        })
    }

    /// The authority's certificate, for clients to trust.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.server.clone())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn names(hosts: impl IntoIterator<Item = String>) -> Result<Vec<SanType>, CertificateError> {
    let mut names = vec![
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
    ];
    for host in ["localhost".to_owned()].into_iter().chain(hosts) {
        let name = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            // "All addresses" is no name of any.
            Ok(address) if address.is_unspecified() => continue,
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(
                host.try_into()
                    .map_err(|error: rcgen::Error| CertificateError(error.to_string()))?,
            ),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}
