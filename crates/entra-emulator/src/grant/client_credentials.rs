//! A token for the application itself (RFC 6749 §4.4): what administrators assigned to it, and no
//! user.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use serde_json::{Value, json};

use super::{Refusal, TokenRequest};
use crate::aadsts;
use crate::directory::TokenVersion;
use crate::event::Event;
use crate::scope::Scopes;
use crate::token;
use crate::token::claims::{AppToken, Authentication};

pub(super) fn issue(request: TokenRequest<'_>) -> Result<Value, Refusal> {
    let TokenRequest {
        state,
        directory,
        client,
        authentication,
        form,
        checks,
        ..
    } = request;
    // There is no user whose tenant could be meant.
    let Some(tenant) = request.authority.id() else {
        return Err(aadsts::common_not_supported().into());
    };
    if authentication == Authentication::None {
        return Err(aadsts::missing_credential().into());
    }
    let scope = form.required("scope")?;
    // Single permissions can't be asked for: what was assigned is what the token has.
    if !scope
        .split_ascii_whitespace()
        .all(|one| one.ends_with("/.default"))
    {
        return Err(aadsts::client_credentials_scope(scope).into());
    }
    let scopes = Scopes::parse(scope, directory, tenant)?;
    let [resource] = &scopes.resources[..] else {
        return Err(aadsts::several_resources(scope).into());
    };
    let roles = directory.app_roles(tenant, client, resource.app);
    if roles.is_empty() && resource.app.assignment_required {
        return Err(aadsts::not_assigned(client, resource.app).into());
    }

    checks.passed(match &roles[..] {
        [] => format!(
            "{} takes applications without a role",
            resource.app.display_name
        ),
        roles => format!(
            "Assigned roles of {}: {}",
            resource.app.display_name,
            roles.join(", ")
        ),
    });
    let lifetime = state.token_lifetime();
    let version = resource.app.token_version;
    let claims = AppToken {
        tenant,
        client,
        authentication,
        resource: resource.app,
        identifier: resource.identifier,
        roles: &roles,
        idtyp: resource.app.idtyp,
    }
    .claims(state, version, lifetime);
    let key = state.signing_key(resource.app)?;
    let token = token::sign(&key, &claims, version == TokenVersion::V1)?;
    state.record(Event::AppTokenIssued {
        client_id: client.client_id.clone(),
        resource: resource.app.client_id.clone(),
    });
    // Entra's answer names no scope here.
    Ok(json!({
        "token_type": "Bearer",
        "expires_in": lifetime,
        "ext_expires_in": lifetime,
        "access_token": token,
    }))
}
