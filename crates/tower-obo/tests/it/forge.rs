//! Tokens that nobody should accept, made piece by piece.

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use entra_emulator::Emulator;
use serde_json::{Value, json};

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The three parts of a token.
pub(crate) fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().unwrap()
}

pub(crate) fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

/// The payload of a good token, as text that can be edited.
pub(crate) fn payload(entra: &Emulator) -> String {
    Value::Object(entra.token().claims()).to_string()
}

/// The header of a good token, as text that can be edited.
pub(crate) fn header(entra: &Emulator) -> String {
    json!({"typ": "JWT", "alg": "RS256", "kid": entra.current_kid()}).to_string()
}

/// A token with exactly this header, signed with the key in use.
pub(crate) fn with_header(entra: &Emulator, header: &[u8]) -> String {
    entra.sign_raw(header, payload(entra).as_bytes())
}

/// A token with exactly this payload, signed with the key in use.
pub(crate) fn with_payload(entra: &Emulator, payload: &[u8]) -> String {
    entra.sign_raw(header(entra).as_bytes(), payload)
}

/// A token whose payload has `member` in place of a claim, as JSON text that need not be valid.
pub(crate) fn with_claim_text(entra: &Emulator, name: &str, text: &str) -> String {
    let mut claims = entra.token().claims();
    claims.remove(name);
    let rest = Value::Object(claims).to_string();
    with_payload(
        entra,
        format!("{{\"{name}\":{text},{}", &rest[1..]).as_bytes(),
    )
}

/// A key pair that the identity provider has never seen.
pub(crate) struct Attacker(RsaKeyPair);

impl Attacker {
    pub(crate) fn new() -> Self {
        Self::with_size(KeySize::Rsa2048)
    }

    pub(crate) fn with_size(size: KeySize) -> Self {
        Self(RsaKeyPair::generate(size).unwrap())
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let public = self.0.public_key();
        json!({
            "kty": "RSA",
            "use": "sig",
            "kid": kid,
            "n": base64url(public.modulus().big_endian_without_leading_zero()),
            "e": base64url(public.exponent().big_endian_without_leading_zero()),
        })
    }

    pub(crate) fn certificate(&self) -> String {
        STANDARD.encode(self.0.public_key().as_der().unwrap().as_ref())
    }

    pub(crate) fn sign(&self, header: &Value, payload: &str) -> String {
        let message = format!("{}.{}", base64url(header.to_string()), base64url(payload));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .unwrap();
        format!("{message}.{}", base64url(signature))
    }
}

/// A listener that must never be called.
pub(crate) struct Trap(std::net::TcpListener);

impl Trap {
    pub(crate) fn set() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    pub(crate) fn was_never_called(&self) {
        let error = self.0.accept().map(drop).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}
