//! New tokens for an old sign-in (RFC 6749 §6).

use serde_json::Value;

use super::issue::{Issue, check_mfa, granted, user_of};
use super::{Refusal, TokenRequest};
use crate::aadsts;
use crate::claims_request::ClaimsRequest;
use crate::event::Event;
use crate::scope::Scopes;
use crate::token::claims::Identity;

pub(super) fn redeem(request: TokenRequest<'_>) -> Result<Value, Refusal> {
    let TokenRequest {
        state,
        directory,
        client,
        form,
        checks,
        ..
    } = request;
    let grant = state
        .grants
        .refresh_token(form.required("refresh_token")?, state.now())?;
    if !grant.client_id.eq_ignore_ascii_case(&client.client_id) {
        return Err(aadsts::grant_of_another_client().into());
    }
    checks.passed("The refresh token is this client's and still good");
    let user = user_of(directory, &grant.tenant, &grant.oid)?;
    checks.user(&user.username);
    if grant.revocations < user.revocations {
        return Err(aadsts::session_revoked().into());
    }
    // Another tenant's path asks for a token there, which a guest can have.
    let tenant = request.authority.id().unwrap_or(&grant.tenant);
    let oid = user
        .oid_in(tenant)
        .ok_or_else(|| aadsts::user_not_in_tenant(&user.username, tenant))?;
    let identity = Identity {
        user,
        tenant,
        oid,
        mfa: grant.mfa,
    };
    let scope = form.get("scope").unwrap_or(&grant.scope);
    let scopes = Scopes::parse(scope, directory, tenant)?;
    if form.get("scope").is_some() && scopes.resources.len() > 1 {
        return Err(aadsts::several_resources(scope).into());
    }
    let claims = match form.get("claims") {
        Some(claims) => ClaimsRequest::parse(Some(claims))?,
        None => grant.claims.clone(),
    };
    let resource = scopes.resources.first();
    let granted = match resource {
        Some(resource) => granted(request, identity, resource)?,
        None => Vec::new(),
    };
    if let Some(resource) = resource {
        check_mfa(identity, resource)?;
        // Nobody is there to take a second step, so a challenge can't be answered.
        if claims.step_up && !identity.mfa && user.mfa != crate::directory::Mfa::NotRequired {
            let policy = resource.app.mfa_policy.as_deref().unwrap_or_default();
            let enrolled = user.mfa == crate::directory::Mfa::Required;
            return Err(aadsts::mfa_required(&resource.app.client_id, enrolled, policy).into());
        }
    }
    let mut scopes_to_keep = scopes.clone();
    // Whoever came with a refresh token leaves with one.
    scopes_to_keep.offline_access = true;
    let issue = Issue {
        identity,
        scopes: &scopes_to_keep,
        resource,
        granted: &granted,
        claims: &claims,
        nonce: None,
        scope_text: &grant.scope,
    };
    let (tokens, _) = issue.tokens(request)?;
    state.record(Event::Refreshed {
        username: user.username.clone(),
        client_id: client.client_id.clone(),
    });
    Ok(tokens)
}
