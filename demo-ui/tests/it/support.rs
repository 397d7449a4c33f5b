//! The app and what is around it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};
use demo_ui::{Config, Running};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};
use url::Url;

use crate::browser::{Browser, Page};
use crate::entra::{CLIENT, Entra, SCOPE, SECRET, TENANT};

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What the API was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

impl Seen {
    pub(crate) fn token(&self) -> &str {
        let value = self.headers["authorization"].to_str().unwrap();
        value.strip_prefix("Bearer ").unwrap()
    }
}

type Answer = Box<dyn Fn(&Seen) -> Response + Send>;

/// An API that answers as the test says.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Mutex<Answer>>,
}

impl Api {
    /// Answers with one subscription, named after the token.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let api = Self {
            url: url_of(&listener),
            seen: Arc::default(),
            answer: Arc::new(Mutex::new(Box::new(|seen| list(&[seen.token()])))),
        };
        let router = Router::new().fallback(answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        api
    }

    pub(crate) fn answers(&self, answer: impl Fn(&Seen) -> Response + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(State(api): State<Api>, request: Request) -> Response {
    let seen = Seen {
        uri: request.uri().clone(),
        headers: request.headers().clone(),
    };
    api.seen.lock().unwrap().push(seen.clone());
    let answer = api.answer.lock().unwrap();
    answer(&seen)
}

/// A page of the list with subscriptions of these names.
pub(crate) fn list(names: &[&str]) -> Response {
    let value: Vec<_> = names
        .iter()
        .map(|name| {
            json!({
                "displayName": name,
                "subscriptionId": "11111111-2222-4333-8444-555555555555",
                "state": "Enabled",
                "tenantId": TENANT,
            })
        })
        .collect();
    axum::Json(json!({ "value": value })).into_response()
}

/// Where nobody listens, nor anybody else may, for as long as the socket is there.
pub(crate) fn nobody() -> (TcpSocket, Url) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(LOOPBACK).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url.parse().unwrap())
}

pub(crate) fn url_of(listener: &TcpListener) -> Url {
    let address = listener.local_addr().unwrap();
    Url::parse(&format!("http://{address}")).unwrap()
}

/// All of it.
pub(crate) struct World {
    pub(crate) entra: Entra,
    pub(crate) api: Api,
    pub(crate) ui: Running,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (entra, api) = tokio::join!(Entra::start(), Api::start());
        let mut config = config(&entra.url(), &api.url);
        change(&mut config);
        let ui = demo_ui::start(config).await.unwrap();
        Self { entra, api, ui }
    }

    /// A browser that knows nothing yet. It comes by the address that is listened on, as a browser
    /// does that has looked the public name up.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.ui.url())
    }

    /// Begins a sign-in: the address at the identity provider that the browser is sent to.
    pub(crate) async fn begin(&self, browser: &Browser) -> String {
        browser.get("/account/login").await.location().to_owned()
    }

    /// Signs in from the beginning to the page that it ends on.
    pub(crate) async fn sign_in(&self, browser: &Browser, user: &str) -> Page {
        let authorize = self.begin(browser).await;
        self.finish(browser, &authorize, user).await
    }

    /// The same from where the browser has been sent to the identity provider.
    pub(crate) async fn finish(&self, browser: &Browser, authorize: &str, user: &str) -> Page {
        let back = self.entra.approve(authorize, user);
        let callback = browser.get(&back).await;
        browser.get(callback.goes_on_to()).await
    }
}

pub(crate) fn config(entra: &Url, api: &Url) -> Config {
    let secret = SECRET.to_owned().into();
    let mut config = Config::new(TENANT, CLIENT, secret, api.clone(), SCOPE);
    config.listen = LOOPBACK;
    config.authority = Some(entra.clone());
    config
}
