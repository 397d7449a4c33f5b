//! Whether an RSA key made a signature.

use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};

use crate::encoding::from_base64url;

/// `message` is `header.payload` of a JWT, `signature` its third part.
pub(crate) fn verifies(
    algorithm: Algorithm,
    key: &DecodingKey,
    message: &str,
    signature: &str,
) -> bool {
    let Some(signature) = from_base64url(signature) else {
        return false;
    };
    // Named rather than asked for as the process's default: another part of the process may have
    // installed a different one, and a library installs none.
    (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key)
        .is_ok_and(|verifier| verifier.verify(message.as_bytes(), &signature).is_ok())
}
