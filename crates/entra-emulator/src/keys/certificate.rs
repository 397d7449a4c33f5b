//! The self-signed certificate that goes with a signing key: Entra publishes one as `x5c`, and its
//! thumbprint is the key's `kid`.
//!
//! Written by hand (X.509, RFC 5280 §4.1, DER), since it is all of the emulator that needs ASN.1.

use crate::clock::x509_time;

const SHA256_WITH_RSA: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00,
];
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const SUBJECT: &str = "entra-emulator";
const DAY: i64 = 86_400;

/// The certificate in DER for a public key (SubjectPublicKeyInfo in DER). `sign` makes an RSASSA
/// PKCS#1 v1.5 signature with SHA-256.
pub(crate) fn self_signed<E>(
    public_key: &[u8],
    serial: [u8; 16],
    now: i64,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let name = der(
        0x30,
        &der(
            0x31,
            &der(
                0x30,
                &[COMMON_NAME, &der(0x0c, SUBJECT.as_bytes())].concat(),
            ),
        ),
    );
    let validity = der(
        0x30,
        &[
            der(0x17, x509_time(now - DAY).as_bytes()),
            der(0x17, x509_time(now + 5 * 365 * DAY).as_bytes()),
        ]
        .concat(),
    );
    let to_be_signed = der(
        0x30,
        &[
            &integer(&serial)[..],
            SHA256_WITH_RSA,
            &name,
            &validity,
            &name,
            public_key,
        ]
        .concat(),
    );
    let signature = sign(&to_be_signed)?;
    let bits = der(0x03, &[&[0], &signature[..]].concat());
    Ok(der(0x30, &[&to_be_signed, SHA256_WITH_RSA, &bits].concat()))
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    // The leading one keeps it positive and in the shortest form, whatever the random bytes are.
    der(0x02, &[&[0x01], bytes].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_the_shortest_form() {
        assert_eq!(der(0x04, &[0; 3])[..2], [0x04, 3]);
        assert_eq!(der(0x04, &[0; 200])[..3], [0x04, 0x81, 200]);
        assert_eq!(der(0x04, &[0; 300])[..4], [0x04, 0x82, 1, 44]);
    }
}
