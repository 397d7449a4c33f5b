//! What is kept elsewhere is sealed: AES-256-GCM under HKDF-SHA-256 of the client secret, bound to its name.
//! Names are HMACs, so that a dump of the store holds no session id either.

use anyhow::anyhow;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use secrecy::ExposeSecret as _;

use super::StoreError;
use crate::config::Settings;

/// Begins every name in the store.
const PREFIX: &str = "demo-ui:1:";

pub(super) struct Seal {
    names: hmac::Key,
    values: LessSafeKey,
}

impl Seal {
    /// The key of an app: another client or another address with the same secret opens nothing.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let secret = settings.client_secret.expose_secret().as_bytes();
        let app = format!("{} {}", settings.client_id, settings.public_origin);
        let key = |purpose: &'static [u8]| -> anyhow::Result<[u8; 32]> {
            let wrong = |_| anyhow!("the system's cryptography refused to derive a key");
            let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"demo-ui").extract(secret);
            let info = [purpose, b" ", app.as_bytes()];
            let okm = secret.expand(&info, hkdf::HKDF_SHA256).map_err(wrong)?;
            let mut key = [0; 32];
            okm.fill(&mut key).map_err(wrong)?;
            Ok(key)
        };
        let values = UnboundKey::new(&AES_256_GCM, &key(b"values")?);
        Ok(Self {
            names: hmac::Key::new(hmac::HMAC_SHA256, &key(b"names")?),
            values: LessSafeKey::new(values.map_err(|_| anyhow!("no key of AES-256-GCM"))?),
        })
    }

    /// The name that something has in the store.
    pub(super) fn name(&self, kind: &str, name: &str) -> String {
        let tag = hmac::sign(&self.names, format!("{kind}:{name}").as_bytes());
        format!("{PREFIX}{kind}:{}", URL_SAFE_NO_PAD.encode(tag))
    }

    pub(super) fn close(&self, name: &str, mut plain: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let failed = |_| StoreError("a value can't be sealed");
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(failed)?;
        self.values
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut plain,
            )
            .map_err(failed)?;
        let mut sealed = nonce.to_vec();
        sealed.append(&mut plain);
        Ok(sealed)
    }

    /// `None` where it was sealed for another name, or with another key.
    pub(super) fn open(&self, name: &str, sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = rest.to_vec();
        let aad = Aad::from(name.as_bytes());
        let plain = self.values.open_in_place(nonce, aad, &mut rest).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn seal(secret: &str, client: &str, public_url: &str) -> Seal {
        let mut config = Config::new(
            "organizations",
            client,
            secret.to_owned().into(),
            "http://127.0.0.1:8080".parse().unwrap(),
            "api://x/.default",
        );
        config.public_url = Some(public_url.parse().unwrap());
        Seal::new(&config.resolve(([127, 0, 0, 1], 1).into()).unwrap()).unwrap()
    }

    #[test]
    fn another_app_with_the_same_secret_opens_nothing() {
        let mine = seal("secret", "ui", "https://ui.example");
        let name = mine.name("session", "one");
        let sealed = mine.close(&name, b"token".to_vec()).unwrap();
        let again = seal("secret", "ui", "https://ui.example/");
        assert_eq!(again.name("session", "one"), name);
        assert!(again.open(&name, sealed.clone()).is_some());
        for (client, public_url) in [
            ("other", "https://ui.example"),
            ("ui", "https://staging.example"),
        ] {
            let other = seal("secret", client, public_url);
            assert_ne!(other.name("session", "one"), name);
            assert_eq!(
                other.open(&name, sealed.clone()),
                None,
                "{client} {public_url}"
            );
        }
    }

    #[test]
    fn only_the_same_secret_opens_and_only_under_the_same_name() {
        let of = |secret| seal(secret, "ui", "https://ui.example");
        let (seal, other) = (of("secret"), of("other"));
        let name = seal.name("account", "alice");
        let sealed = seal.close(&name, b"token".to_vec()).unwrap();
        assert!(!sealed.windows(5).any(|part| part == b"token"));
        assert_eq!(
            seal.open(&name, sealed.clone()).as_deref(),
            Some(&b"token"[..])
        );
        assert_eq!(
            seal.open(&seal.name("account", "bob"), sealed.clone()),
            None
        );
        assert_eq!(other.open(&name, sealed.clone()), None);
        for cut in [0, NONCE_LEN, sealed.len() - 1] {
            assert_eq!(seal.open(&name, sealed[..cut].to_vec()), None, "{cut}");
        }
        assert_ne!(
            seal.close(&name, b"token".to_vec()).unwrap(),
            sealed,
            "never twice the same"
        );
        assert!(!name.contains("alice") && name != other.name("account", "alice"));
    }
}
