//! Tokens made to order, good and bad, for tests.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
};
use serde_json::{Map, Value};

use super::claims::{AppToken, Authentication, IdToken, Identity, UserToken};
use super::{Claims, header};
use crate::directory::{Application, Consent, Directory, TokenVersion, User, demo};
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
    api: Option<String>,
    client: Option<String>,
    version: Option<TokenVersion>,
    scopes: Option<Vec<String>>,
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
            api: None,
            client: None,
            version: None,
            scopes: None,
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

    /// For this API, by client id or App ID URI, instead of the demo's: its audience, token version, key, roles and
    /// the scopes that the client needs of it. An API that the directory doesn't know gets a token all the same.
    ///
    /// Unless this is called the token is of the only API in the directory, or of the demo's where there are several.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let emulator = entra_emulator::Emulator::builder().start().await?;
    /// let token = emulator.token().api("api://orders").scopes(["read"]).sign();
    /// # Ok(()) }
    /// ```
    pub fn api(mut self, identifier: impl Into<String>) -> Self {
        self.api = Some(identifier.into());
        self
    }

    /// Issued to this application, by client id or App ID URI, instead of the first that has to do with the API:
    /// `azp` or `appid`. It need not exist.
    pub fn client(mut self, identifier: impl Into<String>) -> Self {
        self.client = Some(identifier.into());
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

    /// An ID token addressed to the API's client id: everything right but that it is no access
    /// token, so it has no `scp`.
    pub fn id_token(mut self) -> Self {
        self.kind = Kind::Id;
        self
    }

    /// The token an application has for itself: `roles`, `idtyp` if the API wants it, and no `scp`.
    pub fn app_only(mut self) -> Self {
        self.kind = Kind::AppOnly;
        self
    }

    /// A token for Azure Resource Manager, as the API gets it On-Behalf-Of.
    pub fn arm(mut self) -> Self {
        self.kind = Kind::Arm;
        self
    }

    /// With these scopes in `scp`.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
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
        let directory = self.state.directory();
        self.all_claims(&directory, &self.parties(&directory))
    }

    /// The token in compact form.
    #[must_use]
    pub fn sign(self) -> String {
        let directory = self.state.directory();
        let parties = self.parties(&directory);
        let key = self
            .key
            .as_deref()
            .and_then(|kid| self.state.keys.find(kid))
            .unwrap_or_else(|| self.own_key(&parties));
        let kid = self.key.as_deref().unwrap_or(&key.kid);
        let v1 = self.version(&parties) == TokenVersion::V1;
        let mut header = match header(kid, v1) {
            Value::Object(header) => header,
            _ => Map::new(),
        };
        apply(&mut header, &self.header);
        let claims = self.all_claims(&directory, &parties);
        let message = format!(
            "{}.{}",
            base64url(Value::Object(header).to_string()),
            base64url(Value::Object(claims).to_string())
        );
        let signature = self.signature.make(&key, message.as_bytes());
        format!("{message}.{}", base64url(signature))
    }

    /// The key of the application that the token is for, where that has one.
    fn own_key(&self, parties: &Parties<'_>) -> Arc<SigningKey> {
        let own = self.state.signing_key(&parties.resource).ok();
        own.unwrap_or_else(|| self.state.keys.current())
    }

    fn version(&self, parties: &Parties<'_>) -> TokenVersion {
        self.version.unwrap_or(match self.kind {
            Kind::Id => TokenVersion::V2,
            Kind::Api | Kind::AppOnly | Kind::Arm => parties.resource.token_version,
        })
    }

    fn parties<'a>(&self, directory: &'a Directory) -> Parties<'a> {
        let api = match (&self.api, directory.api(self.api.as_deref())) {
            (_, Ok(api)) => Cow::Borrowed(api),
            (Some(stranger), Err(_)) => Cow::Owned(Application::new("", stranger, stranger)),
            (None, Err(_)) => Cow::Owned(demo::api()),
        };
        let asked_as = self.api.clone().unwrap_or_else(|| {
            let own = api.app_id_uris.first().unwrap_or(&api.client_id);
            own.clone()
        });
        if self.kind == Kind::Arm {
            let arm = directory.application(demo::ARM_CLIENT_ID);
            return Parties {
                client: match &self.client {
                    Some(client) => named(directory, client),
                    None => api,
                },
                resource: arm.map_or_else(|| Cow::Owned(demo::arm()), Cow::Borrowed),
                identifier: demo::ARM_RESOURCE.to_owned(),
            };
        }
        let client = match &self.client {
            Some(client) => named(directory, client),
            None => match directory.client_of(&api, None) {
                Ok(client) => Cow::Borrowed(client),
                Err(_) => Cow::Owned(demo::ui()),
            },
        };
        Parties {
            client,
            resource: api,
            identifier: asked_as,
        }
    }

    fn all_claims(&self, directory: &Directory, parties: &Parties<'_>) -> Claims {
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
        let mut claims = self.good_claims(directory, parties, identity, lifetime);
        apply(&mut claims, &self.claims);
        claims
    }

    fn good_claims(
        &self,
        directory: &Directory,
        parties: &Parties<'_>,
        identity: Identity<'_>,
        lifetime: i64,
    ) -> Claims {
        let Parties {
            client,
            resource,
            identifier,
        } = parties;
        let version = self.version(parties);
        match self.kind {
            Kind::Api | Kind::Arm => UserToken {
                identity,
                client,
                authentication: authentication(client),
                resource,
                identifier,
                scopes: &self.scopes_of(parties),
                acrs: &[],
                capabilities: &[],
            }
            .claims(&self.state, version, lifetime),
            Kind::AppOnly => {
                let assigned = directory.app_roles(identity.tenant, client, resource);
                AppToken {
                    tenant: identity.tenant,
                    client,
                    authentication: authentication(client),
                    resource,
                    identifier,
                    // One that may do nothing would be of no use to a test.
                    roles: if assigned.is_empty() {
                        &resource.app_roles
                    } else {
                        &assigned
                    },
                    idtyp: resource.idtyp,
                }
                .claims(&self.state, version, lifetime)
            }
            Kind::Id => IdToken {
                identity,
                audience: &resource.client_id,
                nonce: None,
                profile: true,
                email: false,
            }
            .claims(&self.state, lifetime),
        }
    }

    /// Those that were ordered, or as `.default` would have it: what the client needs, or all that there are.
    fn scopes_of(&self, parties: &Parties<'_>) -> Vec<String> {
        if let Some(scopes) = &self.scopes {
            return scopes.clone();
        }
        let Parties {
            client, resource, ..
        } = parties;
        let needed: Vec<String> = (client.required.iter())
            .filter(|permission| {
                permission
                    .resource
                    .eq_ignore_ascii_case(&resource.client_id)
            })
            .flat_map(|permission| &permission.scopes)
            .filter(|scope| resource.scope(scope).is_some())
            .cloned()
            .collect();
        if needed.is_empty() {
            let all = resource.scopes.iter();
            return all.map(|scope| scope.value.clone()).collect();
        }
        needed
    }

    /// Records what the user would have consented to at a sign-in to the client for this token: the client's
    /// permissions on the API, and those that the API needs itself.
    pub(crate) fn grant(&self, directory: &mut Directory) {
        let chain = {
            let Some(user) = directory.user(&self.user) else {
                return;
            };
            let mut api_token = self.clone();
            if self.kind == Kind::Arm {
                (api_token.kind, api_token.scopes) = (Kind::Api, None);
            }
            let parties = api_token.parties(directory);
            let (client, api) = (&parties.client.client_id, &parties.resource);
            let consent = |client: &str, resource: &str, scopes: &[String]| {
                Consent::new(&user.tenant, &user.oid, client, resource, scopes)
            };
            let mut chain = vec![consent(
                client,
                &api.client_id,
                &api_token.scopes_of(&parties),
            )];
            chain.extend(api.required.iter().map(|permission| {
                consent(&api.client_id, &permission.resource, &permission.scopes)
            }));
            chain
        };
        for consent in chain {
            directory.grant(consent);
        }
    }
}

/// Between whom a token is, and what it is called for.
struct Parties<'a> {
    client: Cow<'a, Application>,
    resource: Cow<'a, Application>,
    /// The resource as it was asked for.
    identifier: String,
}

fn named<'a>(directory: &'a Directory, identifier: &str) -> Cow<'a, Application> {
    match directory.resource(identifier) {
        Some(app) => Cow::Borrowed(app),
        None => Cow::Owned(Application::new("", identifier, identifier)),
    }
}

/// How an application would prove itself.
fn authentication(client: &Application) -> Authentication {
    if !client.secrets.is_empty() {
        Authentication::Secret
    } else if client.is_public() {
        Authentication::None
    } else {
        Authentication::Assertion
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
