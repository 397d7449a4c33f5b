//! Who calls ARM: the token is checked for real.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::answer::ArmError;
use crate::directory::{TokenVersion, demo};
use crate::state::State;
use crate::token::bearer::Bearer;
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
    check_revocation(state, &verified, &authority)?;
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

/// Continuous access evaluation, for clients that said they can handle it (`xms_cc`: `cp1`).
fn check_revocation(state: &State, verified: &Verified, authority: &str) -> Result<(), ArmError> {
    let directory = state.directory();
    let user = verified
        .text("oid")
        .and_then(|oid| directory.user_in(&verified.tenant, oid));
    let capable = verified.capabilities().iter().any(|one| one == "cp1");
    match user {
        Some(user) if capable && verified.revoked(user) => {
            let now = state.now().to_string();
            let claims =
                json!({"access_token": {"nbf": {"essential": true, "value": now}}}).to_string();
            Err(ArmError::revoked(authority, &STANDARD.encode(claims)))
        }
        _ => Ok(()),
    }
}
