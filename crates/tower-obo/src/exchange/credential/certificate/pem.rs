//! Key and certificates as PEM, in any order.

use aws_lc_rs::rsa::KeyPair;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use zeroize::Zeroizing;

use super::identity::Identity;

pub(super) fn is_pem(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN)
}

/// `open` opens a key that a password encrypts.
pub(super) fn parse(
    bytes: &[u8],
    open: impl Fn(&[u8]) -> Result<KeyPair, String>,
) -> Result<Identity, String> {
    if has_old_encryption(bytes) {
        return Err(OLD.to_owned());
    }
    let mut key = None;
    let mut chain = Vec::new();
    let mut found = |parsed: KeyPair| match key.replace(parsed) {
        None => Ok(()),
        Some(_) => Err("holds more than one private key".to_owned()),
    };
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.map_err(|_| DAMAGED.to_owned())?;
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
        found(parsed.map_err(|_| NOT_RSA.to_owned())?)?;
    }
    for der in encrypted(bytes) {
        found(open(&der?)?)?;
    }
    match key {
        Some(key) => Identity::new(key, chain),
        None => Err("holds no private key".to_owned()),
    }
}

/// The sections with encrypted keys, which the reader of all others passes over.
fn encrypted(bytes: &[u8]) -> Vec<Result<Vec<u8>, String>> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let decoded = |section: &str| {
        let (body, _) = section.split_once(END)?;
        let body: String = body.split_ascii_whitespace().collect();
        STANDARD.decode(body).ok()
    };
    // What is no UTF-8 is no part of such a section.
    let text = String::from_utf8_lossy(bytes);
    let sections = text.split(BEGIN).skip(1);
    sections
        .map(|section| decoded(section).ok_or_else(|| DAMAGED.to_owned()))
        .collect()
}

/// OpenSSL's own encryption of before PKCS#8 (RFC 1421), whose key comes of MD5.
fn has_old_encryption(bytes: &[u8]) -> bool {
    const HEADER: &[u8] = b"Proc-Type: 4,ENCRYPTED";
    bytes.windows(HEADER.len()).any(|window| window == HEADER)
}

const DAMAGED: &str = "is damaged PEM";
const OLD: &str = "has a private key that is encrypted in OpenSSL's old form; write it as PKCS#8 \
     (`openssl pkcs8 -topk8`), or use a PFX file";
pub(super) const NOT_RSA: &str =
    "has a private key that is not RSA or cannot be read; Entra ID takes RSA keys only";
