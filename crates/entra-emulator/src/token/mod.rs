//! Tokens: what is in them, how they are made, how they are checked.

pub(crate) mod bearer;
pub(crate) mod builder;
pub(crate) mod claims;
pub(crate) mod revocation;
pub(crate) mod signature;
pub(crate) mod verify;

use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use serde_json::{Map, Value, json};

use crate::encoding::base64url;
use crate::keys::{KeyError, SigningKey};

/// Claims of a token, in the order they are written.
pub(crate) type Claims = Map<String, Value>;

/// Signs claims with RS256 as Entra does: v1 headers carry `x5t` as well.
pub(crate) fn sign(key: &SigningKey, claims: &Claims, v1: bool) -> Result<String, KeyError> {
    let header = header(&key.kid, v1);
    sign_bytes(
        key,
        header.to_string().as_bytes(),
        Value::Object(claims.clone()).to_string().as_bytes(),
    )
}

pub(crate) fn header(kid: &str, v1: bool) -> Value {
    if v1 {
        json!({"typ": "JWT", "alg": "RS256", "x5t": kid, "kid": kid})
    } else {
        json!({"typ": "JWT", "alg": "RS256", "kid": kid})
    }
}

/// Signs exactly these bytes, whatever they are.
pub(crate) fn sign_bytes(
    key: &SigningKey,
    header: &[u8],
    payload: &[u8],
) -> Result<String, KeyError> {
    let message = format!("{}.{}", base64url(header), base64url(payload));
    let signature = key.sign(&RSA_PKCS1_SHA256, message.as_bytes())?;
    Ok(format!("{message}.{}", base64url(signature)))
}
