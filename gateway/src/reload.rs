//! Another configuration for a gateway that runs.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    config::Config,
    denied::Denied,
    generation::{Generation, Live},
    metrics::Metrics,
    net::peers::Peers,
    precheck::Wrong,
    run::{self, Running, StartError},
    steps::limit::Running as RunningRequests,
    worker::{Order, Shared, Worker},
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time,
};

/// How long files that are read may take.
pub(crate) const FILES: Duration = Duration::from_secs(10);

/// How long the old configuration goes on while signing keys from elsewhere are fetched.
const KEYS: Duration = Duration::from_secs(5);

/// What a reload needs to know of the gateway.
#[derive(Debug)]
pub(crate) struct Reloading {
    live: Live,
    /// What was to be listened on; port 0 stands for any.
    asked: SocketAddr,
    /// The same of the admin listener.
    asked_admin: Option<SocketAddr>,
    metrics: Arc<Metrics>,
    running: Arc<RunningRequests>,
    peers: Arc<Peers>,
    denied: Denied,
    /// One at a time.
    turn: Mutex<()>,
    /// Who has it reads files: a file system that hangs keeps one thread and no more.
    reading: Arc<Mutex<()>>,
}

impl Reloading {
    pub(crate) fn new(
        live: Live,
        (asked, asked_admin): (SocketAddr, Option<SocketAddr>),
        denied: Denied,
        shared: &Shared,
    ) -> Self {
        Self {
            live,
            asked,
            asked_admin,
            metrics: Arc::clone(&shared.metrics),
            running: Arc::clone(&shared.running),
            peers: Arc::clone(&shared.peers),
            denied,
            turn: Mutex::default(),
            reading: Arc::default(),
        }
    }
}

/// What has become of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Settings, or tables of them, that are others and count after a restart only.
    pub needs_restart: Vec<&'static str>,
}

impl Running {
    /// Goes on with another configuration. It holds for every request that begins after this, on connections that
    /// are open too; requests that run keep what they began with, their times included. Tokens and keys that are known stay
    /// known where authority, client and credential are the same, as far as the new rules let them.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let load = |more: &str| obo_gateway::Sources::new().file("gw.toml", format!("
    /// # listen = '127.0.0.1:0'\n upstream = 'http://127.0.0.1:9'\n accept.scopes = ['s']\n{more}\n [entra]
    /// # tenant = '00000000-0000-0000-0000-000000000001'\n client_id = '00000000-0000-0000-0000-000000000002'
    /// # credential = {{ secret_file = '/nowhere' }}")).load();
    /// let gateway = obo_gateway::start(load("workers = 1")?).await?;
    /// let reloaded = gateway.reload(load("workers = 2\n limits.requests = 10")?).await?;
    /// assert_eq!(reloaded.needs_restart, ["workers"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The configuration cannot work: its text is wrong, a credential that takes the place of one that was there
    /// cannot be used, or signing keys that take the place of others cannot be fetched within 5 s. Nothing has
    /// changed then.
    pub async fn reload(&self, config: Config) -> Result<Reloaded, StartError> {
        let reloaded = self.take(config).await;
        match &reloaded {
            Ok(reloaded) => self.reload_succeeded(reloaded),
            Err(error) => self.reload_failed(error),
        }
        reloaded
    }

    /// As [`reload`](Self::reload), for a configuration that has been tried before and failed for
    /// [`StartError::Reload`]: that it still does is neither counted nor said as an error again.
    ///
    /// # Errors
    ///
    /// As of [`reload`](Self::reload).
    pub async fn reload_again(&self, config: Config) -> Result<Reloaded, StartError> {
        let reloaded = self.take(config).await;
        match &reloaded {
            Ok(reloaded) => self.reload_succeeded(reloaded),
            Err(error) => tracing::debug!(%error, "the configuration still cannot be used"),
        }
        reloaded
    }

    fn reload_succeeded(&self, reloaded: &Reloaded) {
        self.reloading.metrics.reloaded(true);
        let needs_restart = reloaded.needs_restart.join(", ");
        if needs_restart.is_empty() {
            tracing::info!("the configuration has been read anew and holds");
        } else {
            tracing::warn!(
                needs_restart,
                "the configuration has been read anew and holds, but for what needs a restart"
            );
        }
    }

    /// Says and counts that there is no configuration to go on with: its file cannot be read, or is wrong.
    pub fn reload_failed(&self, error: &dyn Error) {
        self.reloading.metrics.reloaded(false);
        tracing::error!(
            "the configuration that was read cannot be used; the one before stays in use: {error}"
        );
    }

