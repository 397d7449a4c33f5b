//! Who calls Graph: the token is checked for real.

use axum::http::HeaderMap;

use super::answer::GraphError;
use crate::directory::{TokenVersion, User, demo};
use crate::state::State;
use crate::token::bearer::Bearer;
use crate::token::revocation::claims_challenge;
use crate::token::verify::{TokenProblem, Verified, verify};

/// The caller, as their token has it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) oid: String,
    pub(super) subject: String,
    pub(super) tenant: String,
    /// What an application may by itself.
    roles: Vec<String>,
    /// `None` in a token without a user.
    scopes: Option<Vec<String>>,
}

impl Caller {
    pub(super) fn of(state: &State, headers: &HeaderMap) -> Result<Self, GraphError> {
        let token = match Bearer::of(headers) {
            Bearer::Missing => return Err(GraphError::token("Access token is empty.")),
            Bearer::Malformed => {
                return Err(GraphError::token("The Authorization header is malformed."));
            }
            Bearer::Token(token) => token,
        };
        let verified = verify(state, token).map_err(|problem| {
            GraphError::token(match problem {
                TokenProblem::Malformed => "IDX14100: JWT is not well formed.",
                TokenProblem::Algorithm | TokenProblem::Signature(_) => "Signature is invalid.",
                TokenProblem::Issuer => "Access token validation failure. Invalid issuer.",
                TokenProblem::Expired(_) => "Lifetime validation failed, the token is expired.",
                TokenProblem::NotYetValid(_) => {
                    "Lifetime validation failed, the token is not valid yet."
                }
            })
        })?;
        if !is_addressed(state, &verified) {
            return Err(GraphError::token(
                "Access token validation failure. Invalid audience.",
            ));
        }
        if let Some(claims) = claims_challenge(state, &verified) {
            return Err(GraphError::revoked(&claims));
        }
        let text = |name| {
            verified
                .text(name)
                .map(str::to_owned)
                .ok_or_else(|| GraphError::token("Access token validation failure."))
        };
        Ok(Self {
            oid: text("oid")?,
            subject: text("sub")?,
            scopes: verified
                .text("scp")
                .map(|scopes| scopes.split(' ').map(str::to_owned).collect()),
            roles: verified.texts("roles"),
            tenant: verified.tenant,
        })
    }

    pub(super) fn may(&self, scope: &str) -> bool {
        self.scopes
            .as_ref()
            .is_some_and(|scopes| scopes.iter().any(|own| own == scope))
    }

    /// Whether the token has one of these permissions: as a scope if it is of a user, as a role if
    /// it is an application's own.
    pub(super) fn needs_one_of(&self, permissions: &[&str]) -> Result<(), GraphError> {
        let own = self.scopes.as_ref().unwrap_or(&self.roles);
        if own.iter().any(|one| permissions.contains(&&**one)) {
            Ok(())
        } else {
            Err(GraphError::denied())
        }
    }

    /// The user behind the token; an application has none.
    pub(super) fn user(&self, state: &State) -> Result<User, GraphError> {
        if self.scopes.is_none() {
            return Err(GraphError::only_delegated());
        }
        state
            .directory()
            .user_in(&self.tenant, &self.oid)
            .filter(|user| !user.disabled)
            .cloned()
            .ok_or_else(|| GraphError::token("The user of the access token is not there."))
    }
}

/// Graph asks for v1 tokens, so nothing else is issued for it.
fn is_addressed(state: &State, verified: &Verified) -> bool {
    let audience = verified.text("aud").unwrap_or_default();
    let audience = audience.strip_suffix('/').unwrap_or(audience);
    let issuer = state.issuer(TokenVersion::V1, &verified.tenant);
    state
        .directory()
        .application(demo::GRAPH_CLIENT_ID)
        .is_some_and(|graph| graph.is_identified_by(audience))
        && verified.text("iss") == Some(&issuer)
}
