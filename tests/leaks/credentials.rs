//! Gateways with the other credentials, a shared store and another provider: each is used, and each fails.

use std::{fs, path::PathBuf};

use entra_emulator::{
    Emulator, Endpoint, Fault, Signer, demo as ids,
    directory::{Application, Certificate, FederatedCredential},
};
use obo_gateway::{AccessLog, AuditLog, Config, Running, Sources};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tower_obo::{Clock as _, SystemClock};

use crate::{capture::Capture, shown::Shown};

const IDENTITY_HEADER: &str = "identity-header-of-the-platform";
const REDIS_PASSWORD: &str = "password-of-the-shared-store";
const REDIS_KEY: &str = "key-of-the-shared-store-0123456789abcdef";
const OTHER_SECRET: &str = "secret-at-the-other-provider";
const ISSUER: &str = "https://cluster.example/";
const SUBJECT: &str = "system:serviceaccount:shop:api";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A file that goes when it is dropped.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let name = format!("obo-leaks-{}-{name}", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.put(content);
        file
    }

    fn put(&self, content: &str) {
        fs::write(&self.0, content).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A gateway with this in its file, and these variables. Its upstream is Resource Manager.
async fn gateway(
    emulator: &Emulator,
    log: &Capture,
    shown: &mut Shown,
    file: &str,
    variables: &[(&str, &str)],
) -> Running {
    let text = format!(
        "listen = '127.0.0.1:0'\nworkers = 1\nupstream = '{}'\n[accept]\nscopes = ['{}']\n{file}",
        emulator.arm_url(),
        ids::API_SCOPE,
    );
    let lookup = |name: &str| {
        let mut variables = variables.iter();
        let found = variables.find(|(variable, _)| *variable == name)?;
        Some(found.1.to_owned())
    };
    let sources = Sources::new().file("leaks.toml", text);
    let mut config = sources.environment(lookup).load().unwrap();
    logs(&mut config, log);
    shown.debug(&config);
    shown.debug(&config.warnings().to_string());
    let gateway = obo_gateway::start(config).await.unwrap();
    while !gateway.is_ready() {
        tokio::task::yield_now().await;
    }
    shown.debug(&gateway);
    gateway
}

/// Everything that a gateway can write goes where the rest of the log does.
pub(crate) fn logs(config: &mut Config, log: &Capture) {
    config.access_log = Some(AccessLog::text(log.clone()));
    config.audit_log = Some(AuditLog::text(log.clone()));
    config.admin = Some(([127, 0, 0, 1], 0).into());
}

fn entra(emulator: &Emulator, credential: &str) -> String {
    format!(
        "[downstream.arm]\nscope = '{}/{}'\n[entra]\ntenant = '{}'\nclient_id = '{}'\n\
         authority = '{}'\nallow_http_loopback = true\n{credential}",
        ids::ARM_RESOURCE,
        ids::ARM_SCOPE,
        ids::CONTOSO,
        ids::API_CLIENT_ID,
        emulator.url(),
    )
}

fn register(emulator: &Emulator, change: impl FnOnce(&mut Application)) {
    emulator.update_directory(|directory| {
        change(directory.application_mut(ids::API_CLIENT_ID).unwrap());
    });
}

/// A token of the cluster for this workload.
fn workload(signer: &Signer) -> String {
    let now = SystemClock.now().as_unix();
    let claims = json!({"aud": "api://AzureADTokenExchange", "iss": ISSUER, "sub": SUBJECT,
        "iat": now, "exp": now + 3600, "jti": signer.kid()});
    signer.sign(&json!({"alg": "RS256", "kid": signer.kid()}), &claims)
}

/// The credential serves, then Entra ID does not take it any more.
async fn served_and_refused(emulator: &Emulator, gateway: Running, shown: &mut Shown) {
    let user = || emulator.user_token("alice");
    assert_eq!(shown.get(gateway.url(), &user()).await, 200);
    register(emulator, |api| {
        api.certificates.clear();
        api.federated_credentials.clear();
    });
    assert_eq!(shown.get(gateway.url(), &user()).await, 502);
    shown.metrics(gateway.admin_url().unwrap()).await;
    gateway.shutdown().await;
}

/// A certificate, with a store whose server is not there and whose address holds a password.
async fn certificate(emulator: &Emulator, log: &Capture, shown: &mut Shown) {
    let signer = Signer::generate().unwrap();
    let pem = signer.private_key_pem() + &signer.certificate_pem();
    for line in signer.private_key_pem().lines() {
        if !line.contains("-----") {
            shown.secret("a certificate's key", line);
        }
    }
    shown.secret("the store's password", REDIS_PASSWORD);
    shown.secret("the store's key", REDIS_KEY);
    let (file, key) = (File::new("pem", &pem), File::new("key", REDIS_KEY));
    let certificate = Certificate::from_pem(&signer.certificate_pem()).unwrap();
    register(emulator, |api| api.certificates.push(certificate));
    let settings = entra(
        emulator,
        &format!(
            "credential = {{ certificate = '{}' }}\n[cache]\n\
             redis_url = 'redis://user:{REDIS_PASSWORD}@127.0.0.1:9/'\nredis_key_file = '{}'",
            file.0.display(),
            key.0.display(),
        ),
    );
    let gateway = gateway(emulator, log, shown, &settings, &[]).await;
    // A key that has lost its end is none; the old one serves on.
    file.put(&pem.replace("-----END PRIVATE KEY-----", ""));
    served_and_refused(emulator, gateway, shown).await;
}

async fn federated_token(emulator: &Emulator, log: &Capture, shown: &mut Shown) {
    let signer = Signer::generate().unwrap();
    let token = workload(&signer);
    shown.token("a federated token", &token);
    let file = File::new("token", &token);
    trust(emulator, &signer);
    let path = file.0.display();
    let settings = format!("credential = {{ federated_token_file = '{path}' }}");
    let settings = entra(emulator, &settings);
    let gateway = gateway(emulator, log, shown, &settings, &[]).await;
    served_and_refused(emulator, gateway, shown).await;
}

fn trust(emulator: &Emulator, signer: &Signer) {
    let credential = FederatedCredential::new("cluster", ISSUER, SUBJECT);
    register(emulator, |api| {
        api.set_federated(credential.jwks(signer.jwks()));
    });
}

async fn managed_identity(emulator: &Emulator, log: &Capture, shown: &mut Shown) {
    let signer = Signer::generate().unwrap();
    let token = workload(&signer);
    shown.token("a managed identity's token", &token);
    shown.secret("IDENTITY_HEADER", IDENTITY_HEADER);
    trust(emulator, &signer);
    let answer = json!({"access_token": token, "expires_in": "3600", "token_type": "Bearer"});
    let platform = platform(vec![
        (500, json!({"message": "not yet"})),
        (200, answer),
        (400, json!({"message": "no more"})),
    ])
    .await;
    let settings = entra(emulator, "credential = { managed_identity = true }");
    let variables = [
        ("IDENTITY_ENDPOINT", &*platform),
        ("IDENTITY_HEADER", IDENTITY_HEADER),
    ];
    let gateway = gateway(emulator, log, shown, &settings, &variables).await;
    served_and_refused(emulator, gateway, shown).await;
}

/// What gives an identity's token on App Service: these answers, the last again and again, to whoever has
/// the header.
async fn platform(answers: Vec<(u16, Value)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/msi/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        let mut next = answers.next().unwrap();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(String::from_utf8(head).unwrap().contains(IDENTITY_HEADER));
            let body = next.1.to_string();
            let answer = format!(
                "HTTP/1.1 {} X\r\ncontent-type: application/json\r\nconnection: close\r\n\
                 content-length: {}\r\n\r\n{body}",
                next.0,
                body.len(),
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            next = answers.next().unwrap_or(next);
        }
    });
    url
}

