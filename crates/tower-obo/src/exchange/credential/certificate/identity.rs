//! A private key and the certificate that belongs to it.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rsa::KeyPair,
    signature::KeyPair as _,
};
use x509_cert::{Certificate, TbsCertificate, der::Decode as _, time::Time};

use crate::Timestamp;

/// Entra ID asks for 2048 bits.
const MIN_MODULUS_BYTES: usize = 256;

pub(in super::super) struct Identity {
    pub(super) key: KeyPair,
    /// The certificate, then its chain; DER.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Identity {
    /// The certificate among these that has the key, and the others after it: each behind the one that it
    /// vouches for, whatever their order was (RFC 7515 §4.1.6).
    pub(super) fn new(key: KeyPair, chain: Vec<Vec<u8>>) -> Result<Self, String> {
        if key.public_modulus_len() < MIN_MODULUS_BYTES {
            return Err("has an RSA key of less than 2048 bits".to_owned());
        }
        if chain.is_empty() {
            return Err("holds no certificate beside the private key".to_owned());
        }
        let mut left = Vec::with_capacity(chain.len());
        for der in chain {
            let certificate = Certificate::from_der(&der)
                .map_err(|error| format!("holds a certificate that cannot be read: {error}"))?;
            left.push((der, certificate.tbs_certificate));
        }
        let has_key = |tbs: &TbsCertificate| {
            let public = tbs.subject_public_key_info.subject_public_key.as_bytes();
            public == Some(key.public_key().as_ref())
        };
        let Some(at) = left.iter().position(|(_, tbs)| has_key(tbs)) else {
            return Err("holds no certificate of its private key".to_owned());
        };
        let (der, own) = left.remove(at);
        let mut chain = vec![der];
        let mut issuer = own.issuer;
        while let Some(at) = left.iter().position(|(_, tbs)| tbs.subject == issuer) {
            let (der, next) = left.remove(at);
            chain.push(der);
            issuer = next.issuer;
        }
        // What vouches for none of them is not thrown away.
        chain.extend(left.into_iter().map(|(der, _)| der));
        let time = |time: Time| Timestamp::from_unix(time.to_unix_duration().as_secs());
        Ok(Self {
            key,
            chain,
            not_before: time(own.validity.not_before),
            not_after: time(own.validity.not_after),
        })
    }

    /// SHA-256 of the certificate.
    pub(super) fn thumbprint(&self) -> impl AsRef<[u8]> {
        digest(&SHA256, self.chain.first().map_or(&[], Vec::as_slice))
    }
}
