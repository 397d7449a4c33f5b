//! What outlives a restart: consents, applications that Microsoft Graph made, revoked sessions and signing keys, in
//! one file.
//!
//! It holds private keys and secrets, of an emulator; the file is the owner's to read all the same.

mod registered;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::registered::StoredApplication;
use crate::directory::{Consent, Directory};
use crate::encoding::random;
use crate::graph;
use crate::keys::{KeyError, KeyRing, StoredKey};

/// The form of the file.
const VERSION: u32 = 1;

/// Where it is.
#[derive(Clone, Debug)]
pub(crate) struct StateFile(PathBuf);

#[derive(Deserialize, Serialize)]
struct Content {
    version: u32,
    /// Id of the key that signs.
    current: String,
    keys: Vec<StoredKey>,
    consents: Vec<StoredConsent>,
    #[serde(default)]
    applications: Vec<StoredApplication>,
    /// How often sessions were revoked, by object id in the home tenant.
    revocations: BTreeMap<String, u32>,
}

#[derive(Deserialize, Serialize)]
struct StoredConsent {
    tenant: String,
    /// `None`: an administrator's, for everybody.
    user: Option<String>,
    client_id: String,
    resource: String,
    scopes: Vec<String>,
}

/// What was kept.
pub(crate) struct Kept(Content);

impl StateFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What the last run kept; `None` where there was none.
    pub(crate) fn load(&self) -> io::Result<Option<Kept>> {
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let content: Content = serde_json::from_slice(&text).map_err(|error| {
            io::Error::other(format!("it is no state of entra-emulator: {error}"))
        })?;
        if content.version != VERSION {
            let message = format!(
                "it has version {}, this program writes {VERSION}",
                content.version
            );
            return Err(io::Error::other(message));
        }
        Ok(Some(Kept(content)))
    }

    /// Writes what is now, beside the file and then in its place, so that it is whole at any time. The name
    /// beside it is new each time: two emulators never write the same, and who plants a file or a link
    /// there gets no key. Of two with one file, the one that writes last has its state in it.
    pub(crate) fn save(&self, directory: &Directory, keys: &KeyRing) -> io::Result<()> {
        let (current, keys) = keys.stored().map_err(io::Error::other)?;
        let made: BTreeSet<&str> = directory
            .applications
            .iter()
            .filter(|app| app.registration.made.is_some())
            .map(|app| &*app.client_id)
            .collect();
        let consents = directory.consents.iter();
        let content = Content {
            version: VERSION,
            current,
            keys,
            // An administrator's are configuration, but for applications that are not.
            consents: consents
                .filter(|consent| consent.user.is_some() || made.contains(&*consent.client_id))
                .map(StoredConsent::of)
                .collect(),
            applications: directory
                .applications
                .iter()
                .filter_map(StoredApplication::of)
                .collect(),
            revocations: directory
                .users
                .iter()
                .filter(|user| user.revocations > 0)
                .map(|user| (user.oid.clone(), user.revocations))
                .collect(),
        };
        let mut name = self.0.clone().into_os_string();
        name.push(format!(".{}.new", random(12)));
        let new = PathBuf::from(name);
        let written = write(&new, &content).and_then(|()| fs::rename(&new, &self.0));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

impl Kept {
    /// The keys as they were.
    pub(crate) fn keys(&self) -> Result<KeyRing, KeyError> {
        KeyRing::restore(&self.0.keys, &self.0.current)
    }

    /// Applications that Graph made are there again, unless the directory has them itself by now. Users'
    /// consents take the place of the directory's own; those of users, clients or resources that
    /// are there no more are left out.
    pub(crate) fn restore(&self, directory: &mut Directory) {
        for kept in &self.0.applications {
            let app = kept.restore();
            let known = directory.application(&app.client_id).is_some();
            if !known && directory.tenant(&app.tenant).is_some() {
                directory.applications.push(app);
            }
        }
        graph::project(directory);
        directory.consents.retain(|consent| consent.user.is_none());
        for kept in &self.0.consents {
            let user = kept.user.as_deref();
            let known = user.is_none_or(|user| directory.user_in(&kept.tenant, user).is_some())
                && directory.application(&kept.client_id).is_some()
                && directory.application(&kept.resource).is_some();
            if known {
                let consent = Consent::new(
                    &kept.tenant,
                    user.unwrap_or_default(),
                    &kept.client_id,
                    &kept.resource,
                    kept.scopes.iter().cloned(),
                );
                directory.grant(match user {
                    Some(_) => consent,
                    None => consent.for_everyone(),
                });
            }
        }
        for user in &mut directory.users {
            if let Some(count) = self.0.revocations.get(&user.oid) {
                user.revocations = user.revocations.max(*count);
            }
        }
    }
}

impl StoredConsent {
    fn of(consent: &Consent) -> Self {
        Self {
            tenant: consent.tenant.clone(),
            user: consent.user.clone(),
            client_id: consent.client_id.clone(),
            resource: consent.resource.clone(),
            scopes: consent.scopes.iter().cloned().collect(),
        }
    }
}

/// Writes a file that was not there before.
fn write(path: &Path, content: &Content) -> io::Result<()> {
    let mut file = private(path)?;
    serde_json::to_writer_pretty(&mut file, content)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn private(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}
