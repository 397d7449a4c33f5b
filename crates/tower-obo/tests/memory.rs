//! KS-03, CA-07: what callers send in any number does not fill the memory. The allocator counts for
//! the whole process, so this is a binary of its own, and one test runs at a time.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    convert::Infallible,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use entra_emulator::{Emulator, Endpoint, demo};
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::Full;
use peak_alloc::PeakAlloc;
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};
use tower_obo::{
    AccessPolicy, Core, CoreBuilder, Credential, Downstream, Entra, ExchangeError,
    ExchangeErrorKind, ExchangeRequest, Exchanging, Policy, Secret, TokenExchange, TokenResponse,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MIB: usize = 1024 * 1024;

/// The size of a token for Azure Resource Manager.
const DOWNSTREAM_TOKEN: usize = 1_600;

fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// On one thread, so that nobody else allocates meanwhile.
fn run(test: impl Future<Output = ()>) {
    let turn = alone();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(test);
    drop(turn);
}

struct World {
    entra: Emulator,
    core: Core,
    /// What was allocated before there was a core.
    empty: usize,
}

impl World {
    async fn with(configure: impl FnOnce(CoreBuilder) -> CoreBuilder) -> Self {
        let entra = Emulator::builder().start().await.unwrap();
        let secret = Credential::secret(demo::API_CLIENT_SECRET);
        let contoso = Entra::tenant(demo::CONTOSO).authority(entra.url());
        let empty = HEAP.current_usage();
        let builder =
            Core::builder(contoso.allow_http_loopback(true)).client(demo::API_CLIENT_ID, secret);
        let core = configure(builder).build().unwrap();
        Self { entra, core, empty }
    }

    async fn get(&self, token: &str) -> StatusCode {
        let policy = Policy::new(AccessPolicy::any_scope([demo::API_SCOPE]))
            .downstream(Downstream::azure_resource_manager());
        let service = self
            .core
            .layer(policy)
            .unwrap()
            .layer(service_fn(|_| async {
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }));
        let mut request = Request::new(Full::<Bytes>::default());
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert(AUTHORIZATION, value);
        service.oneshot(request).await.unwrap().status()
    }

    /// What the core has allocated.
    fn taken(&self) -> usize {
        HEAP.current_usage().saturating_sub(self.empty)
    }
}

/// Answers without a network: another token each time.
#[derive(Debug, Default)]
struct Canned(AtomicUsize);

impl TokenExchange for Canned {
    fn exchange(&self, _: ExchangeRequest) -> Exchanging {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let token = Secret::from(format!("{number:0DOWNSTREAM_TOKEN$}").as_str());
        Box::pin(async { Ok(TokenResponse::new(token, Duration::from_secs(3600))) })
    }
}

/// Refuses always, each time with an error of its own.
struct Refusing(Box<dyn Fn() -> ExchangeError + Send + Sync>);

impl std::fmt::Debug for Refusing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refusing")
    }
}

impl TokenExchange for Refusing {
    fn exchange(&self, _: ExchangeRequest) -> Exchanging {
        let answer = self.0();
        Box::pin(async { Err(answer) })
    }
}

/// The bound of the caches in these tests, and what a core may take beside: its HTTP client, tables
/// that are made at once, and what tokens share.
const BOUND: usize = 2 * MIB;
const BESIDE: usize = 2 * MIB;

/// Every token is served, and however many there are, the core does not grow.
async fn many_tokens(tokens: usize, make: impl Fn(&Emulator, usize) -> String) {
    let world = World::with(|builder| {
        let builder = builder.cache_max_bytes(BOUND as u64);
        builder.with_exchange(Canned::default())
    })
    .await;
    HEAP.reset_peak_usage();
    for number in 0..tokens {
        let token = make(&world.entra, number);
        assert_eq!(world.get(&token).await, StatusCode::OK, "{number}");
    }
    let (taken, peak) = (world.taken(), HEAP.peak_usage() - world.empty);
    assert!(taken <= BOUND + BESIDE, "{taken} bytes");
    assert!(peak <= BOUND + BESIDE, "{peak} bytes at the worst moment");
    let (kept, counted) = world.core.admissions();
    assert!(
        kept > 20 && counted <= BOUND as u64 / 2,
        "{kept}, {counted}"
    );
    // What is not there any more has been counted.
    let usage = world.core.cache_usage();
    for (name, cache) in [("admissions", usage.admissions), ("tokens", usage.tokens)] {
        assert_eq!(
            cache.entries + cache.evictions,
            tokens as u64,
            "{name}: {cache:?}"
        );
        assert!(
            (1..=BOUND as u64 / 2).contains(&cache.bytes),
            "{name}: {cache:?}"
        );
    }
    assert_eq!(usage.admissions.entries, kept as u64);
}

fn usual(entra: &Emulator, _: usize) -> String {
    entra.token().sign()
}

/// Roles that no other token has, as many as fit.
fn with_roles(entra: &Emulator, number: usize) -> String {
    let roles: Vec<String> = (0..200)
        .map(|role| format!("Role.{number}.{role:030}"))
        .collect();
    entra.token().claim("roles", json!(roles)).sign()
}

#[test]
fn ca_07_many_valid_tokens_stay_within_the_configured_bytes() {
    run(many_tokens(6_000, usual));
}

#[test]
fn ca_07_tokens_that_share_nothing_stay_within_the_configured_bytes() {
    run(many_tokens(1_000, with_roles));
}

#[test]
#[ignore = "an hour: `make soak-cache`"]
fn ca_07_a_million_valid_tokens_stay_within_the_configured_bytes() {
    run(many_tokens(1_000_000, usual));
}

#[test]
fn ca_07_refusals_that_are_remembered_stay_within_a_bound() {
    run(async {
        // As large as a claims request of Entra ID never is.
        let claims = json!({"access_token": {"x": "y".repeat(16 * 1024)}}).to_string();
        let kind = ExchangeErrorKind::InsufficientClaims;
        let answer = move || ExchangeError::new(kind, "").with_claims(claims.clone());
        let world = World::with(|builder| {
            let builder = builder.cache_max_bytes(BOUND as u64);
            builder.with_exchange(Refusing(Box::new(answer)))
        })
        .await;
        for _ in 0..800 {
            let token = world.entra.token().sign();
            assert_eq!(world.get(&token).await, StatusCode::UNAUTHORIZED);
        }
        let taken = world.taken();
        assert!(taken <= BOUND + BESIDE + 4 * MIB, "{taken} bytes");
    });
}

#[test]
fn ks_03_made_up_key_ids_leave_nothing_behind() {
    run(async {
        let world = World::with(|builder| builder.with_exchange(Canned::default())).await;
        let good = world.entra.token().sign();
        assert_eq!(world.get(&good).await, StatusCode::OK);
        let [_, payload, signature] = [0, 1, 2].map(|part| good.split('.').nth(part).unwrap());
        let forged = |number: usize| {
            let kid = format!("{number:0200}");
            let header = json!({"alg": "RS256", "kid": kid}).to_string();
            format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(header))
        };
        // The first of them causes the one fetch.
        for number in 0..100 {
            assert_eq!(world.get(&forged(number)).await, StatusCode::UNAUTHORIZED);
        }
        let fetches = world.entra.count(Endpoint::Keys);
        let before = world.taken();
        for number in 100..10_100 {
            assert_eq!(world.get(&forged(number)).await, StatusCode::UNAUTHORIZED);
        }
        let grown = world.taken().saturating_sub(before);
        assert!(grown < 16 * 1024, "{grown} bytes");
        assert_eq!(world.entra.count(Endpoint::Keys), fetches);
    });
}
