//! What an application proves itself with besides a secret: certificates and federated credentials.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509_cert::der::{Decode as _, oid::ObjectIdentifier};

use crate::encoding::base64url;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The audience of federated credentials, unless another is registered.
pub const TOKEN_EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// A certificate registered for an application: the public half of what it signs client assertions
/// with. Only RSA keys sign them.
#[derive(Clone, Eq, PartialEq)]
pub struct Certificate {
    der: Vec<u8>,
    /// `RSAPublicKey` of PKCS#1.
    public_key: Vec<u8>,
    not_before: i64,
    not_after: i64,
}

/// What was to be registered is no X.509 certificate of an RSA key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidCertificate(&'static str);

impl fmt::Display for InvalidCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidCertificate {}

impl Certificate {
    /// The first certificate of a PEM file, which may hold other things too.
    ///
    /// # Errors
    ///
    /// There is none, or [`Certificate::from_der`] refuses it.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidCertificate> {
        let encoded: String = pem
            .split_once(BEGIN)
            .and_then(|(_, rest)| rest.split_once(END))
            .map(|(encoded, _)| encoded.split_ascii_whitespace().collect())
            .ok_or(InvalidCertificate("there is no CERTIFICATE in the PEM"))?;
        let der = STANDARD
            .decode(encoded)
            .map_err(|_| InvalidCertificate("the PEM is not base64"))?;
        Self::from_der(der)
    }

    /// A certificate in DER.
    ///
    /// # Errors
    ///
    /// It is no X.509 certificate, or its key is not RSA.
    pub fn from_der(der: impl Into<Vec<u8>>) -> Result<Self, InvalidCertificate> {
        let der = der.into();
        let parsed = x509_cert::Certificate::from_der(&der)
            .map_err(|_| InvalidCertificate("it is no X.509 certificate"))?;
        let content = parsed.tbs_certificate;
        let key = content.subject_public_key_info;
        if key.algorithm.oid != RSA_ENCRYPTION {
            return Err(InvalidCertificate("its key is not RSA"));
        }
        let seconds = |time: x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
        };
        Ok(Self {
            public_key: key.subject_public_key.raw_bytes().to_vec(),
            not_before: seconds(content.validity.not_before),
            not_after: seconds(content.validity.not_after),
            der,
        })
    }

    /// `x5t#S256`: SHA-256 of the certificate, in base64url.
    #[must_use]
    pub fn thumbprint_sha256(&self) -> String {
        base64url(digest::digest(&digest::SHA256, &self.der))
    }

    /// `x5t`: SHA-1 of the certificate, in base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        base64url(self.sha1())
    }

    /// The same in hexadecimal, as the portal shows it.
    #[must_use]
    pub fn thumbprint_hex(&self) -> String {
        let sha1 = self.sha1();
        let bytes = sha1.as_ref().iter();
        bytes.map(|byte| format!("{byte:02X}")).collect()
    }

    fn sha1(&self) -> digest::Digest {
        digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der)
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    pub(crate) fn not_before(&self) -> i64 {
        self.not_before
    }

    pub(crate) fn not_after(&self) -> i64 {
        self.not_after
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("thumbprint", &self.thumbprint_hex())
            .finish_non_exhaustive()
    }
}

/// A federated identity credential: tokens of another issuer stand for the application. Issuer,
/// subject and audience are compared exactly.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FederatedCredential {
    /// Name, unique in the application.
    pub name: String,
    /// `iss` of the tokens.
    pub issuer: String,
    /// `sub` of the tokens.
    pub subject: String,
    /// `aud` of the tokens.
    pub audience: String,
    /// The issuer's JWK set. Without one the emulator asks the issuer's discovery document, on
    /// loopback only.
    pub jwks: Option<Value>,
}

impl FederatedCredential {
    /// For the usual audience, with keys from the issuer's discovery document.
    pub fn new(
        name: impl Into<String>,
        issuer: impl Into<String>,
        subject: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            issuer: issuer.into(),
            subject: subject.into(),
            audience: TOKEN_EXCHANGE_AUDIENCE.to_owned(),
            jwks: None,
        }
    }

    /// For tokens with this audience.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// With these keys of the issuer; it is not asked for them.
    #[must_use]
    pub fn jwks(mut self, jwks: Value) -> Self {
        self.jwks = Some(jwks);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::Signer;

    #[test]
    fn a_certificate_is_read_from_a_file_with_its_key() {
        let signer = Signer::generate().unwrap();
        let file = signer.private_key_pem() + &signer.certificate_pem();
        let certificate = Certificate::from_pem(&file).unwrap();
        assert_eq!(certificate.thumbprint(), signer.certificate().thumbprint());
        assert_eq!(certificate.thumbprint_hex().len(), 40);
        assert_eq!(certificate.thumbprint_sha256().len(), 43);
        assert!(certificate.not_before() < certificate.not_after());
    }

    #[test]
    fn what_is_no_certificate_of_an_rsa_key_is_refused() {
        let signer = Signer::generate().unwrap();
        assert!(Certificate::from_pem(&signer.private_key_pem()).is_err());
        assert!(Certificate::from_pem(&format!("{BEGIN}!{END}")).is_err());
        assert!(Certificate::from_der([0x30, 0]).is_err());
        let key = rcgen::KeyPair::generate().unwrap();
        let elliptic = rcgen::CertificateParams::default().self_signed(&key);
        let refused = Certificate::from_der(elliptic.unwrap().der().to_vec());
        assert_eq!(refused.unwrap_err().to_string(), "its key is not RSA");
    }
}
