//! The provider's documents, and the signing keys that they name.

use std::sync::Arc;

use tokio::{sync::watch, time};
use tower_obo::{Event, KeysError, Observer};

use super::report::Report;
use crate::config::{Config, Tenants};

/// How the first fetch of the keys ended.
type First = Option<Result<usize, KeysError>>;

/// Keeps how the first fetch ended.
#[derive(Debug)]
struct FirstFetch(watch::Sender<First>);

impl Observer for FirstFetch {
    fn on(&self, event: &Event<'_>) {
        let ended = match event {
            Event::KeysFetched {
                keys: Some(keys), ..
            } => Ok(*keys),
            Event::KeysFetched {
                error: Some(error), ..
            } => Err((*error).clone()),
            _ => return,
        };
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(ended);
            }
            is_first
        });
    }
}

pub(super) fn observe() -> (Arc<dyn Observer>, watch::Receiver<First>) {
    let (sender, receiver) = watch::channel(None);
    (Arc::new(FirstFetch(sender)), receiver)
}

/// What came of the first fetch.
pub(super) struct Fetched(First);

/// Documents and keys, each a call of its own.
const CALLS: u32 = 3;

impl Fetched {
    pub(super) async fn wait(mut first: watch::Receiver<First>, config: &Config) -> Self {
        let longest = config.limits.exchange_timeout.saturating_mul(CALLS + 1);
        let fetched = time::timeout(longest, first.wait_for(Option::is_some)).await;
        Self(match fetched {
            Ok(Ok(first)) => first.clone(),
            _ => None,
        })
    }

    /// Whether the documents are good, whatever the keys are.
    pub(super) fn has_documents(&self) -> bool {
        match &self.0 {
            Some(Ok(_)) => true,
            Some(Err(error)) => error.is_of_key_set(),
            None => false,
        }
    }

    pub(super) fn tell(&self, config: &Config, report: &mut Report) {
        let whose = whose(config);
        let found = format!("{whose} answers with its documents");
        let not_asked = "not asked for: the documents that name them are missing";
        match &self.0 {
            Some(Ok(keys)) => {
                report.ok("discovery", found);
                report.ok("keys", format!("{keys} signing key(s)"));
            }
            Some(Err(error)) if error.is_of_key_set() => {
                report.ok("discovery", found);
                report.failed("keys", error.to_string(), advice(config, error));
            }
            Some(Err(error)) => {
                let message = format!("{whose}: {error}");
                report.failed("discovery", message, advice(config, error));
                report.unknown("keys", not_asked, None);
            }
            None => {
                let message = format!("{whose}: no answer in time");
                report.failed("discovery", message, unreachable(config));
                report.unknown("keys", not_asked, None);
            }
        }
    }
}

const PUBLIC_CLOUD: &str = "https://login.microsoftonline.com";

/// Whose documents they are.
fn whose(config: &Config) -> String {
    if let Some(other) = &config.entra.other {
        return other.issuer.clone();
    }
    let authority = config.entra.authority.as_deref().unwrap_or(PUBLIC_CLOUD);
    let authority = authority.trim_end_matches('/');
    match &config.accept.tenants {
        Tenants::Own => format!("{authority}/{}", config.entra.tenant),
        Tenants::Listed(_) | Tenants::Any => format!("{authority} (for several tenants)"),
    }
}

/// Which setting says where it is.
const fn setting(config: &Config) -> &'static str {
    match config.entra.other {
        Some(_) => "oidc.issuer",
        None => "entra.authority",
    }
}

fn advice(config: &Config, error: &KeysError) -> String {
    if error.aadsts() == Some(90002) {
        let advice = super::advice::of_code(90002);
        return advice.unwrap_or_default().to_owned();
    }
    if error.is_unreachable() {
        return unreachable(config);
    }
    format!(
        "is `{}` the provider's own address, and is nothing in between that answers in its place (a proxy, a portal)?",
        setting(config)
    )
}

fn unreachable(config: &Config) -> String {
    format!(
        "see that this machine reaches it: `{}` is right, its name is resolved, no firewall is in between, a proxy is named in HTTPS_PROXY if there is one, and the authority of its certificate is trusted (`entra.ca_file`)",
        setting(config)
    )
}
