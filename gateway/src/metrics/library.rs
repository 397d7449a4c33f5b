//! What the library tells of itself: look-ups, exchanges, keys.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tower_obo::{
    Aadsts, Clock as _, Event, ExchangeError, ExchangeErrorKind, Lookup, Observer, SystemClock,
};

use super::durations::Durations;

/// What comes of look-ups in the shared store.
pub(super) const LOOKUPS: [&str; 5] = ["hit", "miss", "busy", "failed", "skipped"];

/// Its figures.
#[derive(Debug, Default)]
pub(crate) struct LibraryFigures {
    /// By hit and miss.
    pub(super) admissions: [AtomicU64; 2],
    pub(super) tokens: [AtomicU64; 2],
    /// As in [`LOOKUPS`].
    pub(super) shared_store: [AtomicU64; LOOKUPS.len()],
    pub(super) exchanges: Family<ExchangeLabels, Counter>,
    pub(super) exchange_durations: Durations,
    /// By success and failure.
    pub(super) key_fetches: [AtomicU64; 2],
    pub(super) keys: AtomicU64,
    /// Seconds since 1970; 0 where none have been loaded yet.
    pub(super) keys_fetched_at: AtomicU64,
    pub(super) foreign_tokens: AtomicU64,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct ExchangeLabels {
    pub(super) result: &'static str,
    pub(super) aadsts: String,
}

impl ExchangeLabels {
    fn of(error: Option<&ExchangeError>) -> Self {
        let Some(error) = error else {
            return Self {
                result: "ok",
                aadsts: String::new(),
            };
        };
        Self {
            result: word(error.kind()),
            aadsts: code_label(error.aadsts()),
        }
    }
}

/// What is not in the table gets one label for all: nobody makes series by making up codes.
fn code_label(code: Option<u32>) -> String {
    match code {
        Some(code) if Aadsts::find(code).is_some() => code.to_string(),
        Some(_) => "other".to_owned(),
        None => String::new(),
    }
}

const fn word(kind: ExchangeErrorKind) -> &'static str {
    match kind {
        ExchangeErrorKind::AccountRefused => "account-refused",
        ExchangeErrorKind::AppOnly => "app-only",
        ExchangeErrorKind::AssertionRefused => "assertion-refused",
        ExchangeErrorKind::ConditionalAccess => "conditional-access",
        ExchangeErrorKind::ConsentRequired => "consent-required",
        ExchangeErrorKind::CredentialUnavailable => "credential-unavailable",
        ExchangeErrorKind::InsufficientClaims => "insufficient-claims",
        ExchangeErrorKind::InteractionRequired => "interaction-required",
        ExchangeErrorKind::Misconfigured => "misconfigured",
        ExchangeErrorKind::Throttled => "throttled",
        ExchangeErrorKind::Timeout => "timeout",
        ExchangeErrorKind::UntrustedServer => "untrusted-server",
        ExchangeErrorKind::Unavailable => "unavailable",
        ExchangeErrorKind::UnusableAnswer => "unusable-answer",
        // A kind that came later than this table.
        _ => "other",
    }
}

fn count<const N: usize>(counts: &[AtomicU64; N], at: usize) {
    if let Some(count) = counts.get(at) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Observer for LibraryFigures {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Admission { hit, .. } => count(&self.admissions, usize::from(!hit)),
            Event::Token { hit, .. } => count(&self.tokens, usize::from(!hit)),
            Event::SharedStore { outcome, .. } => {
                let at = match outcome {
                    Lookup::Hit => 0,
                    Lookup::Miss => 1,
                    Lookup::Busy => 2,
                    Lookup::Skipped => 4,
                    _ => 3,
                };
                count(&self.shared_store, at);
            }
            Event::Exchanged { took, error, .. } => {
                let labels = ExchangeLabels::of(*error);
                self.exchanges.get_or_create(&labels).inc();
                self.exchange_durations.record(*took);
            }
            Event::KeysFetched { keys, .. } => {
                count(&self.key_fetches, usize::from(keys.is_none()));
                if let Some(keys) = keys {
                    self.keys.store(*keys as u64, Ordering::Relaxed);
                    let now = SystemClock.now().as_unix();
                    self.keys_fetched_at.store(now, Ordering::Relaxed);
                }
            }
            Event::ForeignToken => {
                self.foreign_tokens.fetch_add(1, Ordering::Relaxed);
            }
            // Refusals are counted where they are answered, with the gateway's own.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn lo_04_made_up_codes_make_no_series() {
        let known = Aadsts::all().iter().map(|row| row.code);
        let codes = (0..1_000_000).chain(known);
        let labels: BTreeSet<String> = codes.map(|code| code_label(Some(code))).collect();
        assert_eq!(labels.len(), 1 + Aadsts::all().len());
        assert!(labels.contains("other") && labels.contains("65001"));
        assert_eq!(code_label(None), "");
    }
}
