//! Key and certificates in a PFX file (PKCS#12, RFC 7292).

use aws_lc_rs::rsa::KeyPair;
use p12_keystore::{Pkcs12Archive, error::Error};

use super::{identity::Identity, pem::NOT_RSA};

pub(super) fn parse(bytes: &[u8], password: &str) -> Result<Identity, String> {
    let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
        Error::MacError(_) => "cannot be opened: the password is wrong".to_owned(),
        error => format!("is neither PEM nor a PFX file that can be read: {error}"),
    })?;
    let [key] = &archive.keys[..] else {
        return Err(format!(
            "holds {} private keys instead of one",
            archive.keys.len()
        ));
    };
    let key = KeyPair::from_pkcs8(key.key.as_der()).map_err(|_| NOT_RSA.to_owned())?;
    let certificates = archive.certs.iter().map(|bag| bag.cert.as_der().to_vec());
    Identity::new(key, certificates.collect())
}
