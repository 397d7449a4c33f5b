//! What the test kit sees and does at an endpoint: count, record, hold back, make fail.

mod fault;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;

use self::fault::Kind;
use self::wire::Mishap;
use crate::decision::Checks;
use crate::form::Form;
use crate::state::State;

pub use self::fault::Fault;
pub(crate) use self::wire::{Reset, Wire, Wired};

/// Requests remembered for each endpoint; the oldest go first.
const RECORDED: usize = 2_000;
/// Largest body an endpoint reads.
const BODY_LIMIT: usize = 1024 * 1024;

/// An endpoint of the emulator.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/{tenant}/oauth2/v2.0/authorize`
    Authorize,
    /// `/{tenant}[/v2.0]/.well-known/openid-configuration`
    Discovery,
    /// `/{tenant}/discovery[/v2.0]/keys`
    Keys,
    /// `/{tenant}/oauth2/v2.0/token`
    Token,
    /// `/{tenant}/oauth2/v2.0/logout`
    Logout,
    /// `/common/discovery/instance`
    Instance,
    /// Everything of Azure Resource Manager.
    Arm,
    /// Everything of Microsoft Graph.
    Graph,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Self; 8] = [
        Self::Authorize,
        Self::Discovery,
        Self::Keys,
        Self::Token,
        Self::Logout,
        Self::Instance,
        Self::Arm,
        Self::Graph,
    ];

    /// `token`, `keys`, …: the name in the control API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Discovery => "discovery",
            Self::Keys => "keys",
            Self::Token => "token",
            Self::Logout => "logout",
            Self::Instance => "instance",
            Self::Arm => "arm",
            Self::Graph => "graph",
        }
    }

    /// The endpoint of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.name() == name)
    }

    fn of_path(path: &str) -> Option<Self> {
        let mut parts = path.split('/').skip(2);
        Some(match (parts.next()?, parts.next(), parts.next()) {
            ("oauth2", Some("v2.0"), Some("authorize")) => Self::Authorize,
            ("oauth2", Some("v2.0"), Some("token")) => Self::Token,
            ("oauth2", Some("v2.0"), Some("logout")) => Self::Logout,
            (".well-known", Some("openid-configuration"), None)
            | ("v2.0", Some(".well-known"), Some("openid-configuration")) => Self::Discovery,
            ("discovery", Some("keys"), None) | ("discovery", Some("v2.0"), Some("keys")) => {
                Self::Keys
            }
            ("discovery", Some("instance"), None) => Self::Instance,
            _ => return None,
        })
    }
}

/// A request as it arrived. It may hold secrets and tokens, as test kits need; `Debug` shows none.
#[derive(Clone)]
#[non_exhaustive]
pub struct Recorded {
    /// Method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// Query, without the question mark; empty when there is none.
    pub query: String,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Recorded {
    /// The parameters of a form body.
    #[must_use]
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The first parameter of that name in a form body.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(&self.body)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The first header field of that name, when it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// While this lives, requests to an endpoint wait. Dropping it lets them all go on.
#[derive(Debug)]
#[must_use = "dropping it at once holds nothing"]
pub struct Hold {
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Hold {
    /// Resolves as soon as at least `count` requests wait here.
    pub async fn arrived(&self, count: usize) {
        let mut waiting = self.gate.waiting.subscribe();
        // The sender is in `self.gate`, so this can't end early.
        let _ = waiting.wait_for(|now| *now >= count).await;
    }

    /// How many requests wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        *self.gate.waiting.borrow()
    }

    /// Lets the requests go on.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.open.send_replace(true);
    }
}

impl Gate {
    async fn pass(&self) {
        let mut open = self.open.subscribe();
        let _here = Here::enter(&self.waiting);
        let _ = open.wait_for(|open| *open).await;
    }
}

/// Counts a waiting request, also one whose client gives up.
struct Here<'a>(&'a watch::Sender<usize>);

impl<'a> Here<'a> {
    fn enter(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|now| *now += 1);
        Self(waiting)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|now| *now -= 1);
    }
}

/// The taps of one emulator.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    endpoints: Mutex<HashMap<Endpoint, Tap>>,
    /// Where those wait who get no answer.
    limbo: Gate,
}

#[derive(Debug, Default)]
struct Tap {
    count: u64,
    requests: VecDeque<Recorded>,
    gates: Vec<Arc<Gate>>,
    faults: VecDeque<Fault>,
    streamed: Arc<AtomicU64>,
}

impl Taps {
    pub(crate) fn count(&self, endpoint: Endpoint) -> u64 {
        self.lock().get(&endpoint).map_or(0, |tap| tap.count)
    }

    pub(crate) fn streamed(&self, endpoint: Endpoint) -> u64 {
        let taps = self.lock();
        let streamed = taps.get(&endpoint).map(|tap| &tap.streamed);
        streamed.map_or(0, |streamed| streamed.load(Ordering::Relaxed))
    }

