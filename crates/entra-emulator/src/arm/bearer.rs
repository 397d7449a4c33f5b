//! Who calls ARM: the token is checked for real.

use axum::http::HeaderMap;

use super::answer::ArmError;
use crate::directory::{TokenVersion, demo};
use crate::state::State;
use crate::token::bearer::Bearer;
use crate::token::revocation::claims_challenge;
use crate::token::verify::{TokenProblem, Verified, verify};

/// The caller's identity, as their token has it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) tenant: String,
    pub(super) oid: String,
}

pub(super) fn caller(state: &State, headers: &HeaderMap) -> Result<Caller, ArmError> {
    let common = format!("{}/common", state.url);
    let token = match Bearer::of(headers) {
        Bearer::Missing => return Err(ArmError::missing_authorization(&common)),
        Bearer::Malformed => return Err(ArmError::bad_scheme(&common)),
        Bearer::Token(token) => token,
    };
    let verified = verify(state, token).map_err(|problem| match problem {
        TokenProblem::Expired(at) => ArmError::expired(&common, at, state.now()),
        TokenProblem::Issuer => ArmError::wrong_tenant(&common, "of another directory"),
        TokenProblem::Malformed
        | TokenProblem::Algorithm
        | TokenProblem::Signature(_)
        | TokenProblem::NotYetValid(_) => ArmError::invalid_token(&common),
    })?;
    let authority = format!("{}/{}", state.url, verified.tenant);
    check_audience(state, &verified, &authority)?;
    if let Some(claims) = claims_challenge(state, &verified) {
        return Err(ArmError::revoked(&authority, &claims));
    }
    let oid = verified
        .text("oid")
        .ok_or_else(|| ArmError::invalid_token(&authority))?;
    Ok(Caller {
        oid: oid.to_owned(),
        tenant: verified.tenant,
    })
}

fn check_audience(state: &State, verified: &Verified, authority: &str) -> Result<(), ArmError> {
    let audience = verified.text("aud").unwrap_or_default();
    let issuer = verified.text("iss").unwrap_or_default();
    let directory = state.directory();
    let addressed = directory
        .application(demo::ARM_CLIENT_ID)
        .is_some_and(|arm| {
            arm.app_id_uris
                .iter()
                .any(|uri| uri == audience.strip_suffix('/').unwrap_or(audience))
        });
    if !addressed {
        return Err(ArmError::wrong_audience(authority, audience));
    }
    // ARM asks for v1 tokens, so nothing else is issued for it.
    if issuer != state.issuer(TokenVersion::V1, &verified.tenant) {
        return Err(ArmError::wrong_tenant(authority, issuer));
    }
    Ok(())
}
