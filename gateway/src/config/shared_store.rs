//! The store of tokens that several gateways share: `cache.redis_…`.

use std::{fs, io, net::IpAddr, path::PathBuf, time::Duration};

use tower_obo::RedisStore;
use zeroize::Zeroizing;

use super::{Origin, Secret, SecretFile, resolve::Resolver};

/// The store of tokens that several gateways share.
///
/// The files are read when a gateway starts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SharedStore {
    /// Where it is; may hold a password.
    pub url: Secret,
    /// The keys of its values, one a line: the first seals, all of them open.
    pub key_file: SecretFile,
    /// The authorities that vouch for it, if not those that the operating system trusts.
    pub ca_file: Option<PathBuf>,
    /// The longest that a request waits for it, and for another gateway's exchange, together.
    pub wait: Duration,
}

impl SharedStore {
    /// A store at this address, with the keys of this file.
    #[must_use]
    pub fn new(url: impl Into<String>, key_file: impl Into<SecretFile>) -> Self {
        Self {
            url: Secret::new(url),
            key_file: key_file.into(),
            ca_file: None,
            wait: WAIT,
        }
    }

    /// Whether the address has a password that is sent to another host in the clear.
    pub(super) fn tells_its_password(&self) -> bool {
        let url = self.url.expose();
        let plain = ["redis://", "redis-cluster://"];
        let Some(rest) = plain.iter().find_map(|scheme| url.strip_prefix(scheme)) else {
            return false;
        };
        let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let Some((who, host)) = place.rsplit_once('@') else {
            return false;
        };
        let has_password = who
            .split_once(':')
            .is_some_and(|(_, password)| !password.is_empty());
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let address = host.parse::<IpAddr>();
        let is_here = host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.is_loopback());
        has_password && !is_here
    }

    /// Reads the files.
    pub(crate) fn read(&self) -> Result<RedisStore, String> {
        let unreadable = |path: &PathBuf| {
            let path = path.display().to_string();
            move |error: io::Error| format!("{path} cannot be read: {error}")
        };
        let path = self.key_file.path().to_path_buf();
        let text = fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(unreadable(&path))?;
        let mut keys = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let Some(first) = keys.next() else {
            let path = path.display();
            return Err(format!(
                "{path} is empty; it must hold a key, from `openssl rand -base64 32` for instance"
            ));
        };
        let store = RedisStore::new(self.url.expose(), first).with_wait(self.wait);
        let store = keys.fold(store, RedisStore::also_opens);
        match &self.ca_file {
            Some(path) => {
                let pem = fs::read(path).map_err(unreadable(path))?;
                Ok(store.with_root_certificates(pem))
            }
            None => Ok(store),
        }
    }
}

const URL: &str = "cache.redis_url";
const KEY_FILE: &str = "cache.redis_key_file";
const CA_FILE: &str = "cache.redis_ca_file";

const WAIT_KEY: &str = "cache.redis_wait";

/// How long a request waits for the store, unless it is said.
const WAIT: Duration = Duration::from_millis(100);

/// The word of a gateway that it is exchanging counts that long: nobody has to wait longer for it.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What an address begins with.
const SCHEMES: [&str; 5] = [
    "redis://",
    "rediss://",
    "redis+unix://",
    "redis-cluster://",
    "rediss-cluster://",
];

impl Resolver<'_> {
    pub(super) fn shared_store(&mut self) -> Option<SharedStore> {
        let url = self.settings.text(URL);
        let key_file = self.settings.text(KEY_FILE);
        let ca_file = self.settings.text(CA_FILE);
        let given_wait = self.settings.text(WAIT_KEY);
        let Some(url) = url else {
            let others = [
                (KEY_FILE, key_file),
                (CA_FILE, ca_file),
                (WAIT_KEY, given_wait),
            ];
            for (name, given) in others {
                if let Some(given) = given
                    && !self.has_been_said(URL)
                {
                    let message = "there is no store that it is for: `cache.redis_url` is missing";
                    self.problems.push(given.origin, name, message);
                }
            }
            return None;
        };
        // The address may hold a password, so it is not repeated.
        if !SCHEMES.iter().any(|scheme| url.value.starts_with(scheme)) {
            let schemes = SCHEMES.join(", ");
            let message = format!("the address begins with none of {schemes}");
            self.problems.push(url.origin.clone(), URL, message);
        }
        let Some(key_file) = key_file else {
            self.lacks_key(url.origin);
            return None;
        };
        let wait = self.duration(WAIT_KEY, WAIT);
        if let Some(given) = given_wait.filter(|_| wait > LONGEST_WAIT) {
            let message =
                "more than 2s: by then another gateway's exchange is not waited for any more";
            self.problems.push(given.origin, WAIT_KEY, message);
        }
        Some(SharedStore {
            wait,
            url: Secret::new(url.value),
            key_file: SecretFile::new(key_file.value, key_file.origin),
            ca_file: ca_file.map(|given| PathBuf::from(given.value)),
        })
    }

    fn lacks_key(&mut self, origin: Origin) {
        if !self.has_been_said(KEY_FILE) {
            let message = "missing: what the store holds is sealed under a key of yours. Put one into a file, from `openssl rand -base64 32` for instance, and name the file";
            self.problems.push(origin, KEY_FILE, message);
        }
    }
}
