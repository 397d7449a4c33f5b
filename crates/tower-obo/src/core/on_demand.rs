//! What it takes to get a downstream token later, when the handler asks for it.

use std::{fmt, sync::Arc};

use http::HeaderMap;

use super::{Core, is_grpc};
use crate::{
    AccessPolicy, BoundPolicy, Event, Rejection, Secret, admission::Admission,
    policy::BoundDownstream, tokens::CachedToken,
};

/// The caller's part in an exchange to come.
pub(crate) struct OnDemand {
    core: Core,
    admission: Arc<Admission>,
    caller: Secret,
    grpc: bool,
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
        let (caller, grpc) = caller();
        Some(Arc::new(Self {
            core: core.clone(),
            admission: Arc::clone(admission),
            caller,
            grpc,
        }))
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
        let (core, admission) = (&self.core, &self.admission);
        let inner = &core.0;
        let now = inner.clock.now();
        // A stream may run longer than the token that opened it is good for.
        core.still_holds(admission, now)?;
        if admission.principal.is_app_only() && bound.has_subject() {
            return Err(core.app_only(access));
        }
        let caller = self.caller.expose().as_bytes();
        if let Some(token) = core.ready_token(admission, bound, caller, now) {
            inner.observer.on(&Event::Token { hit: true });
            return Ok(token);
        }
        let token = core.obtain(admission, bound, &self.caller).await?;
        core.weigh(&self.caller, admission);
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
