//! The On-Behalf-Of exchange: a user's token for the caller becomes one for the next API.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow>

use serde_json::Value;

use super::issue::{Issue, check_mfa, granted, user_of};
use super::{Refusal, TokenRequest};
use crate::aadsts;
use crate::claims_request::ClaimsRequest;
use crate::clock::entra_time;
use crate::error::AadError;
use crate::event::Event;
use crate::keys::SignatureProblem;
use crate::scope::Scopes;
use crate::state::State;
use crate::token::claims::Identity;
use crate::token::verify::{TokenProblem, Verified, verify};

pub(super) fn exchange(request: TokenRequest<'_>) -> Result<Value, Refusal> {
    let TokenRequest {
        state,
        directory,
        client,
        form,
        checks,
        ..
    } = request;
    // The user's tenant decides, and only the caller knows which that is: a guest would get a token
    // of the wrong one.
    let Some(tenant) = request.authority.id() else {
        return Err(aadsts::common_not_supported().into());
    };
    match form.required("requested_token_use")? {
        "on_behalf_of" => {}
        _ => return Err(aadsts::invalid_value("requested_token_use").into()),
    }
    let assertion = form.required("assertion")?;
    let scope = form.required("scope")?;
    let claims = ClaimsRequest::parse(form.get("claims"))?;

    let verified = verify(state, assertion).map_err(|problem| refusal(state, &problem))?;
    checks
        .passed("The assertion is signed by one of our keys, by a tenant's issuer, and still good");
    check_audience(request, &verified)?;
    checks.passed(format!(
        "The assertion is for {}, who presents it",
        client.display_name
    ));
    let (Some(_), Some(oid)) = (verified.text("scp"), verified.text("oid")) else {
        return Err(aadsts::app_only_assertion(&client.client_id).into());
    };
    let user = user_of(directory, &verified.tenant, oid)?;
    checks.user(&user.username);
    checks.passed("It is a user's, whose account is enabled");
    if verified.revoked(user) {
        return Err(aadsts::session_revoked().into());
    }
    checks.passed("The sessions of the user were not revoked since");
    let identity = Identity {
        user,
        tenant,
        oid: user
            .oid_in(tenant)
            .ok_or_else(|| aadsts::user_not_in_tenant(&user.username, tenant))?,
        mfa: verified.mfa(),
    };

    let scopes = Scopes::parse(scope, directory, tenant)?;
    let [resource] = &scopes.resources[..] else {
        return Err(aadsts::invalid_scope(scope).into());
    };
    let granted = granted(request, identity, resource)?;
    check_mfa(identity, resource)?;

    let issue = Issue {
        identity,
        scopes: &scopes,
        resource: Some(resource),
        granted: &granted,
        claims: &claims,
        nonce: None,
        scope_text: scope,
    };
    let (tokens, uti) = issue.tokens(request)?;
    state.record(Event::Exchanged {
        username: user.username.clone(),
        client_id: client.client_id.clone(),
        resource: resource.app.client_id.clone(),
        uti,
    });
    Ok(tokens)
}

/// The assertion must be addressed to the application that presents it, or else any API could turn
/// the tokens it receives into tokens for something else.
fn check_audience(request: TokenRequest<'_>, verified: &Verified) -> Result<(), AadError> {
    let client = request.client;
    let audience = verified.text("aud").unwrap_or_default();
    let ours = audience == client.client_id || client.app_id_uris.iter().any(|uri| uri == audience);
    if ours {
        Ok(())
    } else {
        Err(aadsts::wrong_assertion_audience(
            audience,
            &client.client_id,
        ))
    }
}

fn refusal(state: &State, problem: &TokenProblem) -> AadError {
    match problem {
        TokenProblem::Malformed => aadsts::malformed_assertion(),
        TokenProblem::Algorithm => {
            aadsts::bad_signature("The signature algorithm is not supported.")
        }
        TokenProblem::Signature(SignatureProblem::UnknownKey) => {
            aadsts::bad_signature("The key was not found.")
        }
        TokenProblem::Signature(SignatureProblem::ForeignKey) => {
            aadsts::bad_signature("The key belongs to another issuer.")
        }
        TokenProblem::Signature(SignatureProblem::Invalid) => aadsts::bad_signature(
            "The provided signature value did not match the expected signature value.",
        ),
        TokenProblem::Issuer => {
            aadsts::bad_signature("Issuer of the token is not a trusted issuer.")
        }
        TokenProblem::Expired(at) | TokenProblem::NotYetValid(at) => {
            aadsts::assertion_lifetime(&entra_time(state.now()), &entra_time(*at))
        }
    }
}
