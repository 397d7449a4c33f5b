//! The parsers of what strangers send, for the fuzz targets in `tests/fuzz`. Compiled only where
//! cargo-fuzz sets `--cfg fuzzing`; no part of the API.
#![allow(missing_docs, missing_debug_implementations)]

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderValue, Uri};

use crate::{
    Algorithm, Oidc, Validator, bearer, challenge,
    challenge::{Challenge, ChallengeContext},
    keys,
    validate::{
        claims::{Audience, RawClaims},
        jose::Jws,
    },
};

/// The one bearer token of a request.
pub fn bearer<'a>(headers: &'a HeaderMap, uri: &Uri, limit: usize) -> Option<&'a str> {
    let candidate = bearer::candidate(headers, uri, limit).ok()?;
    bearer::parse(candidate).ok()
}

pub struct Token {
    pub algorithm: Algorithm,
    pub kid: Box<str>,
    pub signing_input: Vec<u8>,
    pub payload: String,
    pub signature: String,
}

/// A compact JWS, taken apart.
pub fn token(text: &str) -> Option<Token> {
    let jws = Jws::parse(text).ok()?;
    Some(Token {
        algorithm: jws.header.algorithm,
        kid: jws.header.kid,
        signing_input: jws.signing_input.to_owned(),
        payload: jws.payload.to_owned(),
        signature: jws.signature.to_owned(),
    })
}

#[derive(Debug, PartialEq)]
pub struct Claims {
    pub issuer: String,
    /// A list of one is not the same as one.
    pub audience: Result<String, Vec<String>>,
    pub expires: u64,
    pub not_before: u64,
    pub version: String,
    pub tenant_id: String,
    pub object_id: Option<String>,
    pub subject: Option<String>,
    pub authorized_party: Option<String>,
    pub app_id: Option<String>,
    pub scope: String,
    pub roles: Vec<String>,
    pub identity_type: Option<String>,
    pub token_id: Option<String>,
    pub capabilities: Vec<String>,
    pub kept: Vec<(String, String)>,
}

/// The claims of a payload, with `keep` kept.
pub fn claims(payload: &[u8], keep: &[&str]) -> Option<Claims> {
    let keep: Vec<Arc<str>> = keep.iter().map(|name| Arc::from(*name)).collect();
    let claims = RawClaims::parse(payload, &keep).ok()?;
    let optional = claims.optional;
    Some(Claims {
        issuer: claims.issuer.into(),
        audience: match claims.audience {
            Audience::One(audience) => Ok(audience.into()),
            Audience::Many(audiences) => Err(texts(audiences)),
        },
        expires: claims.expires,
        not_before: claims.not_before,
        version: claims.version.into(),
        tenant_id: claims.tenant_id.into(),
        object_id: optional.object_id.map(Into::into),
        subject: optional.subject.map(Into::into),
        authorized_party: optional.authorized_party.map(Into::into),
        app_id: optional.app_id.map(Into::into),
        scope: optional.scope.into(),
        roles: texts(optional.roles),
        identity_type: optional.identity_type.map(Into::into),
        token_id: optional.token_id.map(Into::into),
        capabilities: texts(optional.capabilities),
        kept: optional
            .kept
            .into_iter()
            .map(|(name, value)| (name.as_ref().to_owned(), value.into()))
            .collect(),
    })
}

/// What a token of another provider than Entra ID says.
#[derive(Debug)]
pub struct OidcClaims {
    pub issuer: String,
    /// A list of one is not the same as one.
    pub audience: Result<String, Vec<String>>,
    pub expires: u64,
    pub not_before: u64,
    pub subject: Option<String>,
    pub client: Option<String>,
    pub scope: String,
    pub roles: Vec<String>,
    pub is_app_only: bool,
}

/// The claims of an access token of this provider, whose header does not say that it is one.
pub fn oidc_claims(oidc: &Oidc, payload: &[u8]) -> Option<OidcClaims> {
    let validator = Validator::builder().oidc(oidc).build();
    let claims = validator.claims_of(oidc, payload).ok()?;
    let optional = claims.optional;
    Some(OidcClaims {
        issuer: claims.issuer.into(),
        audience: match claims.audience {
            Audience::One(audience) => Ok(audience.into()),
            Audience::Many(audiences) => Err(texts(audiences)),
        },
        expires: claims.expires,
        not_before: claims.not_before,
        subject: optional.subject.map(Into::into),
        client: optional.authorized_party.map(Into::into),
        scope: optional.scope.into(),
        roles: texts(optional.roles),
        is_app_only: optional.identity_type.as_deref() == Some("app"),
    })
}

/// Where the keys of the provider are, and its token endpoint, by the document that it publishes.
pub fn oidc_document(oidc: &Oidc, document: &[u8]) -> Option<(String, String)> {
    keys::oidc_document(oidc, document)
}

fn texts(texts: Vec<Cow<'_, str>>) -> Vec<String> {
    texts.into_iter().map(Cow::into_owned).collect()
}

/// A challenge as it is written, with everything that a caller or Entra ID has a say in.
pub fn write_challenge(
    realm: &str,
    description: &str,
    scope: &str,
    claims: Option<&str>,
) -> Option<HeaderValue> {
    let context = ChallengeContext {
        realm: realm.into(),
        authorization_uri: Some("https://login.example/authorize".into()),
        resource_metadata: None,
    };
    let mut challenge = Challenge::new(&context)
        .error("insufficient_claims", Some(description))
        .scope(scope);
    if let Some(claims) = claims {
        challenge = challenge.claims(&context, claims);
    }
    challenge.into_header()
}

/// The claims of the first challenge that has some.
pub fn read_challenge(headers: &HeaderMap) -> Option<String> {
    challenge::claims(headers)
}
