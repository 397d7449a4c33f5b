//! Files that are replaced as Kubernetes replaces them, and requests that flow meanwhile.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use entra_emulator::{Emulator, Endpoint, demo, directory::Application};
use http::StatusCode;
use serde_json::Value;
use tokio::task::JoinHandle;
use tower_obo::Credential;

use crate::fixture::World;

/// A projected volume: `name` leads to `..data/name`, and `..data` to the directory of today.
pub(crate) struct Volume {
    root: PathBuf,
    names: Vec<&'static str>,
    version: AtomicU64,
}

impl Volume {
    pub(crate) fn with(name: &'static str, content: impl AsRef<[u8]>) -> Self {
        Self::of(&[(name, content.as_ref())])
    }

    /// With several files, which change at once.
    pub(crate) fn of(files: &[(&'static str, &[u8])]) -> Self {
        let root = std::env::temp_dir().join(format!("obo-volume-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&root).unwrap();
        for (name, _) in files {
            symlink(format!("..data/{name}"), root.join(name)).unwrap();
        }
        let volume = Self {
            root,
            names: files.iter().map(|(name, _)| *name).collect(),
            version: AtomicU64::new(0),
        };
        volume.put_all(files);
        volume
    }

    /// Where its first file is.
    pub(crate) fn path(&self) -> PathBuf {
        self.path_of(self.names[0])
    }

    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes into the file that there is, without a moment at which it is shorter, and sets its time back.
    pub(crate) fn put_looking_alike(&self, content: impl AsRef<[u8]>) {
        let mut file = fs::File::options().write(true).open(self.path()).unwrap();
        let before = file.metadata().unwrap();
        assert_eq!(before.len(), content.as_ref().len() as u64);
        file.write_all(content.as_ref()).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
    }

    pub(crate) fn put(&self, content: impl AsRef<[u8]>) {
        self.put_all(&[(self.names[0], content.as_ref())]);
    }

    /// Writes a new directory, turns the link to it, and removes the old one.
    pub(crate) fn put_all(&self, files: &[(&'static str, &[u8])]) {
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        let today = format!("..version_{version}");
        fs::create_dir(self.root.join(&today)).unwrap();
        for (name, content) in files {
            fs::write(self.root.join(&today).join(name), content).unwrap();
        }
        let (link, data) = (self.root.join("..data_tmp"), self.root.join("..data"));
        let old = fs::read_link(&data);
        symlink(&today, &link).unwrap();
        fs::rename(link, &data).unwrap();
        if let Ok(old) = old {
            fs::remove_dir_all(self.root.join(old)).unwrap();
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The demo with another credential of the API; it has no secret any more.
pub(crate) async fn world_with(
    credential: Credential,
    register: impl FnOnce(&mut Application),
) -> World {
    let world = World::with(|builder| builder.client(demo::API_CLIENT_ID, credential)).await;
    register_api(&world.entra, |api| {
        api.secrets.clear();
        register(api);
    });
    world
}

pub(crate) fn register_api(entra: &Emulator, change: impl FnOnce(&mut Application)) {
    entra.update_directory(|directory| {
        change(directory.application_mut(demo::API_CLIENT_ID).unwrap());
    });
}

/// The client assertions that were sent, in order; with nothing else that would prove anything.
pub(crate) fn assertions(world: &World) -> Vec<String> {
    let requests = world.entra.requests(Endpoint::Token);
    let assertion = |request: &entra_emulator::Recorded| {
        assert_eq!(request.parameter("client_secret"), None);
        assert_eq!(request.header("authorization"), None);
        assert_eq!(
            request.parameter("client_assertion_type").as_deref(),
            Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        );
        request.parameter("client_assertion").unwrap()
    };
    requests.iter().map(assertion).collect()
}

pub(crate) fn header(jwt: &str) -> Value {
    part(jwt, 0)
}

pub(crate) fn claims(jwt: &str) -> Value {
    part(jwt, 1)
}

fn part(jwt: &str, at: usize) -> Value {
    let part = jwt.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Requests that flow without end, each with a token that needs an exchange. The first that fails
/// ends its flow.
pub(crate) struct Load {
    done: Arc<[AtomicU64]>,
    stop: Arc<AtomicBool>,
    flows: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn on(world: &Arc<World>) -> Self {
        let done: Arc<[AtomicU64]> = (0..4).map(|_| AtomicU64::new(0)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let flow = |at: usize| {
            let (world, done, stop) = (Arc::clone(world), Arc::clone(&done), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = world.get(&world.entra.user_token("alice")).await;
                    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
                    done[at].fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let flows = (0..done.len()).map(flow).collect();
        Self { done, stop, flows }
    }

    /// Every flow has come to an end of what it was at, and of one request more.
    pub(crate) async fn goes_on(&self) {
        for (done, flow) in self.done.iter().zip(&self.flows) {
            let before = done.load(Ordering::Relaxed);
            while done.load(Ordering::Relaxed) < before + 2 && !flow.is_finished() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// No request has failed.
    pub(crate) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for flow in self.flows {
            flow.await.unwrap();
        }
        self.done.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }
}
