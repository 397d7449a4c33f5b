//! The binary under load while what it proves itself with changes: CF-06, EX-05.
#![cfg(unix)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::fs::symlink,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use entra_emulator::{
    Emulator, Endpoint, Signer, demo as ids,
    directory::{Application, FederatedCredential},
};
use serde_json::json;
use tokio::task::JoinHandle;
use tower_obo::Clock as _;

use crate::{
    binary::{gateway, serving},
    certificates::Folder,
    client::{Client, in_time},
    upstream::{Reply, Upstream, ok},
};

const ISSUER: &str = "https://oidc.cluster.example/";
const FLOWS: usize = 4;

/// The gateway as a process, Entra ID, and callers who come with a new token each time.
struct Load {
    child: Child,
    emulator: Arc<Emulator>,
    done: Arc<[AtomicU64; FLOWS]>,
    stop: Arc<AtomicBool>,
    flows: Vec<JoinHandle<()>>,
    _upstream: Upstream,
}

impl Load {
    async fn with(variable: &str, value: &str, register: impl FnOnce(&mut Application)) -> Self {
        let emulator = Arc::new(Emulator::builder().start().await.unwrap());
        change(&emulator, |api| {
            api.secrets.clear();
            register(api);
        });
        let upstream = Upstream::start(|_| ok()).await;
        let (child, address) = start(gateway().env(variable, value), &emulator, &upstream);
        let done: Arc<[AtomicU64; FLOWS]> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let flow = |at: usize| {
            let (done, stop) = (Arc::clone(&done), Arc::clone(&stop));
            let emulator = Arc::clone(&emulator);
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                while !stop.load(Ordering::Relaxed) {
                    let token = emulator.user_token("alice");
                    let head = "GET /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer";
                    client.send(format!("{head} {token}\r\n\r\n")).await;
                    let answer = client.answer().await.unwrap();
                    assert_eq!(answer.status, 200, "{answer:?}");
                    done[at].fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        Self {
            child,
            flows: (0..FLOWS).map(flow).collect(),
            emulator,
            done,
            stop,
            _upstream: upstream,
        }
    }

    /// Every caller has had an answer to what was under way, and to one request more.
    async fn goes_on(&self) {
        in_time(async {
            for (done, flow) in self.done.iter().zip(&self.flows) {
                let before = done.load(Ordering::Relaxed);
                while done.load(Ordering::Relaxed) < before + 2 && !flow.is_finished() {
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
    }

    /// None has failed, and what Entra ID was shown last is `proof`.
    async fn ends_with(mut self, proof: &str) {
        self.goes_on().await;
        self.stop.store(true, Ordering::Relaxed);
        for flow in std::mem::take(&mut self.flows) {
            flow.await.unwrap();
        }
        let asked = self.emulator.requests(Endpoint::Token);
        let shown = asked.last().unwrap().parameter("client_assertion");
        assert!(shown.unwrap().starts_with(proof));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Once it listens.
fn start(command: &mut Command, emulator: &Emulator, upstream: &Upstream) -> (Child, SocketAddr) {
    let mut child = command
        .args(serving(emulator, upstream))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.find_map(|line| {
        let line = line.unwrap();
        let (_, after) = line.split_once("\"listen\":\"http://")?;
        after.split('"').next()?.parse().ok()
    });
    std::thread::spawn(move || lines.for_each(drop));
    (child, address.unwrap())
}

fn change(emulator: &Emulator, change: impl FnOnce(&mut Application)) {
    emulator.update_directory(|directory| {
        change(directory.application_mut(ids::API_CLIENT_ID).unwrap());
    });
}

/// Only what one of these has signed is taken from now on.
fn trust(signers: &[&Signer]) -> impl Fn(&mut Application) + use<> {
    let keys = signers.iter().flat_map(|signer| {
        let keys = signer.jwks()["keys"].clone();
        keys.as_array().cloned().unwrap_or_default()
    });
    let keys = json!({"keys": keys.collect::<Vec<_>>()});
    let federated = FederatedCredential::new("cluster", ISSUER, "api").jwks(keys);
    move |api| api.set_federated(federated.clone())
}

fn projected(signer: &Signer) -> String {
    let now = tower_obo::SystemClock.now().as_unix();
    signer.sign(
        &json!({"alg": "RS256", "kid": signer.kid()}),
        &json!({
            "aud": "api://AzureADTokenExchange", "iss": ISSUER, "sub": "api",
            "iat": now, "exp": now + 3600,
        }),
    )
}

/// The files of a volume that Kubernetes projects, each behind two links, of which the second is turned.
fn project(folder: &Folder, version: usize, files: &[(&str, &[u8])]) {
    let today = format!("..{version}");
    fs::create_dir(folder.path(&today)).unwrap();
    for (name, content) in files {
        fs::write(folder.path(&today).join(name), content).unwrap();
        if version == 0 {
            symlink(format!("..data/{name}"), folder.path(name)).unwrap();
        }
    }
    symlink(&today, folder.path("..data_tmp")).unwrap();
    fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
    if let Some(before) = version.checked_sub(1) {
        fs::remove_dir_all(folder.path(&format!("..{before}"))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cf_06_the_binary_s_projected_token_rotates_under_load_and_no_request_fails() {
    let folder = Folder::new();
    let mut signer = Signer::generate().unwrap();
    let mut token = projected(&signer);
    project(&folder, 0, &[("token", token.as_bytes())]);
    let path = folder.path("token").display().to_string();
    let load = Load::with("AZURE_FEDERATED_TOKEN_FILE", &path, trust(&[&signer])).await;
    for version in 1..=4 {
        load.goes_on().await;
        let next = Signer::generate().unwrap();
        change(&load.emulator, trust(&[&signer, &next]));
        token = projected(&next);
        project(&folder, version, &[("token", token.as_bytes())]);
        // At once: requests are under way with the old one.
        change(&load.emulator, trust(&[&next]));
        signer = next;
    }
    load.ends_with(&token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cf_06_the_binary_s_certificate_rotates_under_load_and_no_request_fails() {
    let folder = Folder::new();
    let pem = |signer: &Signer| signer.private_key_pem() + &signer.certificate_pem();
    let signer = Signer::generate().unwrap();
    project(&folder, 0, &[("api.pem", pem(&signer).as_bytes())]);
    let path = folder.path("api.pem").display().to_string();
    let registered = signer.certificate().clone();
    let load = Load::with("AZURE_CLIENT_CERTIFICATE_PATH", &path, |api| {
        api.certificates = vec![registered];
    })
    .await;
    for version in 1..=4 {
        load.goes_on().await;
        let next = Signer::generate().unwrap();
        let registered = next.certificate().clone();
        change(&load.emulator, |api| api.certificates.push(registered));
        project(&folder, version, &[("api.pem", pem(&next).as_bytes())]);
        change(&load.emulator, |api| {
            api.certificates = vec![next.certificate().clone()];
        });
    }
    load.ends_with("ey").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ex_05_the_binary_s_managed_identity_has_another_token_under_load_and_no_request_fails() {
    let mut signer = Signer::generate().unwrap();
    let given = Arc::new(Mutex::new(projected(&signer)));
    let now = Arc::clone(&given);
    let imds = Upstream::start(move |_| {
        let token = now.lock().unwrap().clone();
        let body = json!({"access_token": token, "expires_in": "86399", "token_type": "Bearer"});
        let body = body.to_string();
        let length = body.len();
        Reply::Keep(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    })
    .await;
    let host = format!("http://{}", imds.address);
    let variable = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
    let load = Load::with(variable, &host, trust(&[&signer])).await;
    for _ in 0..4 {
        load.goes_on().await;
        let next = Signer::generate().unwrap();
        change(&load.emulator, trust(&[&signer, &next]));
        *given.lock().unwrap() = projected(&next);
        change(&load.emulator, trust(&[&next]));
        signer = next;
    }
    let last = given.lock().unwrap().clone();
    load.ends_with(&last).await;
}
