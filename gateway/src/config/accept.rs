//! Which tokens are valid: `[accept]`.

use std::{path::PathBuf, time::Duration};

use tower_obo::Algorithm;

use super::{resolve::Resolver, settings::Given, value};

/// Which tokens are valid.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Accept {
    /// Audiences besides the client id and `api://<client id>`.
    pub audiences: Vec<String>,
    /// Users of which tenants may call.
    pub tenants: Tenants,
    /// How far clocks may differ when a token's times are judged.
    pub clock_skew: Duration,
    /// Signature algorithms; empty: that of Entra ID, RS256.
    pub algorithms: Vec<Algorithm>,
    /// Whether a list of audiences will do, if ours is among them.
    pub audience_lists: bool,
    /// How soon an unknown signing key may cause another fetch of the keys.
    pub key_cool_down: Duration,
    /// How long the last good signing keys serve while none can be fetched.
    pub key_max_age: Duration,
    /// A file that says who is refused although the token is good, if there is one.
    pub deny_file: Option<PathBuf>,
}

/// Users of which tenants may call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tenants {
    /// Of our own, [`Entra::tenant`](super::Entra::tenant).
    Own,
    /// Of these, by their GUIDs.
    Listed(Vec<String>),
    /// Of every tenant that there is.
    Any,
}

/// The words that stand for any tenant.
const WORDS: [&str; 3] = ["common", "organizations", "consumers"];

/// What Microsoft's own libraries take at most.
const MOST_SKEW: Duration = Duration::from_secs(300);

impl Resolver<'_> {
    pub(super) fn accept(&mut self) -> Option<Accept> {
        let audiences = self.words("accept.audiences");
        let tenants = self.tenants();
        let clock_skew = self.duration("accept.clock_skew", Duration::from_secs(60));
        if clock_skew > MOST_SKEW
            && let Some(given) = self.settings.text("accept.clock_skew")
        {
            let message = "more than 300 s: clocks that differ so much are wrong";
            self.problems
                .push(given.origin, "accept.clock_skew", message);
        }
        let algorithms = self.algorithms();
        let key_cool_down = self.at_least("accept.key_cool_down", "5m", "1s");
        let key_max_age = self.at_least("accept.key_max_age", "24h", "10m");
        Some(Accept {
            audiences,
            tenants: tenants?,
            clock_skew,
            algorithms,
            audience_lists: self.settings.switch("accept.audience_lists"),
            key_cool_down,
            key_max_age,
            deny_file: (self.settings.text("accept.deny_file")).map(|given| given.value.into()),
        })
    }

    fn algorithms(&mut self) -> Vec<Algorithm> {
        let name = "accept.algorithms";
        let mut algorithms = Vec::new();
        for word in self.words(name) {
            match Algorithm::from_name(&word) {
                Some(algorithm) => algorithms.push(algorithm),
                None => {
                    let message = format!(
                        "{word:?} is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256 and ES384; HMAC is never accepted"
                    );
                    if let Some(given) = self.settings.list(name) {
                        self.problems.push(given.origin, name, message);
                    }
                }
            }
        }
        algorithms
    }

    /// A time that is at least so long.
    fn at_least(&mut self, name: &str, default: &str, least: &str) -> Duration {
        let parse = |text| value::duration(text).unwrap_or_default();
        let given = self.duration(name, parse(default));
        if given < parse(least)
            && let Some(text) = self.settings.text(name)
        {
            let message = format!("shorter than {least}");
            self.problems.push(text.origin, name, message);
        }
        given
    }

    /// Client ids; `None` where none are given.
    pub(super) fn guids(&mut self, key: &str, given: &Given<&[String]>) -> Vec<String> {
        if given.value.is_empty() {
            self.problems
                .push(given.origin.clone(), key, "an empty list lets nobody in");
        }
        if self.has_other_provider() {
            // Of other providers they are any text.
            self.judge_words(key, given.value, &given.origin);
            return given.value.to_vec();
        }
        let mut guids = Vec::with_capacity(given.value.len());
        for text in given.value {
            match value::guid(text) {
                Some(guid) => guids.push(guid),
                None => {
                    let message =
                        format!("{text:?} is no GUID such as 11111111-2222-3333-4444-555555555555");
                    self.problems.push(given.origin.clone(), key, message);
                }
            }
        }
        guids
    }

    fn tenants(&mut self) -> Option<Tenants> {
        let any = self.settings.switch("accept.any_tenant");
        match self.settings.list("accept.tenants") {
            Some(given) if any => {
                let message = "`accept.any_tenant` lets in users of every tenant, a list only those of some; give one of the two";
                self.problems.push(given.origin, "accept.tenants", message);
                None
            }
            Some(given) => Some(Tenants::Listed(self.guids("accept.tenants", &given))),
            None if any => Some(Tenants::Any),
            None => Some(Tenants::Own),
        }
    }

    /// Our own tenant. A word for any tenant is enough where it is said elsewhere whose users may
    /// call.
    pub(super) fn tenant(&mut self) -> Option<String> {
        let name = "entra.tenant";
        let said = self.settings.switch("accept.any_tenant")
            || self.settings.list("accept.tenants").is_some();
        match self.settings.text(name) {
            None if said => Some("organizations".to_owned()),
            Some(given) if WORDS.contains(&given.value) && said => Some(given.value.to_owned()),
            Some(given) if WORDS.contains(&given.value) => {
                let message = format!(
                    "`{}` stands for any tenant and would let any of their users in; give your tenant's GUID, or the tenants that may call as `accept.tenants`, or `accept.any_tenant = true` where every tenant is meant",
                    given.value
                );
                self.problems.push(given.origin, name, message);
                None
            }
            _ => self.guid(name),
        }
    }
}
