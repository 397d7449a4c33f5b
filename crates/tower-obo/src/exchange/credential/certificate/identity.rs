//! A private key and the certificate that belongs to it.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rsa::KeyPair,
    signature::KeyPair as _,
};
use x509_cert::{Certificate, der::Decode as _};

use crate::Timestamp;

/// Entra ID asks for 2048 bits.
const MIN_MODULUS_BYTES: usize = 256;

pub(super) struct Identity {
    pub(super) key: KeyPair,
    /// The certificate, then its chain, as they were in the file; DER.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) not_after: Timestamp,
}

impl Identity {
    /// The certificate among these that has the key, and the others after it.
    pub(super) fn new(key: KeyPair, mut chain: Vec<Vec<u8>>) -> Result<Self, String> {
        if key.public_modulus_len() < MIN_MODULUS_BYTES {
            return Err("has an RSA key of less than 2048 bits".to_owned());
        }
        if chain.is_empty() {
            return Err("holds no certificate beside the private key".to_owned());
        }
        let mut own = None;
        for (at, der) in chain.iter().enumerate() {
            let certificate = Certificate::from_der(der)
                .map_err(|error| format!("holds a certificate that cannot be read: {error}"))?;
            let tbs = certificate.tbs_certificate;
            let public = tbs.subject_public_key_info.subject_public_key.as_bytes();
            if public == Some(key.public_key().as_ref()) {
                let not_after = tbs.validity.not_after.to_unix_duration().as_secs();
                own = Some((at, Timestamp::from_unix(not_after)));
                break;
            }
        }
        let Some((at, not_after)) = own else {
            return Err("holds no certificate of its private key".to_owned());
        };
        chain[..=at].rotate_right(1);
        Ok(Self {
            key,
            chain,
            not_after,
        })
    }

    /// SHA-256 of the certificate.
    pub(super) fn thumbprint(&self) -> impl AsRef<[u8]> {
        digest(&SHA256, self.chain.first().map_or(&[], Vec::as_slice))
    }
}
