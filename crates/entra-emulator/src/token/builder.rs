//! Tokens made to order, good and bad, for tests.

use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
};
use serde_json::{Map, Value};

use super::claims::{AppToken, Authentication, IdToken, Identity, UserToken};
use super::{Claims, header};
use crate::directory::{Directory, TokenVersion, User, demo};
use crate::encoding::base64url;
use crate::keys::SigningKey;
use crate::state::State;

/// How a made-up token is signed, whatever its header says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Signature {
    /// RSASSA-PKCS1-v1_5 with SHA-256 and a key of the emulator: the real one.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// HMAC with SHA-256 under these bytes, such as a public key.
    Hs256(Vec<u8>),
    /// HMAC with SHA-384 under these bytes.
    Hs384(Vec<u8>),
    /// HMAC with SHA-512 under these bytes.
    Hs512(Vec<u8>),
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing after the second dot.
    Empty,
}

/// Starts from a good access token of Alice for the demo API and changes what is asked for.
#[derive(Clone, Debug)]
#[must_use]
pub struct TokenBuilder {
    state: Arc<State>,
    user: String,
    tenant: Option<String>,
    kind: Kind,
    version: Option<TokenVersion>,
    scopes: Vec<String>,
    mfa: bool,
    lifetime: Option<i64>,
    claims: Vec<(String, Option<Value>)>,
    header: Vec<(String, Option<Value>)>,
    key: Option<String>,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Api,
    AppOnly,
    Arm,
    Id,
}

