//! A store, and an exchange that the test holds in its hand.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::{Notify, Semaphore as Gate};

use super::*;
use crate::{
    Exchanging, Secret, TestClock, TokenResponse, TokioSpawner, observer::Silent, policy::Target,
};

/// An exchange that ends when the test opens its gate, as the test says.
#[derive(Clone, Debug)]
pub(super) struct Held(pub(super) Arc<HeldInner>);

#[derive(Debug)]
pub(super) struct HeldInner {
    pub(super) begun: AtomicUsize,
    pub(super) begins: Notify,
    pub(super) gate: Gate,
    pub(super) answer: std::sync::Mutex<Answer>,
    /// The claims that each exchange asked for.
    pub(super) claims: std::sync::Mutex<Vec<Option<Arc<str>>>>,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Another token each time.
    New,
    Token(&'static str),
    Error(ExchangeErrorKind),
    /// This AADSTS code, of an assertion that is refused.
    Code(u32),
    Challenge(&'static str),
    Panic,
}

impl Held {
    pub(super) fn new(open: usize) -> Self {
        Self(Arc::new(HeldInner {
            begun: AtomicUsize::new(0),
            begins: Notify::new(),
            gate: Gate::new(open),
            answer: std::sync::Mutex::new(Answer::New),
            claims: std::sync::Mutex::default(),
        }))
    }

    pub(super) fn answers(&self, answer: Answer) {
        *self.0.answer.lock().unwrap() = answer;
    }

    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    pub(super) async fn until_begun(&self, count: usize) {
        while self.begun() < count {
            self.0.begins.notified().await;
        }
    }

    pub(super) fn open(&self) {
        self.0.gate.add_permits(1);
    }
}

impl TokenExchange for Held {
    fn exchange(&self, request: ExchangeRequest) -> Exchanging {
        let held = Arc::clone(&self.0);
        held.claims.lock().unwrap().push(request.claims);
        Box::pin(async move {
            let number = held.begun.fetch_add(1, Ordering::SeqCst);
            held.begins.notify_one();
            held.gate.acquire().await.unwrap().forget();
            let answer = held.answer.lock().unwrap().clone();
            let token = |text: String| {
                let token = Secret::from(text.as_str());
                Ok(TokenResponse::new(token, Duration::from_secs(1_000)))
            };
            match answer {
                Answer::New => token(format!("downstream-{number}")),
                Answer::Token(text) => token(text.to_owned()),
                Answer::Error(kind) => Err(ExchangeError::new(kind, "as the test says")),
                Answer::Code(code) => {
                    let kind = ExchangeErrorKind::AssertionRefused;
                    Err(ExchangeError::new(kind, "as the test says").with_aadsts(code))
                }
                Answer::Challenge(claims) => Err(ExchangeError::challenge(claims.to_owned())),
                Answer::Panic => panic!("as the test says"),
            }
        })
    }
}

pub(super) struct Fixture {
    pub(super) exchange: Held,
    pub(super) clock: TestClock,
    pub(super) store: Arc<DownstreamTokens>,
}

pub(super) fn fixture(open: usize, max_exchanges: usize) -> Fixture {
    let exchange = Held::new(open);
    let clock = TestClock::at(Timestamp::from_unix(10_000));
    let store = DownstreamTokens::new(
        Arc::new(exchange.clone()),
        Arc::new(clock.clone()),
        Arc::new(TokioSpawner::current()),
        Arc::new(Silent),
        1024 * 1024,
        max_exchanges,
    );
    Fixture {
        exchange,
        clock,
        store: Arc::new(store),
    }
}

pub(super) fn target() -> Arc<Target> {
    let graph = crate::Downstream::new("graph", ["User.Read"]);
    Arc::clone(graph.target())
}

pub(super) fn want(user: &str) -> Want {
    Want {
        key: Digest::of(&[user.as_bytes()]),
        group: [0; 32],
        assertion: Some(Secret::from(user)),
        tenant: "tenant".into(),
        target: target(),
        claims: None,
        object_id: Some(format!("oid of {user}").into()),
        subject: None,
        caller_valid_until: Timestamp::from_unix(20_000),
        from_store: FromStore::Fresh,
        follows: None,
    }
}

pub(super) fn error_kind(
    result: Result<Arc<CachedToken>, Unavailable>,
) -> Option<ExchangeErrorKind> {
    match result {
        Err(Unavailable::Exchange(error)) => Some(error.kind()),
        _ => None,
    }
}
