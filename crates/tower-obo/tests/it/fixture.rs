//! Entra ID's emulator, a core that trusts it, and a service that records what reaches it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use entra_emulator::{Emulator, Endpoint, demo};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};
use tower_obo::{
    AccessPolicy, Admitted, Core, CoreBuilder, Credential, Downstream, Entra, Policy, Spawner,
    Task, TestClock, TokenDefect,
};

use crate::{answer::Answer, echo};

pub(crate) type Body = Full<Bytes>;

/// Everything a test of one core needs. The emulator's own clock is the system's, where the
/// core's starts too.
pub(crate) struct World {
    pub(crate) entra: Emulator,
    pub(crate) clock: TestClock,
    pub(crate) core: Core,
    pub(crate) upstream: Upstream,
}

impl World {
    /// Users of Contoso; the keys are loaded.
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(configure: impl FnOnce(CoreBuilder) -> CoreBuilder) -> Self {
        Self::of(Entra::tenant(demo::CONTOSO), configure).await
    }

    pub(crate) async fn of(
        tenants: Entra,
        configure: impl FnOnce(CoreBuilder) -> CoreBuilder,
    ) -> Self {
        let world = Self::without_keys(tenants, configure).await;
        world.load_keys().await;
        world
    }

    /// Nothing has been fetched yet.
    pub(crate) async fn without_keys(
        tenants: Entra,
        configure: impl FnOnce(CoreBuilder) -> CoreBuilder,
    ) -> Self {
        let entra = Emulator::builder().start().await.unwrap();
        let clock = TestClock::starting_now();
        let core = core(&entra, tenants, &clock, configure);
        Self {
            entra,
            clock,
            core,
            upstream: Upstream::default(),
        }
    }

    /// The same, and keys are fetched only because of requests from then on: what the background does by
    /// itself is another test's, and a count is of what callers cause.
    pub(crate) async fn callers_alone(configure: impl FnOnce(CoreBuilder) -> CoreBuilder) -> Self {
        let tasks = FirstTask::default();
        let spawner = tasks.clone();
        let world = Self::with(|builder| configure(builder.spawner(spawner))).await;
        if let Some(background) = tasks.0.lock().unwrap().take() {
            background.abort();
        }
        world
    }

    async fn load_keys(&self) {
        load_keys(&self.core).await;
    }

    /// Sends a request with this token through the usual policy.
    pub(crate) async fn get(&self, token: &str) -> Answer {
        self.send(with_token(token)).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        self.send_by(policy(), request).await
    }

    pub(crate) async fn send_by(&self, policy: Policy, request: Request<Body>) -> Answer {
        let service = self
            .core
            .layer(policy)
            .unwrap()
            .layer(self.upstream.clone());
        Answer::of(service.oneshot(request).await.unwrap()).await
    }

    /// Sends a request that must be refused before it costs anything: nothing reaches the service,
    /// nothing is exchanged, nothing of it comes back.
    pub(crate) async fn refused(&self, case: &str, request: Request<Body>) -> Answer {
        self.refused_by(policy(), case, request).await
    }

    pub(crate) async fn refused_by(
        &self,
        policy: Policy,
        case: &str,
        request: Request<Body>,
    ) -> Answer {
        let before = (self.upstream.calls(), self.exchanges_asked());
        let input = echo::needles(&request);
        let answer = self.send_by(policy, request).await;
        let after = (self.upstream.calls(), self.exchanges_asked());
        assert_eq!(after, before, "{case}: it reached a service");
        answer.is_a_refusal(case);
        for needle in input {
            answer.does_not_hold(&needle, case);
        }
        answer
    }

    /// The token is refused as an invalid one (C1), with the fixed description of that defect and of
    /// no other: a token that is refused for something else proves nothing about its case.
    pub(crate) async fn invalid(&self, case: &str, defect: TokenDefect, token: &str) -> Answer {
        let answer = self.refused(case, with_token(token)).await;
        answer.has_defect(case, defect);
        answer
    }

