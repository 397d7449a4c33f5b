//! A private key that a password encrypts (PKCS#8 with PBES2, RFC 5958 §3 and RFC 8018 §6.2).

use aws_lc_rs::rsa::KeyPair;
use pkcs8::{EncryptedPrivateKeyInfoRef, Error, pkcs5};

use super::pem::NOT_RSA;

pub(super) fn open(der: &[u8], password: &str) -> Result<KeyPair, String> {
    let unreadable =
        |error: Error| format!("has an encrypted private key that cannot be read: {error}");
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(unreadable)?;
    let opened = encrypted.decrypt(password).map_err(|error| match error {
        // What a wrong password makes of a key ends as it should by chance, and is no ASN.1.
        Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed) | Error::Asn1(_) => {
            "has an encrypted private key that does not open: the password is wrong".to_owned()
        }
        error => unreadable(error),
    })?;
    KeyPair::from_pkcs8(opened.as_bytes()).map_err(|_| NOT_RSA.to_owned())
}
