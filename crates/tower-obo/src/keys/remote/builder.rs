//! How remote keys are made, and what they share with a core that is made of them.

use std::{sync::Arc, time::Duration};

use super::{RemoteKeys, RemoteKeysSettings};
use crate::{
    Clock, ConfigErrors, Observer, Provider, Spawner, SystemClock, TokioSpawner, core::ConfigError,
    http_client::HttpClient, keys::Documents, observer::Silent,
};

/// Collects what [`RemoteKeys`] need. A [`CoreBuilder`](crate::CoreBuilder) has one within it, so that
/// both mean the same by the same names.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct RemoteKeysBuilder {
    pub(crate) provider: Provider,
    http_timeout: Duration,
    settings: RemoteKeysSettings,
    pub(crate) clock: Arc<dyn Clock>,
    spawner: Option<Arc<dyn Spawner>>,
    pub(crate) observer: Arc<dyn Observer>,
}

impl RemoteKeysBuilder {
    pub(crate) fn new(provider: Provider) -> Self {
        Self {
            provider,
            http_timeout: Duration::from_secs(10),
            settings: RemoteKeysSettings::default(),
            clock: Arc::new(SystemClock),
            spawner: None,
            observer: Arc::new(Silent),
        }
    }

    /// Replaces the time limit of one call of the authority (10 s).
    pub fn with_http_timeout(mut self, timeout: Duration) -> Self {
        self.http_timeout = timeout;
        self
    }

    /// Replaces how soon a token that names an unknown key may cause another fetch (5 min, at least
    /// 1 s). Whatever callers make up, the authority is asked no more often for it.
    pub fn with_unknown_key_cool_down(mut self, cool_down: Duration) -> Self {
        self.settings.unknown_key_cool_down = cool_down;
        self
    }

    /// Replaces how long the last good keys serve while no fetch succeeds (24 h, at least 10 min). They
    /// are refreshed every 12 h, or twice in that time where it is shorter than a day.
    pub fn with_key_max_age(mut self, age: Duration) -> Self {
        self.settings.max_age = age;
        self
    }

    /// Takes the time from somewhere else than the operating system.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Fetches somewhere else than on the runtime that is current at [`build`](Self::build).
    pub fn spawner(mut self, spawner: impl Spawner) -> Self {
        self.spawner = Some(Arc::new(spawner));
        self
    }

    /// Tells `observer` how fetches end.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Builds the source. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the authority, its tenants and the settings, all at once.
    pub fn build(mut self) -> Result<RemoteKeys, ConfigErrors> {
        let problems = self.problems();
        let http = self.http(&problems)?;
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let spawner = self.shared_spawner();
        Ok(self.keys(http, spawner))
    }

    /// What is wrong, and the names in the one spelling that is compared later: Entra ID writes GUIDs
    /// in lower case into tokens.
    pub(crate) fn problems(&mut self) -> Vec<ConfigError> {
        self.provider.make_lower_case();
        let problems = self.provider.problems().into_iter();
        problems
            .map(|(setting, problem)| ConfigError { setting, problem })
            .chain(self.settings.problems())
            .chain(self.http_timeout.is_zero().then(|| ConfigError {
                setting: "http_timeout",
                problem: "no call could end in no time at all: 10 s is usual".to_owned(),
            }))
            .collect()
    }

    /// The HTTP client for that authority. Where there is none, that is said with the other problems.
    pub(crate) fn http(&self, problems: &[ConfigError]) -> Result<HttpClient, ConfigErrors> {
        HttpClient::new(self.http_timeout, &self.provider)
            .map_err(|problem| ConfigErrors::new("http", problem, problems.to_vec()))
    }

    /// What tells these keys from those of another authority, or with other times.
    pub(crate) fn origin(&self) -> String {
        let documents = Documents::of(&self.provider).origin();
        format!("{documents} {:?} {:?}", self.settings, self.http_timeout)
    }

    pub(crate) fn shared_spawner(&self) -> Arc<dyn Spawner> {
        let given = self.spawner.as_ref().map(Arc::clone);
        given.unwrap_or_else(|| Arc::new(TokioSpawner::current()))
    }

    pub(crate) fn keys(&self, http: HttpClient, spawner: Arc<dyn Spawner>) -> RemoteKeys {
        RemoteKeys::new(
            Documents::of(&self.provider),
            http,
            self.settings.clone(),
            Arc::clone(&self.clock),
            spawner,
            Arc::clone(&self.observer),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entra;

    #[test]
    fn a_call_is_given_some_time() {
        let tenant = "11111111-2222-3333-4444-555555555555";
        let keys = |timeout| {
            let keys = RemoteKeys::builder(Entra::tenant(tenant));
            keys.with_http_timeout(timeout).build()
        };
        let errors = keys(Duration::ZERO).unwrap_err();
        let wrong: Vec<_> = errors.iter().map(|error| error.setting).collect();
        assert_eq!(wrong, ["http_timeout"]);
        assert!(keys(Duration::from_millis(1)).is_ok());
    }
}
