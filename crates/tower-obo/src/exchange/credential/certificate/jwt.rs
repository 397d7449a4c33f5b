//! The client assertion: a JWT that says no more than who signed it, and for whom.

use std::time::Duration;

use aws_lc_rs::{rand::SystemRandom, signature::RSA_PSS_SHA256};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::json;
use uuid::Uuid;

use super::{super::Audience, identity::Identity};
use crate::Secret;

/// Microsoft asks for five to ten minutes. What is shown once needs no more than a clock may be off, and Keycloak
/// refuses what ends more than five minutes later.
pub(super) fn lifetime(audience: &Audience) -> Duration {
    Duration::from_secs(if audience.single_use { 60 } else { 600 })
}

pub(super) fn sign(
    identity: &Identity,
    audience: &Audience,
    with_chain: bool,
) -> Result<Secret, String> {
    let mut header = json!({
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": URL_SAFE_NO_PAD.encode(identity.thumbprint()),
    });
    if with_chain {
        let chain = identity.chain.iter().map(|der| STANDARD.encode(der));
        header["x5c"] = chain.collect();
    }
    let mut claims = json!({
        "aud": *audience.token_endpoint,
        "iss": *audience.client_id,
        "sub": *audience.client_id,
        "jti": Uuid::new_v4().to_string(),
        "nbf": audience.now.as_unix(),
        "exp": (audience.now + lifetime(audience)).as_unix(),
    });
    if audience.single_use {
        claims["iat"] = audience.now.as_unix().into();
    }
    let mut jwt = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string()),
    );
    let mut signature = vec![0; identity.key.public_modulus_len()];
    identity
        .key
        .sign(
            &RSA_PSS_SHA256,
            &SystemRandom::new(),
            jwt.as_bytes(),
            &mut signature,
        )
        .map_err(|_| "has a key that does not sign".to_owned())?;
    jwt.push('.');
    URL_SAFE_NO_PAD.encode_string(&signature, &mut jwt);
    Ok(Secret::from(jwt))
}
