//! A service as people write them with tonic, behind the gateway: HTTP/2 without TLS on both sides.

mod echo;

use std::{
    pin::pin,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use entra_emulator::{Endpoint, Fault};
use futures_util::stream;
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{
    Code, Request, Status,
    service::InterceptorLayer,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::HealthReporter,
};

use self::echo::Echo;
use crate::{
    client::in_time,
    rig::{PROTECTED, Rig},
    upstream::ok,
};

const SERVING: i32 = ServingStatus::Serving as i32;
const NOT_SERVING: i32 = ServingStatus::NotServing as i32;

struct Service {
    rig: Rig,
    health: HealthReporter,
    /// The `authorization` of each call that came.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("h2c://{}", listener.local_addr().unwrap());
        let (health, checks) = tonic_health::server::health_reporter();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let seeing = Arc::clone(&seen);
        let sees = InterceptorLayer::new(move |call: Request<()>| {
            let authorization = call.metadata().get("authorization");
            let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
            seeing.lock().unwrap().extend(authorization);
            Ok(call)
        });
        let server = Server::builder()
            .layer(sees)
            .add_service(checks)
            .add_service(Echo);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let change = |config: &mut obo_gateway::Config| {
            for upstream in config.upstreams.values_mut() {
                upstream.set_url(&url).unwrap();
            }
            config.routes[0].trailers = vec!["x-why".to_owned()];
        };
        let rig = Rig::new(PROTECTED, |_| ok(), change).await;
        Self { rig, health, seen }
    }

    async fn channel(&self) -> Channel {
        let address = format!("http://{}", self.rig.gateway.local_addr());
        let endpoint = Channel::from_shared(address).unwrap();
        in_time(endpoint.connect()).await.unwrap()
    }

    async fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel().await)
    }

    /// The service was called so often, each time with the user's token for itself.
    fn saw(&self, calls: usize, token: &str) {
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), calls);
        for authorization in &*seen {
            assert!(!authorization.contains(token));
            let downstream = authorization.strip_prefix("Bearer ").unwrap();
            assert_eq!(claim(downstream, "oid"), claim(token, "oid"));
            assert_ne!(claim(downstream, "aud"), claim(token, "aud"));
        }
    }
}

fn claim(token: &str, name: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    claims[name].as_str().unwrap().to_owned()
}

/// A call with this message and this token, if there is one.
fn call<T>(message: T, token: &str) -> Request<T> {
    let mut call = Request::new(message);
    if !token.is_empty() {
        let bearer = format!("Bearer {token}").parse().unwrap();
        call.metadata_mut().insert("authorization", bearer);
    }
    call
}

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn a_tonic_service_is_called_with_the_users_token_for_it_and_its_errors_pass() {
    let service = Service::start().await;
    let token = service.rig.token("alice");
    let mut health = service.health().await;
    let answer = in_time(health.check(call(check(""), &token)));
    assert_eq!(answer.await.unwrap().get_ref().status, SERVING);
    let refused = in_time(health.check(call(check("nobody"), &token))).await;
    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "service not registered");
    service.saw(2, &token);
}

#[tokio::test]
async fn a_tonic_service_streams_message_by_message() {
    let service = Service::start().await;
    let token = service.rig.token("alice");
    let mut health = service.health().await;
    let watching = in_time(health.watch(call(check(""), &token)));
    let mut statuses = watching.await.unwrap().into_inner();
    for (set, wanted) in [
        (None, SERVING),
        (Some(ServingStatus::NotServing), NOT_SERVING),
        (Some(ServingStatus::Serving), SERVING),
    ] {
        if let Some(set) = set {
            service.health.set_service_status("", set).await;
        }
        let status = in_time(statuses.message()).await.unwrap().unwrap();
        assert_eq!(status.status, wanted);
    }
    service.saw(1, &token);
}

#[tokio::test]
async fn a_tonic_call_streams_both_ways_until_an_error_with_its_metadata_ends_it() {
    let service = Service::start().await;
    let token = service.rig.token("alice");
    let (say, said) = mpsc::unbounded_channel();
    let messages = stream::unfold(said, |mut said: mpsc::UnboundedReceiver<Bytes>| async {
        Some((said.recv().await?, said))
    });
    let answers = in_time(echo::call(service.channel().await, call(messages, &token)));
    let answers = answers.await.unwrap().into_inner();
    let mut answers = pin!(answers);
    let long = "long".repeat(100_000);
    for message in ["one", "", &long, "three"] {
        say.send(Bytes::from(message.to_owned())).unwrap();
        let answer = in_time(answers.message()).await.unwrap().unwrap();
        assert!(answer == message.as_bytes());
    }
    say.send(Bytes::from_static(echo::FAIL)).unwrap();
    let status = in_time(answers.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(status.message(), "100 % of it: ü");
    assert_eq!(status.details(), b"\0details");
    assert_eq!(status.metadata().get("x-why").unwrap(), "asked");
    service.saw(1, &token);
}

#[tokio::test]
async fn hd_15_a_tonic_client_reads_why_it_was_refused() {
    let service = Service::start().await;
    let emulator = service.rig.emulator.as_ref().unwrap();
    let mut health = service.health().await;
    for (token, code, error) in [
        (String::new(), Code::Unauthenticated, None),
        (
            "garbage".to_owned(),
            Code::Unauthenticated,
            Some("invalid_token"),
        ),
        (
            emulator.token().claim("scp", "other").sign(),
            Code::PermissionDenied,
            Some("insufficient_scope"),
        ),
        (
            service.rig.token("carol"),
            Code::Unauthenticated,
            Some("insufficient_claims"),
        ),
    ] {
        let refused = in_time(health.check(call(check(""), &token))).await;
        let status = refused.unwrap_err();
        says(&status, code, error);
        // What streams is refused in the same way, before anything streams.
        let refused = in_time(health.watch(call(check(""), &token))).await;
        says(&refused.unwrap_err(), code, error);
    }
    let fault = Fault::status(429).header("retry-after", "7");
    emulator.fail(Endpoint::Token, fault, 1);
    let refused = in_time(health.check(call(check(""), &service.rig.token("alice")))).await;
    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("retry-after").unwrap(), "7");
    service.saw(0, "");
}

fn says(status: &Status, code: Code, error: Option<&str>) {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(!status.message().is_empty());
    let challenge = status.metadata().get("www-authenticate").unwrap();
    let challenge = challenge.to_str().unwrap();
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    match error {
        Some(error) => assert!(challenge.contains(&format!("error=\"{error}\""))),
        None => assert!(!challenge.contains("error")),
    }
}
