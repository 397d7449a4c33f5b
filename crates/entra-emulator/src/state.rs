//! What all endpoints of one emulator share.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;

use crate::arm::rate::{Buckets, RateLimit};
use crate::clock::Clock;
use crate::decision::Decisions;
use crate::directory::{Application, Directory, TokenVersion};
use crate::encoding::random;
use crate::event::Event;
use crate::grant::store::Grants;
use crate::keys::{KeyError, KeyRing, SigningKey};
use crate::pages::session::Sessions;
use crate::state_file::StateFile;
use crate::taps::Taps;

/// How many events are remembered; the oldest go first.
const EVENTS: usize = 10_000;

/// An emulator as one of its bases shows it: everything that the bases share, and the URLs that
/// this one advertises and mints issuers with.
#[derive(Debug)]
pub(crate) struct State {
    shared: Arc<Shared>,
    /// Base URL of the Entra half, without a trailing slash.
    pub(crate) url: String,
    /// Base URL of the ARM half, without a trailing slash.
    pub(crate) arm_url: String,
    /// The https base, where there is one and this isn't it.
    pub(crate) https: Option<Arc<Self>>,
}

/// What the bases of one emulator share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) keys: KeyRing,
    pub(crate) grants: Grants,
    pub(crate) sessions: Sessions,
    pub(crate) taps: Taps,
    pub(crate) arm_buckets: Buckets,
    pub(crate) decisions: Decisions,
    /// What forms of the home page carry, so that no other page can press its buttons.
    pub(crate) page_token: String,
    pub(crate) settings: Settings,
    /// The certificate of the authority behind https.
    pub(crate) ca_pem: Option<String>,
    directory: RwLock<Arc<Directory>>,
    events: Mutex<Vec<Event>>,
    /// Where consents and keys are kept.
    file: Option<StateFile>,
}

impl Deref for State {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// What can be set at start.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Lifetime of access tokens; `None` is Entra's random 60 to 90 minutes.
    pub(crate) token_lifetime: Option<Duration>,
    /// Subscriptions on one page of ARM's answer.
    pub(crate) page_size: usize,
    /// Reads of one principal that ARM takes; `None`: any number.
    pub(crate) arm_rate_limit: Option<RateLimit>,
}

impl Shared {
    pub(crate) fn new(
        keys: KeyRing,
        directory: Directory,
        settings: Settings,
        ca_pem: Option<String>,
        file: Option<StateFile>,
    ) -> Self {
        Self {
            clock: Clock::default(),
            keys,
            grants: Grants::default(),
            sessions: Sessions::default(),
            taps: Taps::default(),
            arm_buckets: Buckets::default(),
            decisions: Decisions::default(),
            page_token: random(32),
            file,
            settings,
            ca_pem,
            directory: RwLock::new(Arc::new(directory)),
            events: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now()
    }

    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Directory) -> T) -> T {
        let mut directory = self
            .directory
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let changed = change(Arc::make_mut(&mut directory));
        self.write_file(&directory);
        changed
    }

    /// A new key signs from now on; its id.
    pub(crate) fn rotate_keys(&self, now: i64) -> Result<String, KeyError> {
        let rotated = self.keys.rotate(now);
        self.keep();
        rotated
    }

    /// Takes a key out of the published set.
    pub(crate) fn withdraw_key(&self, kid: &str) -> Result<bool, KeyError> {
        let withdrawn = self.keys.withdraw(kid, self.now());
        self.keep();
        withdrawn
    }

    /// Writes consents and keys to the file, where there is one.
    pub(crate) fn keep(&self) {
        // As whoever changes the directory does: one at a time, and what is written last is the newest.
        let directory = self
            .directory
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.write_file(&directory);
    }

    fn write_file(&self, directory: &Directory) {
        let Some(file) = &self.file else { return };
        if let Err(error) = file.save(directory, &self.keys) {
            tracing::error!(%error, path = %file.path().display(), "the state could not be kept");
        }
    }

    /// Seconds that the next access token lives.
    pub(crate) fn token_lifetime(&self) -> i64 {
        match self.settings.token_lifetime {
            Some(fixed) => i64::try_from(fixed.as_secs()).unwrap_or(i64::MAX),
            None => {
                let random = uuid::Uuid::new_v4().as_u128() % 1_800;
                3_600 + i64::try_from(random).unwrap_or_default()
            }
        }
    }

    pub(crate) fn record(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= EVENTS {
            events.remove(0);
        }
        events.push(event);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl State {
    pub(crate) fn new(shared: Arc<Shared>, url: String, arm_url: String) -> Self {
        Self {
            shared,
            url,
            arm_url,
            https: None,
        }
    }

    pub(crate) fn with_https(self, https: Option<Arc<Self>>) -> Self {
        Self { https, ..self }
    }

    /// The issuer of a tenant's tokens; the tenant may be the literal `{tenantid}` of templates.
    pub(crate) fn issuer(&self, version: TokenVersion, tenant: &str) -> String {
        match version {
            TokenVersion::V1 => format!("{}/{tenant}/", self.url),
            TokenVersion::V2 => format!("{}/{tenant}/v2.0", self.url),
        }
    }

    /// The key that signs tokens for `resource`.
    pub(crate) fn signing_key(&self, resource: &Application) -> Result<Arc<SigningKey>, KeyError> {
        if !resource.own_signing_key {
            return Ok(self.keys.current());
        }
        let client_id = &resource.client_id;
        let is_new = !self.keys.has_of_application(client_id);
        let key = self.keys.of_application(client_id, self.now());
        if is_new {
            self.keep();
        }
        key
    }

    /// The keys by which the tokens of a tenant are judged; with `appid`, those of that application.
    pub(crate) fn keys_document(
        &self,
        version: TokenVersion,
        tenant: Option<&str>,
        appid: Option<&str>,
    ) -> Value {
        let directory = self.directory();
        let with_its_own = appid
            .and_then(|id| directory.application(id))
            // One that cannot be made is not there.
            .filter(|app| app.own_signing_key && self.signing_key(app).is_ok());
        let own = with_its_own.map(|app| &*app.client_id);
        match version {
            TokenVersion::V1 => self.keys.jwks(own, None::<fn(Option<&str>) -> String>),
            TokenVersion::V2 => self.keys.jwks(
                own,
                Some(|own: Option<&str>| {
                    self.issuer(TokenVersion::V2, own.or(tenant).unwrap_or("{tenantid}"))
                }),
            ),
        }
    }
}
