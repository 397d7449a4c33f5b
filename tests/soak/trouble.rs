//! What happens meanwhile, by the second.

use std::{
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use entra_emulator::{Emulator, Endpoint, Fault, demo as ids};
use tokio::time::{Instant, sleep_until};

use super::{
    gateways::{Fleet, Gateway},
    tally::{Tally, Trouble},
    traffic::User,
    upstream::{Mood, Upstream},
};

/// More than are asked for while Entra ID fails.
const FAULTS: usize = 100_000;

/// How long the gateways keep connections that nobody uses: what a moment of many requests has opened is gone soon.
pub(crate) const IDLE: Duration = Duration::from_secs(10);

/// The configuration and the client secret, as files.
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(crate) fn new(emulator: &Emulator, upstream: SocketAddr) -> Self {
        let folder = std::env::temp_dir().join(format!("obo-soak-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let files = Self { folder };
        files.write("secret", ids::API_CLIENT_SECRET);
        files.write("deny", "");
        files.write("base.toml", &Self::base(&files.folder, emulator, upstream));
        files.configure(0);
        files
    }

    fn base(folder: &Path, emulator: &Emulator, upstream: SocketAddr) -> String {
        let named = |name: &str| folder.join(name).display().to_string();
        format!(
            "upstream = 'http://{upstream}'\nworkers = 2\n\
             [entra]\ntenant = '{}'\nclient_id = '{}'\nauthority = '{}'\n\
             allow_http_loopback = true\ncredential = {{ secret_file = '{}' }}\n\
             [accept]\nscopes = ['{}']\nkey_cool_down = '1s'\ndeny_file = '{}'\n\
             [[route]]\npath = '/*'\ndownstream = 'arm'\nidentity_headers = {{ oid = 'X-Obo-Oid' }}\n\
             upgrade = ['websocket']\n[limits]\nidle_timeout = '{}s'\nkeys_timeout = '30s'\n",
            ids::CONTOSO,
            ids::API_CLIENT_ID,
            emulator.url(),
            named("secret"),
            ids::API_SCOPE,
            named("deny"),
            IDLE.as_secs(),
        )
    }

    /// Another configuration than the last one, each time: a route more, and another limit.
    fn configure(&self, number: u32) {
        let base = fs::read_to_string(self.folder.join("base.toml")).unwrap();
        let more = format!(
            "[[route]]\npath = '/only-{number}/*'\ndownstream = 'arm'\n\
             limits = {{ response_timeout = '{}s' }}\n",
            20 + number % 10
        );
        self.write("gateway.toml", &(base + &more));
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let config = self.folder.join("gateway.toml").display().to_string();
        vec!["--config".to_owned(), config]
    }

    /// In one step, as a careful operator does.
    fn write(&self, name: &str, text: &str) {
        let new = self.folder.join(format!("{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(&new, self.folder.join(name)).unwrap();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// How often each happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Happened {
    entra: u32,
    upstream: u32,
    keys: u32,
    secrets: u32,
    pub(crate) reloads: u32,
    restarts: u32,
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Entra ID failed {} times and the upstream {} times, {} new signing keys, {} new secrets, {} reloads, {} restarts",
            self.entra, self.upstream, self.keys, self.secrets, self.reloads, self.restarts
        )
    }
}

pub(crate) struct Troubles {
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) upstream: Upstream,
    pub(crate) files: Files,
    pub(crate) users: Vec<Arc<User>>,
    pub(crate) tally: Tally,
}

impl Troubles {
    pub(crate) async fn run(&self, fleet: &Fleet, elder: &Gateway, end: Instant) -> Happened {
        let mut happened = Happened::default();
        let mut young = vec![fleet.start().await];
        let begun = Instant::now();
        let mut keys = vec![self.emulator.current_kid()];
        let mut secrets = vec![ids::API_CLIENT_SECRET.to_owned()];
        // The last troubles end before the callers do.
        for second in 0_u64.. {
            let at = begun + Duration::from_secs(second);
            if at + Duration::from_secs(12) >= end {
                break;
            }
            sleep_until(at).await;
            match second % 40 {
                2 => {
                    keys.push(self.emulator.rotate_keys());
                    self.sign_in(1, false);
                    happened.keys += 1;
                }
                // Nobody shows a token of the old key any more.
                8 if keys.len() > 1 => {
                    let old = keys.remove(0);
                    self.emulator.withdraw_key(&old);
                }
                12 => {
                    self.tally.begins(Trouble::Entra);
                    let fault = Fault::status(503);
                    self.emulator.fail(Endpoint::Token, fault, FAULTS);
                    happened.entra += 1;
                    // A few are new meanwhile; the others are served from the cache.
                    self.sign_in(8, true);
                }
                18 => {
                    self.emulator.clear_faults();
                    self.tally.ends(Trouble::Entra);
                }
                28 => {
                    self.tally.begins(Trouble::Upstream);
                    let breaks_off = happened.upstream % 2 == 1;
                    let mood = if breaks_off {
                        Mood::BreaksOff
                    } else {
                        Mood::Fails
                    };
                    self.upstream.be(mood);
                    happened.upstream += 1;
                }
                31 => {
                    self.upstream.be(Mood::Serves);
                    self.tally.ends(Trouble::Upstream);
                }
                33 => {
                    let new = format!("soak-secret-{}", happened.secrets);
                    secrets.push(new.clone());
                    self.register(&secrets);
                    self.files.write("secret", &new);
                    happened.secrets += 1;
                }
                37 if secrets.len() > 1 => {
                    secrets.remove(0);
                    self.register(&secrets);
                }
                _ => {}
            }
            if second % 20 == 15 {
                self.files.configure(happened.reloads + 1);
                for gateway in young.iter().chain([elder]) {
                    if gateway
                        .get("/metrics")
                        .await
                        .1
                        .contains("obo_config_reloads")
                    {
                        gateway.signal("-HUP").await;
                        happened.reloads += 1;
                    }
                }
            }
            if second % 20 == 5 {
                young.push(fleet.start().await);
                young.remove(0).stop().await;
                happened.restarts += 1;
            }
        }
        sleep_until(end).await;
        for gateway in young {
            gateway.stop().await;
        }
        happened
    }

    /// Each so many-th user has a new token.
    fn sign_in(&self, every: usize, is_new: bool) {
        for user in self.users.iter().step_by(every) {
            *user.token.write().unwrap() = self.emulator.user_token(user.name);
            user.is_new.store(is_new, Ordering::Relaxed);
        }
    }

    fn register(&self, secrets: &[String]) {
        self.emulator.update_directory(|directory| {
            let api = directory.applications.iter_mut();
            let mut api = api.filter(|application| application.client_id == ids::API_CLIENT_ID);
            let api = api.next().expect("the API is registered");
            api.secrets = secrets.to_vec();
        });
    }
}
