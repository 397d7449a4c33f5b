//! Credentials of the gateway other than a client secret, against the emulator.

use std::path::PathBuf;

use entra_emulator::{Signer, demo as ids, directory::FederatedCredential};
use serde_json::json;
use tower_obo::Clock as _;

use crate::{
    admin::{config_of_second, second},
    client::{Client, in_time},
    rig::Rig,
};

const ISSUER: &str = "https://oidc.cluster.example/";

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

/// The API has the signer's certificate, and its keys as a federated credential; and no secret.
fn register(rig: &Rig, signer: &Signer) {
    let emulator = rig.emulator.as_ref().unwrap();
    emulator.update_directory(|directory| {
        let api = directory.application_mut(ids::API_CLIENT_ID).unwrap();
        api.secrets.clear();
        api.certificates.push(signer.certificate().clone());
        let federated = FederatedCredential::new("cluster", ISSUER, "api");
        api.set_federated(federated.jwks(signer.jwks()));
    });
}

/// Not ready without the file, ready with it, and then it exchanges.
async fn serves(variable: &str, described: &str, content: impl Fn(&Signer) -> String) {
    let rig = Rig::protected().await;
    let signer = Signer::generate().unwrap();
    register(&rig, &signer);
    let path = File::new();
    let (gateway, probe) = second(&rig, variable, &path.0.display().to_string()).await;
    for text in [None, Some("\n")] {
        if let Some(text) = text {
            std::fs::write(&path.0, text).unwrap();
        }
        let answer = Client::connect(probe).await.get("/readyz").await;
        assert_eq!(answer.status, 503);
        let named = format!("credential: the {described} in {}", path.0.display());
        assert!(answer.body.starts_with(&named), "{answer:?}");
    }
    std::fs::write(&path.0, content(&signer)).unwrap();
    in_time(async {
        while Client::connect(probe).await.get("/readyz").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let token = rig.token("alice");
    let mut client = Client::connect(gateway.local_addr()).await;
    client
        .send(format!(
            "GET /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
        .await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{variable}: {answer:?}");
    let figures = Client::connect(probe).await.figures().await;
    let told =
        figures.contains("\nobo_certificate_expires_timestamp_seconds{use=\"client_credential\"} ");
    assert_eq!(told, described == "certificate", "{variable}: {figures}");
}

/// A file that is gone afterwards.
pub(crate) struct File(pub(crate) PathBuf);

impl File {
    /// A path of its own, where there is nothing yet.
    pub(crate) fn new() -> Self {
        let name = format!("obo-gateway-{}", uuid::Uuid::new_v4());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn it_proves_itself_with_a_certificate() {
    let pem = |signer: &Signer| signer.private_key_pem() + &signer.certificate_pem();
    serves("OBO_CLIENT_CERTIFICATE", "certificate", pem).await;
    serves("AZURE_CLIENT_CERTIFICATE_PATH", "certificate", pem).await;
}

/// The figure is of the certificate that is shown, which a reload keeps.
#[tokio::test]
async fn a_reload_while_its_file_is_bad_does_not_hide_when_a_certificate_ends() {
    let rig = Rig::protected().await;
    let signer = Signer::generate().unwrap();
    register(&rig, &signer);
    let path = File::new();
    std::fs::write(
        &path.0,
        signer.private_key_pem() + &signer.certificate_pem(),
    )
    .unwrap();
    let named = path.0.display().to_string();
    let (gateway, probe) = second(&rig, "OBO_CLIENT_CERTIFICATE", &named).await;
    in_time(async {
        while !gateway.is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    std::fs::write(&path.0, "nothing").unwrap();
    let mut config = config_of_second(&rig, "OBO_CLIENT_CERTIFICATE", &named);
    config.limits.requests = 7;
    gateway.reload(config).await.unwrap();
    let figures = Client::connect(probe).await.figures().await;
    let name = "\nobo_certificate_expires_timestamp_seconds{use=\"client_credential\"} ";
    assert!(figures.contains(name), "{figures}");
}

/// A pipe that nobody writes into hangs as a file system of the network does.
#[tokio::test]
async fn a_file_that_hangs_keeps_neither_the_start_nor_a_probe_waiting() {
    let rig = Rig::protected().await;
    let signer = Signer::generate().unwrap();
    register(&rig, &signer);
    let path = File::new();
    let made = std::process::Command::new("mkfifo").arg(&path.0).status();
    assert!(made.unwrap().success());
    let named = path.0.display().to_string();
    let (gateway, probe) = in_time(second(&rig, "OBO_CLIENT_CERTIFICATE", &named)).await;
    for _ in 0..3 {
        let answer = in_time(Client::connect(probe).await.get("/readyz")).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(!gateway.is_ready());
        let alive = in_time(Client::connect(probe).await.get("/livez")).await;
        assert_eq!(alive.status, 200);
    }
    let pem = signer.private_key_pem() + &signer.certificate_pem();
    std::fs::write(&path.0, pem).unwrap();
    in_time(async {
        while !gateway.is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn it_proves_itself_with_a_projected_token() {
    serves("OBO_FEDERATED_TOKEN_FILE", "federated token", projected).await;
    serves("AZURE_FEDERATED_TOKEN_FILE", "federated token", projected).await;
}