impl TokenBuilder {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self {
            state,
            user: demo::ALICE_OID.to_owned(),
            tenant: None,
            kind: Kind::Api,
            version: None,
            scopes: vec![demo::API_SCOPE.to_owned()],
            mfa: false,
            lifetime: None,
            claims: Vec::new(),
            header: Vec::new(),
            key: None,
            signature: Signature::Rs256,
        }
    }

    /// For this user, by name or object id. A user that the directory doesn't know gets a token all
    /// the same, in Contoso.
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = name.into();
        self
    }

    /// Issued in this tenant (an id; it need not exist) instead of the user's own: `tid` and `iss`.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Of the https base: its issuer instead of the http base's. Nothing changes in an emulator
    /// without https.
    pub fn https(mut self) -> Self {
        if let Some(https) = &self.state.https {
            self.state = https.clone();
        }
        self
    }

    /// A v1 token: issuer `…/{tid}/`, audience the App ID URI, `appid` instead of `azp`.
    pub fn v1(mut self) -> Self {
        self.version = Some(TokenVersion::V1);
        self
    }

    /// An ID token addressed to the demo API's client id: everything right but that it is no access
    /// token, so it has no `scp`.
    pub fn id_token(mut self) -> Self {
        self.kind = Kind::Id;
        self
    }

    /// The token an application has for itself: `roles`, `idtyp` and no `scp`.
    pub fn app_only(mut self) -> Self {
        self.kind = Kind::AppOnly;
        self
    }

    /// A token for Azure Resource Manager, as the demo API gets it On-Behalf-Of.
    pub fn arm(mut self) -> Self {
        self.kind = Kind::Arm;
        self.scopes = vec![demo::ARM_SCOPE.to_owned()];
        self
    }

    /// With these scopes in `scp`.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// After a sign-in with a second factor.
    pub fn mfa(mut self) -> Self {
        self.mfa = true;
        self
    }

    /// Lives so many seconds from now; a negative number is a token that has expired.
    pub fn expires_in(mut self, seconds: i64) -> Self {
        self.lifetime = Some(seconds);
        self
    }

    /// Expired ten minutes ago.
    pub fn expired(self) -> Self {
        self.expires_in(-600)
    }

    /// Sets a claim to any JSON value.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.push((name.into(), Some(value.into())));
        self
    }

    /// Leaves a claim out.
    pub fn without_claim(mut self, name: impl Into<String>) -> Self {
        self.claims.push((name.into(), None));
        self
    }

    /// Sets a member of the JOSE header. The signature stays what it is: see
    /// [`TokenBuilder::signature`].
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.header.push((name.into(), Some(value.into())));
        self
    }

    /// Leaves a member of the JOSE header out.
    pub fn without_header(mut self, name: impl Into<String>) -> Self {
        self.header.push((name.into(), None));
        self
    }

    /// Signs with this key of the emulator, a withdrawn one too; an unknown id is written into the
    /// header and the current key signs.
    pub fn key(mut self, kid: impl Into<String>) -> Self {
        self.key = Some(kid.into());
        self
    }

    /// Signs in this way. The header's `alg` is not changed.
    pub fn signature(mut self, signature: Signature) -> Self {
        self.signature = signature;
        self
    }

    /// The claims as they would be signed.
    #[must_use]
    pub fn claims(&self) -> Map<String, Value> {
        let mut claims = self.good_claims();
        apply(&mut claims, &self.claims);
        claims
    }

    /// The token in compact form.
    #[must_use]
    pub fn sign(self) -> String {
        let key = self
            .key
            .as_deref()
            .and_then(|kid| self.state.keys.find(kid))
            .unwrap_or_else(|| self.own_key());
        let kid = self.key.as_deref().unwrap_or(&key.kid);
        let mut header = match header(kid, self.version() == TokenVersion::V1) {
            Value::Object(header) => header,
            _ => Map::new(),
        };
        apply(&mut header, &self.header);
        let message = format!(
            "{}.{}",
            base64url(Value::Object(header).to_string()),
            base64url(Value::Object(self.claims()).to_string())
        );
        let signature = self.signature.make(&key, message.as_bytes());
        format!("{message}.{}", base64url(signature))
    }

    /// The key of the application that the token is for, where that has one.
    fn own_key(&self) -> Arc<SigningKey> {
        let directory = self.state.directory();
        let resource = match self.kind {
            Kind::Api | Kind::AppOnly | Kind::Id => demo::API_CLIENT_ID,
            Kind::Arm => demo::ARM_CLIENT_ID,
        };
        let resource = directory.application(resource);
        let own = resource.and_then(|app| self.state.signing_key(app).ok());
        own.unwrap_or_else(|| self.state.keys.current())
    }

    fn version(&self) -> TokenVersion {
        self.version.unwrap_or(match self.kind {
            Kind::Arm => TokenVersion::V1,
            Kind::Api | Kind::AppOnly | Kind::Id => TokenVersion::V2,
        })
    }

    fn good_claims(&self) -> Claims {
        let directory = self.state.directory();
        let stranger;
        let user = match directory.user(&self.user) {
            Some(user) => user,
            None => {
                stranger = User::new(demo::CONTOSO, self.user.clone());
                &stranger
            }
        };
        let tenant = self.tenant.as_deref().unwrap_or(&user.tenant);
        let identity = Identity {
            user,
            tenant,
            oid: user.oid_in(tenant).unwrap_or(&user.oid),
            mfa: self.mfa,
        };
        let lifetime = self.lifetime.unwrap_or_else(|| self.state.token_lifetime());
        self.claims_of(&directory, identity, lifetime)
    }

    fn claims_of(&self, directory: &Directory, identity: Identity<'_>, lifetime: i64) -> Claims {
        let fallback = Directory::demo();
        let app = |id| directory.application(id).or(fallback.application(id));
        let (Some(ui), Some(api), Some(arm)) = (
            app(demo::UI_CLIENT_ID),
            app(demo::API_CLIENT_ID),
            app(demo::ARM_CLIENT_ID),
        ) else {
            return Claims::new();
        };
        let user_token = |client, resource, identifier| UserToken {
            identity,
            client,
            authentication: Authentication::Secret,
            resource,
            identifier,
            scopes: &self.scopes,
            acrs: &[],
            capabilities: &[],
        };
        let version = self.version();
        match self.kind {
            Kind::Api => {
                user_token(ui, api, demo::API_APP_ID_URI).claims(&self.state, version, lifetime)
            }
            Kind::Arm => {
                user_token(api, arm, demo::ARM_RESOURCE).claims(&self.state, version, lifetime)
            }
            Kind::AppOnly => AppToken {
                tenant: identity.tenant,
                client: ui,
                authentication: Authentication::Secret,
                resource: api,
                identifier: demo::API_APP_ID_URI,
                roles: &[demo::API_ROLE.to_owned()],
                idtyp: true,
            }
            .claims(&self.state, version, lifetime),
            Kind::Id => IdToken {
                identity,
                audience: &api.client_id,
                nonce: None,
                profile: true,
                email: false,
            }
            .claims(&self.state, lifetime),
        }
    }
}

impl Signature {
    fn make(&self, key: &SigningKey, message: &[u8]) -> Vec<u8> {
        let rsa =
            |algorithm: &'static dyn RsaEncoding| key.sign(algorithm, message).unwrap_or_default();
        let hmac = |algorithm, secret: &[u8]| {
            hmac::sign(&hmac::Key::new(algorithm, secret), message)
                .as_ref()
                .to_vec()
        };
        match self {
            Self::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Self::Rs384 => rsa(&RSA_PKCS1_SHA384),
            Self::Rs512 => rsa(&RSA_PKCS1_SHA512),
            Self::Ps256 => rsa(&RSA_PSS_SHA256),
            Self::Hs256(secret) => hmac(hmac::HMAC_SHA256, secret),
            Self::Hs384(secret) => hmac(hmac::HMAC_SHA384, secret),
            Self::Hs512(secret) => hmac(hmac::HMAC_SHA512, secret),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Empty => Vec::new(),
        }
    }
}

fn apply(members: &mut Map<String, Value>, changes: &[(String, Option<Value>)]) {
    for (name, value) in changes {
        match value {
            Some(value) => members.insert(name.clone(), value.clone()),
            None => members.remove(name),
        };
    }
}
