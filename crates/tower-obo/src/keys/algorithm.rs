//! The signature algorithms that a token may have.

use aws_lc_rs::{
    rsa::PublicKeyComponents,
    signature::{
        self, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaParameters, VerificationAlgorithm,
    },
};

/// An asymmetric signature algorithm of RFC 7518 §3.1.
///
/// There is no HMAC among them and no `none`: neither can be configured. Entra ID signs with
/// [`Rs256`](Self::Rs256), which is the only one accepted by default.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
}

impl Algorithm {
    const ALL: [Self; 8] = [
        Self::Es256,
        Self::Es384,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// The algorithm with that exact name, as `alg` has it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// The name that `alg` has.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// The algorithms that an RSA key can be for.
    pub(super) fn rsa() -> impl Iterator<Item = (Self, &'static RsaParameters)> {
        [
            (Self::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
            (Self::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
            (Self::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
            (Self::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
            (Self::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
            (Self::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
        ]
        .into_iter()
    }

    /// The one algorithm of an elliptic curve, and the length of its coordinates in bytes.
    pub(super) fn ec(curve: &str) -> Option<(Self, &'static EcdsaVerificationAlgorithm, usize)> {
        match curve {
            "P-256" => Some((Self::Es256, &signature::ECDSA_P256_SHA256_FIXED, 32)),
            "P-384" => Some((Self::Es384, &signature::ECDSA_P384_SHA384_FIXED, 48)),
            _ => None,
        }
    }
}

/// A public key, ready to verify signatures of one algorithm. Parsing is done once, here.
pub(super) struct Verifier {
    pub(super) algorithm: Algorithm,
    key: ParsedPublicKey,
}

impl Verifier {
    pub(super) fn rsa(
        algorithm: Algorithm,
        parameters: &'static RsaParameters,
        n: &[u8],
        e: &[u8],
    ) -> Option<Self> {
        let key = PublicKeyComponents { n, e }
            .to_parsed_public_key(parameters)
            .ok()?;
        Some(Self { algorithm, key })
    }

    pub(super) fn ec(
        algorithm: Algorithm,
        parameters: &'static dyn VerificationAlgorithm,
        point: &[u8],
    ) -> Option<Self> {
        let key = ParsedPublicKey::new(parameters, point).ok()?;
        Some(Self { algorithm, key })
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}
