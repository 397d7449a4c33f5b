//! From a grant to the JSON of a token response.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Refusal, TokenRequest};
use crate::aadsts;
use crate::claims_request::ClaimsRequest;
use crate::directory::{Application, Directory, TokenVersion, User, demo};
use crate::encoding::{base64url, random};
use crate::error::AadError;
use crate::grant::store::Grant;
use crate::scope::{ResourceScopes, Scopes};
use crate::token;
use crate::token::claims::{IdToken, Identity, UserToken};

/// What the answer is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issue<'a> {
    pub(super) identity: Identity<'a>,
    pub(super) scopes: &'a Scopes<'a>,
    /// The resource the access token is for; `None` when only OpenID Connect's scopes were asked
    /// for.
    pub(super) resource: Option<&'a ResourceScopes<'a>>,
    pub(super) granted: &'a [String],
    pub(super) claims: &'a ClaimsRequest,
    pub(super) nonce: Option<&'a str>,
    /// Scope that a refresh token would remember.
    pub(super) scope_text: &'a str,
}

impl Issue<'_> {
    /// The response, and the `uti` of the access token in it.
    pub(super) fn tokens(&self, request: TokenRequest<'_>) -> Result<(Value, String), Refusal> {
        let TokenRequest { state, client, .. } = request;
        let lifetime = state.token_lifetime();
        let (access_token, uti, scope) = match self.resource {
            Some(resource) => {
                let version = resource.app.token_version;
                let claims = UserToken {
                    identity: self.identity,
                    client,
                    authentication: request.authentication,
                    resource: resource.app,
                    identifier: resource.identifier,
                    scopes: self.granted,
                    acrs: if self.identity.mfa {
                        &self.claims.acrs
                    } else {
                        &[]
                    },
                    capabilities: &self.claims.capabilities,
                }
                .claims(state, version, lifetime);
                let uti = claims["uti"].as_str().unwrap_or_default().to_owned();
                let key = state.signing_key(resource.app)?;
                let token = token::sign(&key, &claims, version == TokenVersion::V1)?;
                (token, uti, resource.response(self.granted))
            }
            // Without a resource the token is for OpenID Connect's userinfo, which is Graph's.
            None => {
                let scopes = self.openid_scopes();
                let token = match request.directory.application(demo::GRAPH_CLIENT_ID) {
                    Some(graph) => self.userinfo_token(request, graph, &scopes, lifetime)?,
                    // A directory without Graph: this one opens nothing.
                    None => random(48),
                };
                (token, String::new(), scopes.join(" "))
            }
        };
        let mut response = json!({
            "token_type": "Bearer",
            "scope": scope,
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": access_token,
        });
        if self.scopes.openid {
            let claims = IdToken {
                identity: self.identity,
                audience: &client.client_id,
                nonce: self.nonce,
                profile: self.scopes.profile,
                email: self.scopes.email,
            }
            .claims(state, lifetime);
            let key = state.signing_key(client)?;
            response["id_token"] = token::sign(&key, &claims, false)?.into();
        }
        if self.scopes.offline_access {
            response["refresh_token"] = state
                .grants
                .new_refresh_token(self.grant(&client.client_id, state.now()))
                .into();
        }
        if request.form.get("client_info") == Some("1") {
            let user = self.identity.user;
            let info = json!({"uid": user.oid, "utid": user.tenant});
            response["client_info"] = base64url(info.to_string()).into();
        }
        Ok((response, uti))
    }

    fn grant(&self, client_id: &str, now: i64) -> Grant {
        Grant {
            client_id: client_id.to_owned(),
            tenant: self.identity.tenant.to_owned(),
            oid: self.identity.oid.to_owned(),
            revocations: self.identity.user.revocations,
            mfa: self.identity.mfa,
            scope: self.scope_text.to_owned(),
            claims: self.claims.clone(),
            issued: now,
        }
    }

    fn userinfo_token(
        &self,
        request: TokenRequest<'_>,
        graph: &Application,
        scopes: &[String],
        lifetime: i64,
    ) -> Result<String, Refusal> {
        let claims = UserToken {
            identity: self.identity,
            client: request.client,
            authentication: request.authentication,
            resource: graph,
            identifier: demo::GRAPH_RESOURCE,
            scopes,
            acrs: &[],
            capabilities: &self.claims.capabilities,
        }
        .claims(request.state, TokenVersion::V1, lifetime);
        let key = request.state.signing_key(graph)?;
        Ok(token::sign(&key, &claims, true)?)
    }

    fn openid_scopes(&self) -> Vec<String> {
        [
            ("openid", self.scopes.openid),
            ("profile", self.scopes.profile),
            ("email", self.scopes.email),
        ]
        .iter()
        .filter(|(_, asked)| *asked)
        .map(|(name, _)| (*name).to_owned())
        .collect()
    }
}

/// The user behind a grant, if they may still have tokens.
pub(super) fn user_of<'a>(
    directory: &'a Directory,
    tenant: &str,
    oid: &str,
) -> Result<&'a User, AadError> {
    let user = directory
        .user_in(tenant, oid)
        .ok_or_else(|| aadsts::user_not_in_tenant(oid, tenant))?;
    if user.disabled {
        return Err(aadsts::user_disabled());
    }
    Ok(user)
}

/// The scopes of a resource that the token gets: all that were consented to for `.default`, else
/// exactly those asked for.
pub(super) fn granted(
    request: TokenRequest<'_>,
    identity: Identity<'_>,
    resource: &ResourceScopes<'_>,
) -> Result<Vec<String>, AadError> {
    let client = request.client;
    let consented = request.directory.consented(
        identity.tenant,
        identity.oid,
        &client.client_id,
        &resource.app.client_id,
    );
    let missing = || aadsts::consent_required(&client.client_id, &client.display_name);
    if resource.is_default() {
        if consented.is_empty() {
            return Err(missing());
        }
        return Ok(passed(request, resource, consented));
    }
    let asked: BTreeSet<String> = resource
        .values
        .iter()
        .map(|&value| value.to_owned())
        .collect();
    if asked.is_subset(&consented) {
        Ok(passed(request, resource, asked))
    } else {
        Err(missing())
    }
}

fn passed(
    request: TokenRequest<'_>,
    resource: &ResourceScopes<'_>,
    scopes: BTreeSet<String>,
) -> Vec<String> {
    let scopes: Vec<String> = scopes.into_iter().collect();
    let (of, names) = (&resource.app.display_name, scopes.join(", "));
    let checks = request.checks;
    checks.passed(format!("It was consented to, of {of}: {names}"));
    scopes
}

/// Refuses when the resource's policy asks for a second factor that the user didn't use.
pub(super) fn check_mfa(
    identity: Identity<'_>,
    resource: &ResourceScopes<'_>,
) -> Result<(), AadError> {
    use crate::directory::Mfa;

    let Some(policy) = &resource.app.mfa_policy else {
        return Ok(());
    };
    match identity.user.mfa {
        _ if identity.mfa => Ok(()),
        Mfa::NotRequired => Ok(()),
        Mfa::Required => Err(aadsts::mfa_required(&resource.app.client_id, true, policy)),
        Mfa::NotEnrolled => Err(aadsts::mfa_required(&resource.app.client_id, false, policy)),
    }
}