/// Token exchange (RFC 8693) at another provider.
async fn other_provider(emulator: &Emulator, log: &Capture, shown: &mut Shown) {
    shown.secret("the secret at the other provider", OTHER_SECRET);
    let settings = format!(
        "[downstream.orders]\ngrant = 'token_exchange'\naudience = 'orders'\n\
         [[route]]\npath = '/subscriptions'\ndownstream = 'orders'\n\
         [oidc]\nissuer = '{}/{}/v2.0'\nclient_id = '{}'\nallow_http_loopback = true",
        emulator.url(),
        ids::CONTOSO,
        ids::API_CLIENT_ID,
    );
    let variables = [("OBO_CLIENT_SECRET", OTHER_SECRET)];
    let gateway = gateway(emulator, log, shown, &settings, &variables).await;
    let stranger = emulator.user_token("bob");
    shown.token("somebody else's token", &stranger);
    let said = |status, error: &str| {
        let text = "words-for-the-operator";
        Fault::status(status).json(&json!({"error": error, "error_description": text}))
    };
    let issued = |token: &str| {
        Fault::status(200).json(&json!({"access_token": token, "expires_in": 300,
            "token_type": "Bearer", "issued_token_type": ACCESS_TOKEN}))
    };
    for (expected, fault) in [
        (401, said(400, "invalid_request")),
        (502, issued(&stranger)),
        (502, issued("an-exchanged-token\r\nwith-two-lines")),
        (502, said(400, "invalid_target")),
        // Of Resource Manager, which knows no such token.
        (401, issued("an-exchanged-token-that-nobody-knows")),
        (502, said(401, "invalid_client")),
    ] {
        let user = emulator.user_token("alice");
        emulator.fail(Endpoint::Token, fault, 1);
        assert_eq!(shown.get(gateway.url(), &user).await, expected);
        emulator.clear_faults();
    }
    for token in ["an-exchanged-token", "an-exchanged-token-that-nobody-knows"] {
        shown.secret("an exchanged token", token);
    }
    shown.metrics(gateway.admin_url().unwrap()).await;
    gateway.shutdown().await;
}

/// All of them, one after the other.
pub(crate) async fn travel(log: &Capture, shown: &mut Shown) {
    let emulator = Emulator::builder().start().await.unwrap();
    register(&emulator, |api| api.secrets.clear());
    certificate(&emulator, log, shown).await;
    federated_token(&emulator, log, shown).await;
    managed_identity(&emulator, log, shown).await;
    other_provider(&emulator, log, shown).await;
    for request in emulator.requests(Endpoint::Token) {
        for name in ["assertion", "subject_token", "client_assertion"] {
            if let Some(token) = request.parameter(name) {
                shown.token(name, &token);
            }
        }
    }
    for request in emulator.requests(Endpoint::Arm) {
        let line = request.header("authorization").unwrap_or_default();
        shown.token("a downstream token", line.trim_start_matches("Bearer "));
    }
    emulator.shutdown().await;
}
