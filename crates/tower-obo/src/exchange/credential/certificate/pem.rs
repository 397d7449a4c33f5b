//! Key and certificates as PEM, in any order.

use aws_lc_rs::rsa::KeyPair;

use super::{
    identity::Identity,
    sections::{Section, sections},
};

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
    for section in sections(bytes) {
        let section = section.ok_or(DAMAGED)?;
        let der = |section: Section<'_>| section.into_der().ok_or(DAMAGED);
        let parsed = match section.label {
            b"PRIVATE KEY" => KeyPair::from_pkcs8(&der(section)?).map_err(|_| NOT_RSA)?,
            b"RSA PRIVATE KEY" => KeyPair::from_der(&der(section)?).map_err(|_| NOT_RSA)?,
            b"ENCRYPTED PRIVATE KEY" => open(&der(section)?)?,
            b"EC PRIVATE KEY" => return Err(NOT_RSA.to_owned()),
            b"CERTIFICATE" => {
                chain.push(der(section)?.to_vec());
                continue;
            }
            _ => continue,
        };
        if key.replace(parsed).is_some() {
            return Err("holds more than one private key".to_owned());
        }
    }
    match key {
        Some(key) => Identity::new(key, chain),
        None => Err("holds no private key".to_owned()),
    }
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
