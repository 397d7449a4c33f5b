//! A core with a key of its own, no network behind it, and tokens of the size that Entra ID's have.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Method, Uri, header::AUTHORIZATION};
use serde_json::{Value, json};
use tower_obo::{
    AccessPolicy, BoundPolicy, Clock as _, Core, Credential, Decision, Downstream, Entra,
    ExchangeRequest, Exchanging, Head, Issuers, KeySet, KeySource, Policy, RefreshReason,
    Refreshed, Secret, SystemClock, Timestamp, TokenExchange, TokenResponse, Validator,
};

const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const CLIENT: &str = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
pub(crate) const KID: &str = "nOo3ZDrODXEK1jKWhXslHR_KXEg";
const DAY: u64 = 24 * 3600;

pub(crate) struct Rig {
    pub(crate) core: Core,
    pub(crate) keys: Arc<KeySet>,
    pub(crate) now: Timestamp,
    signing_key: RsaKeyPair,
}

impl Rig {
    /// `cache` is the bound of the caches, in bytes.
    pub(crate) fn new(cache: u64) -> Self {
        let now = SystemClock.now();
        let signing_key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = signing_key.public_key();
        let jwk = json!({
            "kty": "RSA",
            "kid": KID,
            "n": base64url(public.modulus().big_endian_without_leading_zero()),
            "e": base64url(public.exponent().big_endian_without_leading_zero()),
        });
        let keys = KeySet::parse(
            json!({ "keys": [jwk] }).to_string().as_bytes(),
            Issuers::new("https://login.microsoftonline.com/{tenantid}/v2.0"),
            now,
            Duration::from_secs(DAY),
        );
        let keys = Arc::new(keys.unwrap());
        let core = Core::builder(Entra::tenant(TENANT))
            .client(CLIENT, Credential::secret("not used"))
            .with_keys(Fixed(Arc::clone(&keys)))
            .with_exchange(Canned)
            .cache_max_bytes(cache)
            .build()
            .unwrap();
        Self {
            core,
            keys,
            now,
            signing_key,
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy::new(AccessPolicy::any_scope(["access_as_user"]))
            .downstream(Downstream::azure_resource_manager())
    }

    pub(crate) fn validator(&self) -> Validator {
        Validator::builder().audience(CLIENT).tenant(TENANT).build()
    }

    /// A good token of user number `user`, about as long as Entra ID's: 1,600 bytes.
    pub(crate) fn token(&self, user: usize) -> String {
        self.signed(&header(KID), &self.claims(user))
    }

    /// What a v2.0 token holds, and text that fills it up.
    pub(crate) fn claims(&self, user: usize) -> Value {
        let now = self.now.as_unix();
        let id = format!("00000000-0000-0000-0000-{user:012x}");
        json!({
            "aud": CLIENT,
            "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
            "iat": now - 300,
            "nbf": now - 300,
            "exp": now + DAY,
            "aio": "A".repeat(300),
            "azp": "d3590ed6-52b3-4102-aeff-aad2292ab01c",
            "azpacr": "0",
            "name": "A user with a name of usual length",
            "oid": id,
            "preferred_username": format!("user{user}@contoso.example"),
            "rh": "0.".repeat(40),
            "scp": "access_as_user",
            "sid": id,
            "sub": "b".repeat(43),
            "tid": TENANT,
            "uti": "u".repeat(22),
            "ver": "2.0",
        })
    }

    pub(crate) fn signed(&self, header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            base64url(header.to_string()),
            base64url(claims.to_string())
        );
        let mut signature = vec![0; self.signing_key.public_modulus_len()];
        self.signing_key
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

pub(crate) fn header(kid: &str) -> Value {
    json!({"typ": "JWT", "alg": "RS256", "kid": kid})
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(
        AUTHORIZATION,
        HeaderValue::try_from(format!("Bearer {token}")).unwrap(),
    );
    headers
}

pub(crate) fn decide(core: &Core, policy: &Arc<BoundPolicy>, headers: &HeaderMap) -> Decision {
    let uri = Uri::from_static("/subscriptions");
    let head = Head {
        method: &Method::GET,
        uri: &uri,
        headers,
    };
    core.decide(&head, policy)
}

#[derive(Debug)]
struct Fixed(Arc<KeySet>);

impl KeySource for Fixed {
    fn current(&self) -> Option<Arc<KeySet>> {
        Some(Arc::clone(&self.0))
    }

    fn refresh(&self, _: RefreshReason) -> Option<Refreshed> {
        None
    }
}

/// A downstream token as long as Resource Manager's.
#[derive(Debug)]
struct Canned;

impl TokenExchange for Canned {
    fn exchange(&self, _: ExchangeRequest) -> Exchanging {
        let token = Secret::from("d".repeat(1_500));
        Box::pin(async { Ok(TokenResponse::new(token, Duration::from_secs(DAY))) })
    }
}
