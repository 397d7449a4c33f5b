//! What is asked for, for whom, and under which names it is kept.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Core;
use crate::{
    Principal, Secret, Timestamp,
    admission::Admission,
    digest::Digest,
    policy::BoundDownstream,
    tokens::{FromStore, Want},
};

impl Core {
    pub(super) fn want(
        &self,
        admission: &Admission,
        bound: &BoundDownstream,
        caller: &Secret,
    ) -> Want {
        let (principal, valid_until) = (&admission.principal, admission.valid_until);
        self.want_for(principal, valid_until, bound, caller)
    }

    pub(super) fn want_for(
        &self,
        principal: &Principal,
        caller_valid_until: Timestamp,
        bound: &BoundDownstream,
        caller: &Secret,
    ) -> Want {
        let want = Want {
            key: self.token_key(principal, bound, caller.expose().as_bytes()),
            group: *group(&self.0.client, principal, bound).bytes(),
            tenant: principal.tenant_id().into(),
            target: Arc::clone(bound.downstream.target()),
            claims: None,
            object_id: None,
            subject: None,
            // The caller is not its only one.
            caller_valid_until: Timestamp::MAX,
            from_store: FromStore::Fresh,
            follows: None,
            assertion: None,
        };
        if !bound.has_subject() {
            // Nothing of the caller. Nor is `cp1` declared: nobody could answer a challenge.
            return want;
        }
        Want {
            claims: self.0.claims.clone(),
            object_id: principal.object_id().map(Into::into),
            subject: subject(principal),
            caller_valid_until,
            assertion: Some(caller.clone()),
            ..want
        }
    }

    /// Under what a downstream token is kept: the caller's whole token, and everything that makes a
    /// difference to what comes back for it.
    ///
    /// The application's own tokens have no caller's in it: all callers of a tenant find the same. The
    /// grant tells them from users', whose token is never empty either.
    pub(crate) fn token_key(
        &self,
        principal: &Principal,
        bound: &BoundDownstream,
        token: &[u8],
    ) -> Digest {
        let mut fields: SmallVec<[&[u8]; 12]> = SmallVec::new();
        fields.push(if bound.has_subject() { token } else { b"" });
        fields.push(bound.downstream.grant().name().as_bytes());
        fields.push(principal.tenant_id().as_bytes());
        fields.extend(self.0.client.iter().map(|field| field.as_bytes()));
        bound.downstream.target().write(&mut fields);
        Digest::of(&fields)
    }
}

/// Whom the token shares a throttle with: all the tenant's tokens of this client for the same
/// resource, whichever scopes of it they have.
pub(crate) fn group(client: &[Box<str>], principal: &Principal, bound: &BoundDownstream) -> Digest {
    let mut fields: SmallVec<[&[u8]; 8]> = SmallVec::new();
    fields.push(principal.tenant_id().as_bytes());
    fields.extend(client.iter().map(|field| field.as_bytes()));
    fields.push(bound.downstream.throttled_as().as_bytes());
    let target = bound.downstream.target();
    for item in target.audiences.iter().chain(&*target.resources) {
        fields.push(item.as_bytes());
    }
    Digest::of(&fields)
}

/// Whose tokens are to be told from others' by `sub`: users of another provider than Entra ID, which
/// has no tenants.
fn subject(principal: &Principal) -> Option<(Box<str>, Box<str>)> {
    let subject = principal
        .subject()
        .filter(|_| principal.tenant_id().is_empty());
    Some((principal.issuer().into(), subject?.into()))
}