    pub(crate) fn requests(&self, endpoint: Endpoint) -> Vec<Recorded> {
        self.lock()
            .get(&endpoint)
            .map(|tap| tap.requests.iter().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn hold(&self, endpoint: Endpoint) -> Hold {
        let gate = Arc::new(Gate::default());
        self.lock()
            .entry(endpoint)
            .or_default()
            .gates
            .push(gate.clone());
        Hold { gate }
    }

    pub(crate) fn fail(&self, endpoint: Endpoint, fault: &Fault, times: usize) {
        self.lock()
            .entry(endpoint)
            .or_default()
            .faults
            .extend(std::iter::repeat_n(fault, times).cloned());
    }

    /// Endpoints with faults that are still to come, and how many.
    pub(crate) fn pending(&self) -> Vec<(&'static str, usize)> {
        let taps = self.lock();
        let pending = Endpoint::ALL.into_iter().filter_map(|endpoint| {
            let count = taps.get(&endpoint)?.faults.len();
            (count > 0).then_some((endpoint.name(), count))
        });
        pending.collect()
    }

    pub(crate) fn clear_faults(&self) {
        for tap in self.lock().values_mut() {
            tap.faults.clear();
        }
    }

    /// Opens every gate, so that nothing keeps a shutdown waiting.
    pub(crate) fn release_all(&self) {
        self.limbo.open.send_replace(true);
        for tap in self.lock().values() {
            for gate in &tap.gates {
                gate.open.send_replace(true);
            }
        }
    }

    fn arrive(&self, endpoint: Endpoint, request: Recorded) -> Vec<Arc<Gate>> {
        let mut taps = self.lock();
        let tap = taps.entry(endpoint).or_default();
        tap.count += 1;
        if tap.requests.len() >= RECORDED {
            tap.requests.pop_front();
        }
        tap.requests.push_back(request);
        tap.gates.retain(|gate| !*gate.open.borrow());
        tap.gates.clone()
    }

    fn next_fault(&self, endpoint: Endpoint) -> Option<(Fault, Arc<AtomicU64>)> {
        let mut taps = self.lock();
        let tap = taps.get_mut(&endpoint)?;
        let fault = tap.faults.pop_front()?;
        Some((fault, tap.streamed.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Endpoint, Tap>> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Middleware of the Entra half.
pub(crate) async fn entra(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    match Endpoint::of_path(request.uri().path()) {
        Some(endpoint) => tap(&state, endpoint, request, next).await,
        None => next.run(request).await,
    }
}

/// Middleware of the half with the resources.
pub(crate) async fn arm(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let graph = path.starts_with("/v1.0/") || path.starts_with("/oidc/");
    let endpoint = if graph {
        Endpoint::Graph
    } else {
        Endpoint::Arm
    };
    tap(&state, endpoint, request, next).await
}

async fn tap(state: &State, endpoint: Endpoint, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let recorded = Recorded {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.clone(),
        body: body.clone(),
    };
    for gate in state.taps.arrive(endpoint, recorded) {
        gate.pass().await;
    }
    let Some((fault, streamed)) = state.taps.next_fault(endpoint) else {
        return next.run(Request::from_parts(head, Body::from(body))).await;
    };
    if endpoint == Endpoint::Token
        && let Some(what) = fault.kind.in_words()
    {
        // The home page has every token request, also those that come to nothing.
        let tenant = head.uri.path().split('/').nth(1).unwrap_or_default();
        let checks = Checks::new(state.now(), tenant);
        let form = Form::parse(&body);
        let parameter = |name| form.get(name).unwrap_or_default();
        checks.asked(
            parameter("grant_type"),
            parameter("client_id"),
            parameter("scope"),
        );
        checks.fault(&what);
        state.decisions.push(checks.finish());
    }
    if !fault.after.is_zero() {
        tokio::time::sleep(fault.after).await;
    }
    let mishap = match fault.kind {
        Kind::Slow => return next.run(Request::from_parts(head, Body::from(body))).await,
        Kind::Answer(answer) => return answer.response(streamed),
        Kind::Hang => {
            state.taps.limbo.pass().await;
            Mishap::Reset
        }
        Kind::Reset => Mishap::Reset,
        Kind::Garbage(bytes) => Mishap::Say { bytes, said: 0 },
    };
    if let Some(ConnectInfo(wire)) = head.extensions.get::<ConnectInfo<Wire>>() {
        wire.set(mishap);
    }
    // What the server would write; the mishap comes in its place.
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_belong_to_their_endpoints() {
        let cases = [
            ("/t/oauth2/v2.0/token", Some(Endpoint::Token)),
            ("/t/oauth2/v2.0/authorize", Some(Endpoint::Authorize)),
            ("/t/oauth2/v2.0/logout", Some(Endpoint::Logout)),
            ("/t/discovery/v2.0/keys", Some(Endpoint::Keys)),
            ("/t/discovery/keys", Some(Endpoint::Keys)),
            (
                "/t/v2.0/.well-known/openid-configuration",
                Some(Endpoint::Discovery),
            ),
            (
                "/t/.well-known/openid-configuration",
                Some(Endpoint::Discovery),
            ),
            ("/common/discovery/instance", Some(Endpoint::Instance)),
            ("/", None),
            ("/emulator/token", None),
        ];
        for (path, endpoint) in cases {
            assert_eq!(Endpoint::of_path(path), endpoint, "{path}");
        }
    }
}
