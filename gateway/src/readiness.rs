//! Whether the gateway can serve, and what stands in the way.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Mutex, watch},
    task::JoinHandle,
};

use tower_obo::Timestamp;

use crate::{
    config::Credential, generation::Live, upstream_certificates::UpstreamCertificates,
    worker::Stage,
};

/// How long somebody waits for a file system that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How often a certificate is looked at that nobody needs.
const EVERY: Duration = Duration::from_secs(60);

/// Whether the gateway can serve.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    pub(crate) live: Live,
    pub(crate) stage: watch::Receiver<Stage>,
    /// What upstreams are shown.
    pub(crate) of_upstreams: UpstreamCertificates,
}

impl Readiness {
    /// Looks whether the credential has come, where that is not known yet; for a short while.
    pub(crate) async fn look(&self) {
        let looking = self.live.now().credential.look();
        if let Some(looking) = looking {
            let _ = tokio::time::timeout(PATIENCE, looking).await;
        }
    }

    /// Looks once a minute whether the client's certificate is another, or one that an upstream is shown, for
    /// whoever wants to know when it ends: without exchanges and new connections nobody else does.
    pub(crate) async fn look_at_certificates(self) {
        // One file system may hang, and the other not.
        tokio::join!(
            self.look_at_upstreams_certificates(),
            self.look_at_the_clients()
        );
    }

    async fn look_at_upstreams_certificates(&self) {
        loop {
            // A file system may hang; then nobody looks a second time.
            let (certificates, config) =
                (self.of_upstreams.clone(), self.live.now().config.clone());
            let looking = tokio::task::spawn_blocking(move || certificates.look(&config));
            let _ = looking.await;
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look_at_the_clients(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            // That of the newest configuration may be an object that nobody uses: a reload keeps what it can.
            let credential = self.live.now().credential.credential.clone();
            if credential.certificate_expires().is_some() {
                // A file system may hang; then nobody looks a second time.
                let looking = tokio::task::spawn_blocking(move || {
                    let _ = credential.look();
                });
                let _ = looking.await;
            }
        }
    }

    /// Whether a shutdown has begun.
    pub(crate) fn is_draining(&self) -> bool {
        *self.stage.borrow() != Stage::Serving
    }

    /// What stands in the way, a line for each part, for a person.
    pub(crate) fn obstacle(&self) -> Option<Cow<'static, str>> {
        if self.is_draining() {
            return Some("shutting down\n".into());
        }
        let now = self.live.now();
        let keys = "the identity provider's signing keys are not loaded yet\n";
        let keys = (!now.core.is_ready()).then_some(keys);
        if now.credential.has_been_there() {
            return keys.map(Cow::from);
        }
        // Whoever asks again gets to know.
        let _ = now.credential.look();
        let credential = now.credential.credential.describe();
        let keys = keys.unwrap_or_default();
        Some(format!("credential: the {credential} cannot be used yet\n{keys}").into())
    }
}

/// A credential whose files may appear after the start. Once it was there it counts as there: the last
/// good one stays in use, whatever becomes of the files.
#[derive(Clone, Debug)]
pub(crate) struct AwaitedCredential {
    credential: Credential,
    seen: Arc<AtomicBool>,
    /// Who has it looks at the files, in a thread that may block.
    looking: Arc<Mutex<()>>,
    control: Handle,
}

impl AwaitedCredential {
    pub(crate) fn new(credential: &Credential, control: Handle) -> Self {
        Self {
            credential: credential.clone(),
            seen: Arc::default(),
            looking: Arc::default(),
            control,
        }
    }

    /// Whether it is there or was. Reads its files where that is not known.
    pub(crate) fn is_there(&self) -> bool {
        self.has_been_there() || self.credential.look().is_ok()
    }

    /// When the certificate ends that is shown, where it is one.
    pub(crate) fn certificate_expires(&self) -> Option<Timestamp> {
        self.credential.certificate_expires()
    }

    fn has_been_there(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    /// Begins to look at the files, if somebody has to and nobody does: one that hangs keeps one thread
    /// and no more.
    fn look(&self) -> Option<JoinHandle<()>> {
        if self.has_been_there() {
            return None;
        }
        let place = Arc::clone(&self.looking).try_lock_owned().ok()?;
        let (credential, seen) = (self.credential.clone(), Arc::clone(&self.seen));
        Some(self.control.spawn_blocking(move || {
            if credential.look().is_ok() {
                seen.store(true, Ordering::Relaxed);
            }
            drop(place);
        }))
    }
}
