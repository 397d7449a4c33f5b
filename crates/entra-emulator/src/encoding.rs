//! Random identifiers, digests and base64url, in the forms that Entra's tokens use.

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use uuid::Uuid;

/// base64url without padding (RFC 7515 §2).
pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A PEM block (RFC 7468) such as `CERTIFICATE`.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

/// `bytes` random bytes as base64url. A GUID's randomness stands in should the system's source ever
/// fail, so that no identifier is ever predictable.
pub(crate) fn random(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    if rand::fill(&mut buffer).is_err() {
        for chunk in buffer.chunks_mut(16) {
            let more = *Uuid::new_v4().as_bytes();
            chunk.copy_from_slice(&more[..chunk.len()]);
        }
    }
    base64url(buffer)
}

pub(crate) fn guid() -> String {
    Uuid::new_v4().to_string()
}

/// A GUID made from a name: the same name has the same GUID in every run.
pub(crate) fn guid_of(name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .to_string()
}

pub(crate) fn sha256_base64url(data: &str) -> String {
    base64url(digest::digest(&digest::SHA256, data.as_bytes()))
}

pub(crate) fn is_guid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

/// Whether two secrets are equal, in a time that doesn't depend on where they differ.
pub(crate) fn secrets_match(left: &str, right: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left.as_bytes(), right.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_always_has_the_same_guid() {
        assert_eq!(guid_of("alice"), guid_of("alice"));
        assert_ne!(guid_of("alice"), guid_of("bob"));
        assert!(is_guid(&guid_of("alice")));
    }

    #[test]
    fn random_identifiers_differ() {
        assert_ne!(random(32), random(32));
    }
}