    async fn take(&self, mut config: Config) -> Result<Reloaded, StartError> {
        let Reloading {
            live,
            metrics,
            running,
            turn,
            ..
        } = &self.reloading;
        let _turn = turn.lock().await;
        let before = live.now();
        let mut asked = (*before.config).clone();
        asked.listen = self.reloading.asked;
        asked.admin = self.reloading.asked_admin;
        // As it would start: what needs a restart counts with the next one.
        let as_read = config.clone();
        let needs_restart = config.keep_what_needs_a_restart(&asked);
        config.listen = before.config.listen;
        config.admin = before.config.admin;

        let control = self.control.handle();
        let Ok(reading) = Arc::clone(&self.reloading.reading).try_lock_owned() else {
            return Err(failed(
                "a file that a configuration before this one names still cannot be read",
            ));
        };
        let made = {
            let deny = self.reloading.denied.list.clone();
            let (control, metrics, before) =
                (control.clone(), Arc::clone(metrics), Arc::clone(&before));
            self.control.handle().spawn_blocking(move || {
                let _reading = reading;
                let wrong = Wrong::of(&as_read, &control);
                if !wrong.settings.is_empty() {
                    return Err(StartError::Problems(wrong.into_problems()));
                }
                if !wrong.files.is_empty() {
                    return Err(StartError::Reload(wrong.files.to_string()));
                }
                before.can_be_followed_by(&config)?;
                let parts = Generation::parts(&config, &control, &metrics, &deny, Some(&before))?;
                Ok::<_, StartError>(Generation::new(config, parts, &control, Some(&before)))
            })
        };
        let next = match time::timeout(FILES, made).await {
            Ok(Ok(made)) => Arc::new(made?),
            Ok(Err(_)) => {
                return Err(failed(
                    "the new configuration made it panic, which is a defect",
                ));
            }
            Err(_) => {
                return Err(failed(
                    "a file that the configuration names cannot be read within 10 s",
                ));
            }
        };
        next.core.start();
        if before.core.is_ready() && time::timeout(KEYS, ready(&next)).await.is_err() {
            return Err(failed(
                "the signing keys of its identity provider (entra.tenant, entra.authority, accept.tenants, \
                 oidc.issuer) cannot be fetched within 5 s",
            ));
        }
        let orders = self.workers.iter().map(Worker::orders);
        hand_over(orders, &next, || {
            next.limit(running, &self.reloading.peers);
            live.replace(Arc::clone(&next));
        })
        .await?;
        self.reloading
            .denied
            .are_of_entra(next.config.entra.other.is_none());
        // Streams may hold the old core for hours.
        let (old, new) = (before.core.clone(), next.core.clone());
        control.spawn_blocking(move || old.give_way_to(&new));
        run::warn_of(&next.config, &control).await;
        Ok(Reloaded { needs_restart })
    }
}

/// All workers take it, or none does. `committed` is called at the moment when they do, so that whoever asks for
/// the newest one finds theirs, even where nobody waits for the end of this.
async fn hand_over(
    workers: impl Iterator<Item = &mpsc::UnboundedSender<Order>>,
    next: &Arc<Generation>,
    committed: impl FnOnce(),
) -> Result<(), StartError> {
    // All at once: each stops accepting while it waits for the others.
    let mut asked = Vec::new();
    for worker in workers {
        let (prepared, is_prepared) = oneshot::channel();
        let (commit, is_committed) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let _ = worker.send(Order {
            generation: Arc::clone(next),
            prepared,
            committed: is_committed,
            done,
        });
        asked.push((is_prepared, commit, is_done));
    }
    let prepared = async {
        let mut ready = Vec::new();
        for (is_prepared, commit, is_done) in asked {
            match is_prepared.await {
                Ok(Ok(())) => ready.push((commit, is_done)),
                Ok(Err(error)) => return Err(StartError::Reload(error)),
                Err(_) => return Err(failed("a worker has ended")),
            }
        }
        Ok(ready)
    };
    let ready = time::timeout(FILES, prepared).await.unwrap_or_else(|_| {
        Err(failed(
            "a file that an upstream needs cannot be read within 10 s",
        ))
    })?;
    // Nothing is waited for in between: this cannot be half done.
    let mut done = Vec::new();
    for (commit, is_done) in ready {
        let _ = commit.send(());
        done.push(is_done);
    }
    committed();
    for done in done {
        let _ = done.await;
    }
    Ok(())
}

async fn ready(generation: &Generation) {
    while !generation.core.is_ready() {
        time::sleep(Duration::from_millis(10)).await;
    }
}

fn failed(why: &str) -> StartError {
    StartError::Reload(why.to_owned())
}

#[cfg(test)]
mod tests;
