//! Key and certificates as PEM, in any order.

use aws_lc_rs::rsa::KeyPair;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use zeroize::Zeroizing;

use super::identity::Identity;

pub(super) fn is_pem(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN)
}

pub(super) fn parse(bytes: &[u8]) -> Result<Identity, String> {
    let mut key = None;
    let mut chain = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.map_err(|_| "is damaged PEM".to_owned())?;
        let der = Zeroizing::new(der);
        let parsed = match kind {
            SectionKind::PrivateKey => KeyPair::from_pkcs8(&der),
            SectionKind::RsaPrivateKey => KeyPair::from_der(&der),
            SectionKind::EcPrivateKey => return Err(NOT_RSA.to_owned()),
            SectionKind::Certificate => {
                chain.push(der.to_vec());
                continue;
            }
            _ => continue,
        };
        if key.is_some() {
            return Err("holds more than one private key".to_owned());
        }
        key = Some(parsed.map_err(|_| NOT_RSA.to_owned())?);
    }
    match key {
        Some(key) => Identity::new(key, chain),
        None if is_encrypted(bytes) => {
            Err("has an encrypted private key; take the password off, or use a PFX file".to_owned())
        }
        None => Err("holds no private key".to_owned()),
    }
}

/// Such sections are passed over by the reader.
fn is_encrypted(bytes: &[u8]) -> bool {
    const ENCRYPTED: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY";
    bytes
        .windows(ENCRYPTED.len())
        .any(|window| window == ENCRYPTED)
}

pub(super) const NOT_RSA: &str =
    "has a private key that is not RSA or cannot be read; Entra ID takes RSA keys only";
