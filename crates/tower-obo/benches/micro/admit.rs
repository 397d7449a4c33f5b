//! Requests that are admitted: a token seen for the first time, and one that is known.

use std::{
    convert::Infallible,
    future::{Future as _, Ready, ready},
    hint::black_box,
    pin::pin,
    sync::{Arc, Barrier},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tokio::{runtime, time::Instant};
use tower::{Layer as _, Service, service_fn};
use tower_obo::{BoundPolicy, Core, Decision};

use crate::rig::{self, Rig};

/// A million takes minutes to sign and some 8 GB: set it to try.
const MILLION: &str = "BENCH_MILLION";

/// From one caller to the next: a prime, so that all have their turn, and far enough that no entry lies
/// where the processor expects the next one.
const STRIDE: usize = 7_919;

pub(crate) fn bench(criterion: &mut Criterion) {
    first_sight(criterion);
    // `cargo test` only sees whether everything runs.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let many = if is_measured { 10_000 } else { 10 };
    cached(criterion, 1);
    cached(criterion, many);
    if std::env::var_os(MILLION).is_some() {
        cached(criterion, 1_000_000);
    }
    layer(criterion);
}

fn first_sight(criterion: &mut Criterion) {
    let rig = Rig::new(64 << 20);
    let (validator, token) = (rig.validator(), rig.token(1));
    criterion.bench_function("validate", |bencher| {
        bencher.iter(|| {
            validator
                .validate(black_box(&token), &rig.keys, rig.now)
                .unwrap()
        });
    });
}

/// Tokens that are known, each asked for in turn: with many, the caches of the processor miss.
fn cached(criterion: &mut Criterion, entries: usize) {
    let rig = Rig::new(32 << 30);
    let policy = rig.core.bind(rig.policy()).unwrap();
    let requests = known(&rig, &policy, entries);
    let mut group = criterion.benchmark_group("cached");
    for (threads, name) in [(1, "one thread"), (2, "two threads")] {
        group.bench_function(format!("{name}, {entries} known"), |bencher| {
            bencher
                .iter_custom(|rounds| on_threads(threads, rounds, &rig.core, &policy, &requests));
        });
    }
    group.finish();
}

/// The heads of requests with tokens that the core knows, and has downstream tokens for.
fn known(rig: &Rig, policy: &Arc<BoundPolicy>, entries: usize) -> Vec<HeaderMap> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let sign = |user| rig::headers(&rig.token(user));
    let half = entries / 2;
    let requests: Vec<HeaderMap> = thread::scope(|scope| {
        let first = scope.spawn(|| (0..half).map(sign).collect::<Vec<_>>());
        let second: Vec<_> = (half..entries).map(sign).collect();
        first.join().unwrap().into_iter().chain(second).collect()
    });
    runtime.block_on(async {
        for headers in &requests {
            let Decision::Wait(pending) = rig::decide(&rig.core, policy, headers) else {
                unreachable!("nobody has seen this token");
            };
            pending.await.unwrap();
        }
    });
    assert_eq!(rig.core.admissions().0, entries, "the cache is too small");
    requests
}

/// How long `rounds` decisions take on each of the threads: as long as on one, if none of them is
/// in another's way.
fn on_threads(
    threads: usize,
    rounds: u64,
    core: &Core,
    policy: &Arc<BoundPolicy>,
    requests: &[HeaderMap],
) -> Duration {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let start = &start;
                scope.spawn(move || {
                    // Begun at different places, so that not all ask for one entry at one time.
                    let mut next = requests.len() / threads * thread;
                    start.wait();
                    let begun = Instant::now();
                    for _ in 0..rounds {
                        let decision = rig::decide(core, policy, black_box(&requests[next]));
                        assert!(matches!(decision, Decision::Admit(_)));
                        next = (next + STRIDE) % requests.len();
                    }
                    begun.elapsed()
                })
            })
            .collect();
        let took = workers.into_iter().map(|worker| worker.join().unwrap());
        took.max().unwrap_or_default()
    })
}

/// What the layer adds to a service that does nothing, for a token that is known.
fn layer(criterion: &mut Criterion) {
    let rig = Rig::new(64 << 20);
    let policy = rig.policy();
    let requests = known(&rig, &rig.core.bind(rig.policy()).unwrap(), 1);
    let service = service_fn(answer);
    let mut group = criterion.benchmark_group("layer");
    group.throughput(Throughput::Elements(1));
    let request = || {
        let mut request = Request::new(());
        *request.headers_mut() = requests[0].clone();
        request
    };
    group.bench_function("a service that does nothing", |bencher| {
        let mut service = service;
        bencher.iter_batched(
            request,
            |request| call(&mut service, request),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("the same behind the layer", |bencher| {
        let mut service = rig.core.layer(policy.clone()).unwrap().layer(service);
        bencher.iter_batched(
            request,
            |request| call(&mut service, request),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

type Answer = Response<Full<Bytes>>;

fn answer(_: Request<()>) -> Ready<Result<Answer, Infallible>> {
    ready(Ok(Answer::default()))
}

fn call(
    service: &mut impl Service<Request<()>, Response = Answer, Error = Infallible>,
    request: Request<()>,
) -> Answer {
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    match pin!(service.call(request)).poll(&mut context) {
        Poll::Ready(Ok(answer)) => {
            assert_eq!(answer.status(), 200);
            answer
        }
        Poll::Pending => unreachable!("the token is known"),
    }
}
