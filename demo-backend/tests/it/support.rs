//! A backend and the Resource Manager it asks.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use demo_backend::{Config, Running};
use tokio::net::TcpListener;
use url::Url;

pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

type Answer = Arc<dyn Fn() -> Response + Send + Sync>;
type Seen = Arc<Mutex<Vec<(Uri, HeaderMap)>>>;

/// Answers every request alike and keeps what it was asked.
pub(crate) struct Arm {
    pub(crate) url: Url,
    seen: Seen,
}

impl Arm {
    pub(crate) async fn answering(answer: impl Fn() -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let url = url_of(&listener);
        let seen = Seen::default();
        let answer: Answer = Arc::new(answer);
        let router = Router::new()
            .fallback(record)
            .with_state((Arc::clone(&seen), answer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen }
    }

    /// What it was asked, in order.
    pub(crate) fn seen(&self) -> Vec<(Uri, HeaderMap)> {
        self.seen.lock().unwrap().clone()
    }
}

async fn record(State((seen, answer)): State<(Seen, Answer)>, request: Request) -> Response {
    seen.lock()
        .unwrap()
        .push((request.uri().clone(), request.headers().clone()));
    answer()
}

pub(crate) fn url_of(listener: &TcpListener) -> Url {
    let address = listener.local_addr().unwrap();
    Url::parse(&format!("http://{address}")).unwrap()
}

/// The settings for a test: a free port in front of this Resource Manager.
pub(crate) fn config(arm: &Url) -> Config {
    let mut config = Config::new(arm.clone());
    config.listen = LOOPBACK;
    config
}

pub(crate) async fn start(arm: &Url) -> Running {
    demo_backend::start(config(arm)).await.unwrap()
}

/// A client that follows nothing.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

pub(crate) async fn get(url: &str) -> reqwest::Response {
    client().get(url).bearer_auth("t0ken").send().await.unwrap()
}
