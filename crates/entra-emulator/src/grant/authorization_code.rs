//! Redeems an authorization code (RFC 6749 §4.1.3) with its PKCE verifier (RFC 7636 §4.5).

use serde_json::Value;

use super::issue::{Issue, granted, user_of};
use super::{Refusal, TokenRequest};
use crate::aadsts;
use crate::encoding::{secrets_match, sha256_base64url};
use crate::error::AadError;
use crate::event::Event;
use crate::grant::store::Code;
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
    let name = form.required("code")?;
    let code = state
        .grants
        .redeem(name, state.now(), |code| check(request, code))?;
    let grant = &code.grant;
    checks.passed("The code is this client's, unused, and fits its redirect URI and PKCE verifier");
    let user = user_of(directory, &grant.tenant, &grant.oid)?;
    checks.user(&user.username);
    if grant.revocations < user.revocations {
        return Err(aadsts::session_revoked().into());
    }
    let identity = Identity {
        user,
        tenant: &grant.tenant,
        oid: &grant.oid,
        mfa: grant.mfa,
    };
    let authorized = Scopes::parse(&grant.scope, directory, &grant.tenant)?;
    let asked_text = form.get("scope").unwrap_or(&grant.scope);
    let asked = Scopes::parse(asked_text, directory, &grant.tenant)?;
    // A code may stand for several resources, a token for one.
    if form.get("scope").is_some() && asked.resources.len() > 1 {
        return Err(aadsts::several_resources(asked_text).into());
    }
    let resource = asked
        .resources
        .first()
        .or_else(|| authorized.resources.first());
    let granted = match resource {
        Some(resource) => granted(request, identity, resource)?,
        None => Vec::new(),
    };
    let issue = Issue {
        identity,
        // OpenID Connect's scopes are those of the sign-in, whatever is named now.
        scopes: &authorized,
        resource,
        granted: &granted,
        claims: &grant.claims,
        nonce: code.nonce.as_deref(),
        scope_text: &grant.scope,
    };
    let (tokens, _) = issue.tokens(request)?;
    state.record(Event::CodeRedeemed {
        username: user.username.clone(),
        client_id: client.client_id.clone(),
    });
    Ok(tokens)
}

fn check(request: TokenRequest<'_>, code: &Code) -> Result<(), AadError> {
    let TokenRequest { client, form, .. } = request;
    if !code.grant.client_id.eq_ignore_ascii_case(&client.client_id) {
        return Err(aadsts::grant_of_another_client());
    }
    if let Some(tenant) = request.authority.id()
        && !tenant.eq_ignore_ascii_case(&code.grant.tenant)
    {
        return Err(aadsts::invalid_grant());
    }
    let redirect_uri = form.required("redirect_uri")?;
    if redirect_uri != code.redirect_uri {
        return Err(
            if client.redirect_uris.iter().any(|uri| uri == redirect_uri) {
                aadsts::redirect_mismatch(redirect_uri, &code.redirect_uri)
            } else {
                aadsts::unregistered_redirect(redirect_uri, &client.client_id)
            },
        );
    }
    match (&code.code_challenge, form.get("code_verifier")) {
        (Some(challenge), Some(verifier))
            if secrets_match(challenge, &sha256_base64url(verifier)) =>
        {
            Ok(())
        }
        (None, None) => Ok(()),
        _ => Err(aadsts::pkce_mismatch()),
    }
}
