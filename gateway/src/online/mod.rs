//! `check --online`: asks the identity provider what a gateway would ask it, and says of each part
//! whether it works.
//!
//! What can be known without a user's token: the documents, the keys, whether the credential is accepted
//! (by client credentials, RFC 6749 §4.4), whether each API is known in the tenant, and all of what the
//! application calls as itself. Whether a user's token can be exchanged for one for an API, consent
//! first of all, only such an exchange tells.

mod advice;
mod caller;
mod credential;
mod downstreams;
mod keys;
mod report;
mod request;

use tokio::runtime::Handle;
use tower_obo::DenyList;

pub use self::report::{Finding, Outcome, Report};
use self::{caller::Caller, keys::Fetched};
use crate::{
    authorize,
    config::{Config, Secret, Tenants, is_guid},
    run::StartError,
};

/// Asks the identity provider what a gateway with this configuration would ask it: its documents, its
/// keys, whether it takes the credential, and for the tokens of every downstream that a route names.
/// With a user's access token for the API (`caller`) that is exchanged for each of them, as the gateway
/// would do it; without one, what only an exchange tells is reported as not known.
///
/// Nothing is listened on, no upstream is called, nothing is shared with other gateways, and the report
/// holds no token and no secret. What is asked for can be seen in Entra ID's sign-in log. It has to run on
/// a Tokio runtime with timers, and takes as long as `limits.exchange_timeout` a few times at worst.
///
/// # Errors
///
/// The configuration cannot work whatever the provider says. Its files but for the credential's are not
/// looked at: that is for [`check`](crate::check).
///
/// ```no_run
/// # async fn example(config: obo_gateway::Config) -> Result<(), Box<dyn std::error::Error>> {
/// let report = obo_gateway::check_online(&config, None).await?;
/// print!("{report}");
/// if report.has_failures() {
///     std::process::exit(1);
/// }
/// # Ok(()) }
/// ```
pub async fn check_online(config: &Config, caller: Option<&Secret>) -> Result<Report, StartError> {
    let mut config = config.clone();
    // Nothing of a check stays behind in what gateways share.
    config.shared_store = None;
    let (observer, fetched) = keys::observe();
    let deny = DenyList::default();
    let (core, _) = authorize::core(&config, Handle::current(), observer, deny, None)?;
    core.start();
    let mut report = Report::default();
    let fetched = Fetched::wait(fetched, &config).await;
    fetched.tell(&config, &mut report);
    let caller = match caller {
        None => Caller::Absent,
        Some(_) if !core.is_ready() => Caller::not_judged(&mut report),
        Some(token) => Caller::judge(&core, token, &mut report).await,
    };
    let names = downstreams::used(&config);
    let tenants = tenants(&config, &caller);
    if tenants.is_empty() {
        credential::tell_of_no_tenant(&config, &mut report);
    }
    let several = tenants.len() > 1;
    let mut is_client_good = true;
    for tenant in &tenants {
        let place = Place {
            config: &config,
            core: &core,
            tenant: tenant.as_deref(),
            several,
            has_documents: fetched.has_documents(),
        };
        let standing = credential::ask(&place, &names, &mut report).await;
        // Elsewhere it may be another story.
        if caller
            .tenant()
            .is_none_or(|of_caller| tenant.as_deref().is_none_or(|t| t == of_caller))
        {
            is_client_good &= standing.is_good;
        }
        downstreams::ask(&place, &names, &standing, &caller, &mut report).await;
    }
    if tenants.is_empty() {
        downstreams::tell_of_no_tenant(&names, &mut report);
    }
    downstreams::exchange(&config, &core, &names, is_client_good, &caller, &mut report).await;
    Ok(report)
}

/// Where is asked.
struct Place<'a> {
    config: &'a Config,
    core: &'a tower_obo::Core,
    /// The tenant's GUID; `None` where the provider has none.
    tenant: Option<&'a str>,
    /// Whether it is one of several, so that each finding has to name it.
    several: bool,
    /// Whether the provider's documents have been read.
    has_documents: bool,
}

impl Place<'_> {
    /// What a finding is about, and in which tenant where there are several.
    fn subject(&self, what: &str) -> String {
        match self.tenant {
            Some(tenant) if self.several => format!("{what} in tenant {tenant}"),
            _ => what.to_owned(),
        }
    }
}

/// The tenants in which tokens are asked for. None where any will do and nobody has named one.
fn tenants(config: &Config, caller: &Caller<'_>) -> Vec<Option<String>> {
    if config.entra.other.is_some() {
        return vec![None];
    }
    let tenants = match &config.accept.tenants {
        Tenants::Own => vec![config.entra.tenant.clone()],
        Tenants::Listed(tenants) => tenants.clone(),
        Tenants::Any => {
            let own = Some(config.entra.tenant.clone()).filter(|tenant| is_guid(tenant));
            let of_caller = caller.tenant().map(str::to_owned);
            let mut tenants: Vec<String> = own.into_iter().chain(of_caller).collect();
            tenants.dedup();
            tenants
        }
    };
    tenants.into_iter().map(Some).collect()
}
