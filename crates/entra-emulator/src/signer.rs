//! The private side of client assertions, for tests.

use std::fmt;

use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::directory::Certificate;
use crate::encoding::{base64url, pem};
use crate::keys::{KeyError, SigningKey};

/// An RSA key with a self-signed certificate: what an application signs client assertions with, or
/// the issuer behind a federated credential.
pub struct Signer {
    key: SigningKey,
    certificate: Certificate,
}

impl Signer {
    /// A new key and its certificate, good for five years.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the system's cryptography fails.
    pub fn generate() -> Result<Self, KeyError> {
        let key = SigningKey::generate(Clock::default().now(), None)?;
        let certificate = Certificate::from_der(key.certificate_der()).map_err(|_| KeyError)?;
        Ok(Self { key, certificate })
    }

    /// What is registered for the application.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", self.key.certificate_der())
    }

    /// The private key as PEM (PKCS#8); empty when the system's cryptography fails.
    #[must_use]
    pub fn private_key_pem(&self) -> String {
        match self.key.pkcs8() {
            Ok(der) => pem("PRIVATE KEY", &der),
            Err(KeyError) => String::new(),
        }
    }

    /// The key's id in [`Signer::jwks`].
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.key.kid
    }

    /// The public key as a JWK set.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({"keys": [self.key.jwk()]})
    }

    /// A JWT with exactly this header and these claims. It is signed as the header's `alg` says when
    /// that is PS256, else with RS256; empty when the system's cryptography fails.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            base64url(header.to_string()),
            base64url(claims.to_string())
        );
        let signature = if header["alg"] == "PS256" {
            self.key.sign(&RSA_PSS_SHA256, message.as_bytes())
        } else {
            self.key.sign(&RSA_PKCS1_SHA256, message.as_bytes())
        };
        signature
            .map(|signature| format!("{message}.{}", base64url(signature)))
            .unwrap_or_default()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
