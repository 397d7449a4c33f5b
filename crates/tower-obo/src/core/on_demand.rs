//! What it takes to get a downstream token later, when the handler asks for it.

use std::{fmt, sync::Arc};

use http::HeaderMap;

use super::{Core, is_grpc};
use crate::{
    AccessPolicy, BoundPolicy, Event, Principal, Rejection, Secret, admission::Admission,
    policy::BoundDownstream, tokens::CachedToken,
};

/// What an exchange to come needs beside its downstream.
pub(crate) struct OnDemand {
    core: Core,
    by: By,
    grpc: bool,
}

/// For whom it is.
enum By {
    /// The caller of a request.
    Caller {
        admission: Arc<Admission>,
        token: Secret,
    },
    /// Nobody who has sent a request.
    Nobody(Standing),
}

/// Whom tokens are for where there is no request: an application itself, whose own token is empty.
pub(crate) struct Standing {
    pub(crate) principal: Principal,
    pub(crate) token: Secret,
}

impl OnDemand {
    /// `None` for a policy that has no downstream on demand: its requests keep no token.
    pub(super) fn of(
        core: &Core,
        admission: &Arc<Admission>,
        policy: &BoundPolicy,
        caller: impl FnOnce() -> (Secret, bool),
    ) -> Option<Arc<Self>> {
        if policy.on_demand.is_empty() {
            return None;
        }
        let (token, grpc) = caller();
        let admission = Arc::clone(admission);
        Some(Arc::new(Self {
            core: core.clone(),
            by: By::Caller { admission, token },
            grpc,
        }))
    }

    pub(crate) fn without_request(core: &Core, standing: Standing) -> Arc<Self> {
        Arc::new(Self {
            core: core.clone(),
            by: By::Nobody(standing),
            grpc: false,
        })
    }

    /// The token, as it would have come with the request.
    pub(crate) async fn obtain(
        &self,
        bound: &BoundDownstream,
        access: &AccessPolicy,
    ) -> Result<Arc<CachedToken>, Rejection> {
        let token = self.ask(bound, access).await;
        token.map_err(|rejection| self.core.report(rejection.for_grpc(self.grpc)))
    }

    async fn ask(
        &self,
        bound: &BoundDownstream,
        access: &AccessPolicy,
    ) -> Result<Arc<CachedToken>, Rejection> {
        let core = &self.core;
        let (admission, caller) = match &self.by {
            By::Caller { admission, token } => (admission, token),
            By::Nobody(standing) => return core.obtain_without_request(standing, bound).await,
        };
        let inner = &core.0;
        let now = inner.clock.now();
        // A stream may run longer than the token that opened it is good for.
        core.still_holds(admission, now)?;
        if admission.principal.is_app_only() && bound.has_subject() {
            return Err(core.app_only(access));
        }
        let bytes = caller.expose().as_bytes();
        if let Some(ready) = core.ready_token(admission, bound, bytes, now) {
            if ready.filled {
                core.weigh(bytes, admission);
            }
            inner.observer.on(&Event::Token { hit: true });
            return Ok(ready.token);
        }
        let token = core.obtain(admission, bound, caller).await?;
        core.weigh(bytes, admission);
        Ok(token)
    }
}

impl Core {
    pub(super) fn on_demand(
        &self,
        admission: &Arc<Admission>,
        policy: &BoundPolicy,
        caller: &[u8],
        headers: &HeaderMap,
    ) -> Option<Arc<OnDemand>> {
        // It has been validated, so it is text; if it were not, nothing would be exchanged for it.
        OnDemand::of(self, admission, policy, || {
            let caller = std::str::from_utf8(caller).unwrap_or_default();
            (Secret::from(caller), is_grpc(headers))
        })
    }
}

impl fmt::Debug for OnDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDemand").finish_non_exhaustive()
    }
}
