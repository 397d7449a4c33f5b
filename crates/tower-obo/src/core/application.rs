//! The application's own tokens where nobody calls: for jobs that run by a clock.

use std::sync::Arc;

use tokio::time::timeout;

use super::{Core, NewerKeys, OnDemand, Standing};
use crate::{
    AccessPolicy, Admitted, ConfigError, ConfigErrors, Downstream, Downstreams, Event, Policy,
    Principal, RefreshReason, Rejection, Secret, Timestamp, entra::Tenants,
    policy::BoundDownstream, principal::Claims, provider::ProviderKind, tokens::CachedToken,
    validate::is_guid,
};

impl Core {
    /// The downstreams that the application calls as itself (client credentials, RFC 6749 §4.4) where
    /// there is no caller: in a job that runs every night, or while the service starts. Each must be a
    /// [`Downstream::client_credentials`]. The tokens are the ones that policies with the same
    /// downstreams get: kept, renewed ahead, and asked for once for all who want them.
    ///
    /// They are tokens of the core's tenant; where it has several, there is
    /// [`application_in`](Self::application_in).
    ///
    /// ```no_run
    /// # async fn example(core: &tower_obo::Core) -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_obo::Downstream;
    ///
    /// // Once, at the start.
    /// let graph = Downstream::client_credentials("graph", ["https://graph.microsoft.com/.default"]);
    /// let application = core.application([graph])?;
    ///
    /// // Every night.
    /// let graph = application.get("graph").await?;
    /// // Call Microsoft Graph with `graph.header()` as `Authorization`.
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Everything that is wrong, all at once: a downstream whose tokens are a user's, one that
    /// [`bind`](Self::bind) would refuse, or a core with several tenants.
    pub fn application(
        &self,
        downstreams: impl IntoIterator<Item = Downstream>,
    ) -> Result<Downstreams, ConfigErrors> {
        let tenant = match &self.0.tenants {
            None => Ok(""),
            Some(Tenants::One(tenant)) => Ok(&**tenant),
            Some(_) => Err("the core has several: say in which with application_in".to_owned()),
        };
        self.application_of(tenant, downstreams)
    }

    /// The same in one of the core's tenants, named by its GUID, where the application has been
    /// consented to.
    ///
    /// # Errors
    ///
    /// Those of [`application`](Self::application), and a tenant that the core does not have.
    pub fn application_in(
        &self,
        tenant: &str,
        downstreams: impl IntoIterator<Item = Downstream>,
    ) -> Result<Downstreams, ConfigErrors> {
        let tenant = tenant.to_ascii_lowercase();
        let has = match &self.0.tenants {
            None => false,
            Some(Tenants::One(one)) => *one == tenant,
            Some(Tenants::Listed(listed)) => listed.contains(&tenant),
            Some(Tenants::Any) => is_guid(&tenant),
        };
        let tenant = match has {
            true => Ok(&*tenant),
            false => Err(format!(
                "{tenant:?} is none of the core's tenants: give the GUID of one"
            )),
        };
        self.application_of(tenant, downstreams)
    }

    fn application_of(
        &self,
        tenant: Result<&str, String>,
        downstreams: impl IntoIterator<Item = Downstream>,
    ) -> Result<Downstreams, ConfigErrors> {
        let mut problems = Vec::new();
        let mut wrong = |setting, problem| problems.push(ConfigError { setting, problem });
        let tenant = tenant.unwrap_or_else(|problem| {
            wrong("tenant", problem);
            ""
        });
        let mut policy = Policy::new(AccessPolicy::any_user());
        for downstream in downstreams {
            if downstream.grant().has_subject() {
                let name = downstream.name();
                let problem = format!(
                    "{name:?}: there is no caller whose token could be exchanged: use Downstream::client_credentials"
                );
                wrong("downstream", problem);
            }
            policy = policy.downstream_on_demand(downstream);
        }
        problems.extend(policy.problems(self.0.kind));
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let policy = self.bind(policy)?;
        let standing = Standing {
            principal: application_in(tenant),
            token: Secret::from(""),
        };
        let on_demand = OnDemand::without_request(self, standing);
        Ok(Downstreams::of(Admitted::without_request(
            &policy, on_demand,
        )))
    }

    pub(super) async fn obtain_without_request(
        &self,
        standing: &Standing,
        bound: &BoundDownstream,
    ) -> Result<Arc<CachedToken>, Rejection> {
        let inner = &*self.0;
        let Standing { principal, token } = standing;
        let now = inner.clock.now();
        let want = || self.want_for(principal, Timestamp::MAX, bound, token);
        let key = self.token_key(principal, bound, token.expose().as_bytes());
        if let Some(ready) = inner.tokens.fresh(&key, now) {
            inner.observer.on(&Event::Token { hit: true });
            inner.tokens.renew(&ready, want);
            return Ok(ready);
        }
        // Another provider's token endpoint is known by the document that names its keys.
        if inner.kind == ProviderKind::Oidc
            && self.current_keys(now).is_none()
            && let NewerKeys::Wait(waiting) = self.newer_keys(RefreshReason::NoKeys)
        {
            let _ = timeout(inner.key_wait, waiting.refreshed).await;
        }
        let obtained = inner.tokens.obtain(want()).await;
        obtained.map_err(|error| self.unavailable(bound, error))
    }
}

/// The application as it stands for itself in that tenant.
fn application_in(tenant: &str) -> Principal {
    Principal::new(Claims {
        issuer: "".into(),
        tenant_id: tenant.into(),
        object_id: None,
        subject: None,
        client_id: None,
        scopes: [].into(),
        roles: [].into(),
        app_only: true,
        claims_capable: false,
        token_id: None,
        expires_at: Timestamp::MAX,
        kept: Box::default(),
    })
}
