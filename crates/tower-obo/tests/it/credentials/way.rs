//! The way to Entra ID: which certificates are trusted, and through which proxy it leads. What a
//! process has in its environment is tried in processes of their own.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use axum::{Json, Router, routing::get};
use entra_emulator::{Emulator, Signer, demo, directory::FederatedCredential};
use http::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tower::{Layer as _, ServiceExt as _};
use tower_obo::{Clock as _, Core, Credential, Entra, ManagedIdentity};

use super::kit::register_api;
use crate::{
    answer::Answer,
    fixture::{Upstream, policy, with_token},
};

/// A file that is gone with the test.
struct File(PathBuf);

impl File {
    fn with(content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("obo-ca-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn get_with(entra: Entra, credential: Credential, token: &str) -> Answer {
    let core = Core::builder(entra)
        .client(demo::API_CLIENT_ID, credential)
        .build()
        .unwrap();
    let service = core.layer(policy()).unwrap().layer(Upstream::default());
    Answer::of(service.oneshot(with_token(token)).await.unwrap()).await
}

async fn secure() -> (Emulator, File, String) {
    let emulator = Emulator::builder().https().start().await.unwrap();
    let ca = File::with(emulator.ca_pem().unwrap());
    emulator.grant_consent("alice");
    let token = emulator.token().https().sign();
    (emulator, ca, token)
}

#[tokio::test]
async fn tl_01_an_authority_of_one_s_own_is_trusted_where_its_ca_file_is_given() {
    let (emulator, ca, token) = secure().await;
    let entra = || Entra::tenant(demo::CONTOSO).authority(emulator.https_url().unwrap());
    let secret = || Credential::secret(demo::API_CLIENT_SECRET);
    let answer = get_with(entra().ca_file(&ca.0), secret(), &token).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let answer = get_with(entra(), secret(), &token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let (_another, other_ca, _) = secure().await;
    let answer = get_with(entra().ca_file(&other_ca.0), secret(), &token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn a_ca_file_of_no_use_is_said_at_once() {
    let (empty, damaged) = (File::with(""), File::with("-----BEGIN CERTIFICATE-----\nx"));
    for path in [&*empty.0, &*damaged.0, std::path::Path::new("/nowhere")] {
        let entra = Entra::tenant(demo::CONTOSO).ca_file(path);
        let secret = Credential::secret("s");
        let errors = Core::builder(entra)
            .client(demo::API_CLIENT_ID, secret)
            .build();
        let errors = errors.unwrap_err().to_string();
        assert!(errors.contains(&path.display().to_string()), "{errors}");
    }
}

/// A proxy that knows CONNECT and nothing else, with the first lines that it got.
async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&lines);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if client.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let line = head.lines().next().unwrap().to_owned();
                let target = line
                    .strip_prefix("CONNECT ")
                    .map(|rest| rest.replace(" HTTP/1.1", ""));
                seen.lock().unwrap().push(line);
                let Some(target) = target else { return };
                let mut server = TcpStream::connect(target).await.unwrap();
                let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (url, lines)
}

/// Runs the ignored test below in a process with these variables.
async fn child(variables: Vec<(&'static str, String)>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", CHILD]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.envs(variables);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

const CHILD: &str = "credentials::way::one_request_as_the_environment_says";

#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn one_request_as_the_environment_says() {
    let variable = |name| std::env::var(name).unwrap();
    let entra = Entra::tenant(demo::CONTOSO)
        .authority(variable("OBO_TEST_AUTHORITY"))
        .ca_file(variable("OBO_TEST_CA"));
    let credential = Credential::managed_identity(ManagedIdentity::from_env());
    let answer = get_with(entra, credential, &variable("OBO_TEST_TOKEN")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test]
async fn entra_id_is_asked_through_the_proxy_of_the_environment_and_the_managed_identity_never() {
    let (emulator, ca, token) = secure().await;
    let signer = Signer::generate().unwrap();
    register_api(&emulator, |api| {
        let credential = FederatedCredential::new("mi", "https://issuer.example", "mi");
        api.set_federated(credential.jwks(signer.jwks()));
    });
    let now = tower_obo::SystemClock.now().as_unix();
    let jwt = signer.sign(
        &json!({"alg": "RS256", "kid": signer.kid()}),
        &json!({
            "aud": "api://AzureADTokenExchange", "iss": "https://issuer.example", "sub": "mi",
            "iat": now, "exp": now + 3600,
        }),
    );
    let answer = json!({"access_token": jwt, "expires_in": 3599});
    let imds = get(move || async move { Json(answer) });
    let imds = Router::new().route("/metadata/identity/oauth2/token", imds);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, imds).await.unwrap() });

    let authority = emulator.https_url().unwrap();
    let (proxy, lines) = proxy().await;
    let variables = vec![
        ("OBO_TEST_AUTHORITY", authority.to_owned()),
        ("OBO_TEST_CA", ca.0.display().to_string()),
        ("OBO_TEST_TOKEN", token),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", host),
        ("HTTP_PROXY", proxy.clone()),
        ("HTTPS_PROXY", proxy),
    ];
    let target = authority.trim_start_matches("https://");
    let ran = child(variables.clone()).await;
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stdout)
    );
    assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"));
    let asked = std::mem::take(&mut *lines.lock().unwrap());
    assert!(!asked.is_empty());
    for line in asked {
        assert_eq!(line, format!("CONNECT {target} HTTP/1.1"));
    }

    let name = target.split(':').next().unwrap().to_owned();
    let ran = child([variables, vec![("NO_PROXY", name)]].concat()).await;
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stdout)
    );
    assert!(lines.lock().unwrap().is_empty());
}