    /// The token is good: the request arrives with a downstream token in its place.
    pub(crate) async fn accepted(&self, case: &str, token: &str) {
        let before = self.upstream.calls();
        let answer = self.get(token).await;
        assert_eq!(answer.status, StatusCode::OK, "{case}: {}", answer.body);
        assert_eq!(self.upstream.calls(), before + 1, "{case}");
        let sent = self.upstream.last().authorization();
        assert!(sent.starts_with("Bearer ey"), "{case}");
        assert!(!sent.contains(token), "{case}: the caller's own token");
    }

    /// The token is valid here, whatever Entra ID thinks of it.
    pub(crate) async fn is_valid(&self, case: &str, token: &str) {
        let policy = Policy::new(AccessPolicy::any_scope([demo::API_SCOPE]));
        let answer = self.send_by(policy, with_token(token)).await;
        assert_eq!(answer.status, StatusCode::OK, "{case}: {}", answer.body);
    }

    /// How many requests the token endpoint has had.
    pub(crate) fn exchanges_asked(&self) -> u64 {
        self.entra.count(Endpoint::Token)
    }
}

/// Keeps hold of what is spawned first, which is what keeps the keys fresh.
#[derive(Clone, Debug, Default)]
struct FirstTask(Arc<Mutex<Option<tokio::task::AbortHandle>>>);

impl Spawner for FirstTask {
    fn spawn(&self, task: Task) {
        let task = tokio::spawn(task).abort_handle();
        self.0.lock().unwrap().get_or_insert(task);
    }
}

/// Waits until the core has its first keys.
pub(crate) async fn load_keys(core: &Core) {
    core.start();
    let loaded = async {
        while !core.is_ready() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), loaded)
        .await
        .unwrap();
}

pub(crate) fn core(
    entra: &Emulator,
    tenants: Entra,
    clock: &TestClock,
    configure: impl FnOnce(CoreBuilder) -> CoreBuilder,
) -> Core {
    core_at(entra.url(), tenants, clock, configure)
}

/// A core with another authority than the emulator.
pub(crate) fn core_at(
    authority: &str,
    tenants: Entra,
    clock: &TestClock,
    configure: impl FnOnce(CoreBuilder) -> CoreBuilder,
) -> Core {
    let authority = tenants.authority(authority).allow_http_loopback(true);
    let secret = Credential::secret(demo::API_CLIENT_SECRET);
    let builder = Core::builder(authority)
        .client(demo::API_CLIENT_ID, secret)
        .with_clock(clock.clone());
    configure(builder).build().unwrap()
}

/// The policy of a route that calls Azure Resource Manager for the user.
pub(crate) fn policy() -> Policy {
    Policy::new(AccessPolicy::any_scope([demo::API_SCOPE]))
        .downstream(Downstream::azure_resource_manager())
}

pub(crate) fn request() -> Request<Body> {
    Request::new(Body::default())
}

pub(crate) fn with_token(token: &str) -> Request<Body> {
    with_authorization(&[format!("Bearer {token}").as_bytes()])
}

/// A request with these `Authorization` lines, byte for byte.
pub(crate) fn with_authorization(lines: &[&[u8]]) -> Request<Body> {
    let mut request = request();
    for line in lines {
        let value = HeaderValue::from_bytes(line).unwrap();
        request.headers_mut().append(AUTHORIZATION, value);
    }
    request
}

/// A service that records the head of each request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upstream(Arc<Mutex<Vec<Seen>>>);

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    pub(crate) admitted: Option<Admitted>,
}

impl Seen {
    /// The one `Authorization` that the service got.
    pub(crate) fn authorization(&self) -> String {
        let lines: Vec<_> = self.headers.get_all(AUTHORIZATION).iter().collect();
        assert_eq!(lines.len(), 1, "exactly one Authorization");
        assert!(lines[0].is_sensitive());
        lines[0].to_str().unwrap().to_owned()
    }
}

impl Upstream {
    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.0.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn record<B>(&self, request: &Request<B>) {
        self.0.lock().unwrap().push(Seen {
            headers: request.headers().clone(),
            admitted: request.extensions().get().cloned(),
        });
    }
}

impl<B> Service<Request<B>> for Upstream {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.record(&request);
        ready(Ok(Response::new(Body::from("served"))))
    }
}
