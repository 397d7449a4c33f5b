//! How remote keys are made.

use std::{sync::Arc, time::Duration};

use super::{RemoteKeys, RemoteKeysSettings};
use crate::{
    Clock, ConfigErrors, Entra, Observer, Spawner, SystemClock, TokioSpawner, core::ConfigError,
    http_client::HttpClient, keys::Discovery, observer::Silent,
};

/// Collects what [`RemoteKeys`] need.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct RemoteKeysBuilder {
    entra: Entra,
    http_timeout: Duration,
    clock: Arc<dyn Clock>,
    spawner: Option<Arc<dyn Spawner>>,
    observer: Arc<dyn Observer>,
}

impl RemoteKeysBuilder {
    pub(super) fn new(entra: Entra) -> Self {
        Self {
            entra,
            http_timeout: Duration::from_secs(10),
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
    /// Everything that is wrong with the authority and its tenants, all at once.
    pub fn build(mut self) -> Result<RemoteKeys, ConfigErrors> {
        self.entra.make_lower_case();
        let problems = self.entra.problems().into_iter();
        let problems: Vec<_> = problems
            .map(|(setting, problem)| ConfigError { setting, problem })
            .collect();
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let http = HttpClient::new(self.http_timeout, &self.entra)
            .map_err(|problem| ConfigErrors::new("http", problem, Vec::new()))?;
        Ok(RemoteKeys::new(
            Discovery::new(&self.entra),
            http,
            RemoteKeysSettings::default(),
            self.clock,
            self.spawner
                .unwrap_or_else(|| Arc::new(TokioSpawner::current())),
            self.observer,
        ))
    }
}
