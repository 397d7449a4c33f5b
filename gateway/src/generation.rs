//! What one configuration makes of a gateway. A reload puts another in its place; what runs keeps what it
//! began with.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tower_obo::{BoundPolicy, Core, DenyList};

use crate::{
    authorize,
    config::Config,
    message::room::Room,
    metrics::Metrics,
    net::peers::Peers,
    readiness::AwaitedCredential,
    run::{StartError, check_upstreams},
    steps::limit::Running,
};

/// The core, and one policy for each route.
pub(crate) type Parts = (Core, Vec<Arc<BoundPolicy>>);

/// What one configuration makes of a gateway.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) config: Arc<Config>,
    pub(crate) core: Core,
    /// In the order of the configuration's routes.
    pub(crate) policies: Vec<Arc<BoundPolicy>>,
    /// In the same order; `None` where the route has no limit of its own.
    pub(crate) running_by_route: Vec<Option<Arc<Running>>>,
    /// See [`Config::retry_challenges`]; for what is kept of requests meanwhile.
    pub(crate) retry_challenges: Option<Room>,
    pub(crate) credential: AwaitedCredential,
}

impl Generation {
    /// What can fail. Reads files.
    ///
    /// # Errors
    ///
    /// The configuration cannot work.
    pub(crate) fn parts(
        config: &Config,
        control: &Handle,
        metrics: &Metrics,
        deny: &DenyList,
        earlier: Option<&Self>,
    ) -> Result<Parts, StartError> {
        let observer = Arc::clone(&metrics.library);
        let earlier = earlier.filter(|earlier| earlier.is_of_the_same_client(config));
        let earlier = earlier.map(|earlier| &earlier.core);
        let parts = authorize::core(config, control.clone(), observer, deny.clone(), earlier)?;
        check_upstreams(config)?;
        Ok(parts)
    }

    /// Whether a gateway of `config` could do what this one can: its credential is there, where it is another
    /// and ours is. Reads files.
    ///
    /// # Errors
    ///
    /// It is not, or not yet.
    pub(crate) fn can_be_followed_by(&self, config: &Config) -> Result<(), StartError> {
        if self.is_of_the_same_client(config) || !self.credential.is_there() {
            return Ok(());
        }
        let looked = config.credential_is_there();
        looked.map_err(|problem| StartError::Reload(problem.to_string()))
    }

    /// What still holds of an `earlier` one goes on: who runs is counted, and a credential that was there is.
    pub(crate) fn new(
        config: Config,
        (core, policies): Parts,
        control: &Handle,
        earlier: Option<&Self>,
    ) -> Self {
        let credential = earlier.filter(|earlier| earlier.is_of_the_same_client(&config));
        let credential = credential.map_or_else(
            || AwaitedCredential::new(&config.entra.credential, control.clone()),
            |earlier| earlier.credential.clone(),
        );
        let running = |route: &crate::config::Route| {
            let most = route.limits.requests?;
            let same = earlier.and_then(|earlier| earlier.running(&route.label()));
            Some(same.unwrap_or_else(|| Running::new(most)))
        };
        let room = earlier.and_then(|earlier| earlier.retry_challenges.clone());
        Self {
            running_by_route: config.routes.iter().map(running).collect(),
            retry_challenges: config.retry_challenges.then(|| room.unwrap_or_default()),
            config: Arc::new(config),
            core,
            policies,
            credential,
        }
    }

    fn is_of_the_same_client(&self, config: &Config) -> bool {
        self.config.entra.is_same_client(&config.entra)
    }

    /// Those that run of the route with this name.
    fn running(&self, label: &str) -> Option<Arc<Running>> {
        let routes = self.config.routes.iter().zip(&self.running_by_route);
        let mut same = routes.filter(|(route, _)| route.label() == label);
        same.find_map(|(_, running)| running.clone())
    }

    /// Holds those that run already to the limits of this configuration.
    pub(crate) fn limit(&self, all: &Running, peers: &Peers) {
        all.set_most(self.config.limits.requests);
        peers.keep_to(&self.config.limits);
        for (route, running) in self.config.routes.iter().zip(&self.running_by_route) {
            if let (Some(running), Some(most)) = (running, route.limits.requests) {
                running.set_most(most);
            }
        }
    }
}

/// The newest generation, for whoever is none of its workers.
#[derive(Clone, Debug)]
pub(crate) struct Live(Arc<ArcSwap<Generation>>);

impl Live {
    pub(crate) fn new(generation: Generation) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(generation)))
    }

    pub(crate) fn now(&self) -> Arc<Generation> {
        self.0.load_full()
    }

    pub(crate) fn replace(&self, generation: Arc<Generation>) {
        self.0.store(generation);
    }
}
