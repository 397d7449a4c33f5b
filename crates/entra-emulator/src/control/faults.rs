//! What is to go wrong.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{no_such_endpoint, problem};
use crate::state::State;
use crate::taps::{Endpoint, Fault};

/// Enough for any test, and not enough to fill the memory.
const TIMES: usize = 10_000;
/// What isn't HTTP, when the order doesn't say.
const NO_HTTP: &str = "SSH-2.0-OpenSSH_9.2\r\n";

pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/emulator/endpoints/{endpoint}/faults", post(add))
        .route("/emulator/faults", delete(clear))
}

/// What `POST /emulator/endpoints/{endpoint}/faults` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    kind: Kind,
    status: Option<u16>,
    headers: Option<Map<String, Value>>,
    body: Option<String>,
    /// So many spaces after the body.
    streamed: Option<u64>,
    /// Seconds.
    after: Option<f64>,
    #[serde(default = "once")]
    times: usize,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Answer,
    Slow,
    Hang,
    Reset,
    Garbage,
}

fn once() -> usize {
    1
}

impl Order {
    fn fault(self) -> Result<Fault, &'static str> {
        let after = match self.after.map(Duration::try_from_secs_f64) {
            Some(Ok(after)) => after,
            None => Duration::ZERO,
            Some(Err(_)) => return Err("after is a number of seconds"),
        };
        if self.kind != Kind::Answer
            && (self.status.is_some() || self.headers.is_some() || self.streamed.is_some())
        {
            return Err("status, headers and streamed go with an answer only");
        }
        if self.body.is_some() && !matches!(self.kind, Kind::Answer | Kind::Garbage) {
            return Err("a body goes with an answer or with garbage only");
        }
        let fault = match self.kind {
            Kind::Answer => {
                let Some(status @ 200..=599) = self.status else {
                    return Err("an answer needs a status from 200 to 599");
                };
                let headers = self.headers.unwrap_or_default().into_iter();
                headers
                    .map(|(name, value)| match value {
                        Value::String(value) => (name, value),
                        other => (name, other.to_string()),
                    })
                    .fold(Fault::status(status), |fault, (name, value)| {
                        fault.header(name, value)
                    })
                    .body(self.body.unwrap_or_default())
                    .streamed(self.streamed.unwrap_or_default())
            }
            Kind::Slow if after.is_zero() => return Err("slow needs after, in seconds"),
            Kind::Slow => Fault::slow(after),
            Kind::Hang => Fault::hang(),
            Kind::Reset => Fault::reset(),
            Kind::Garbage => Fault::garbage(self.body.unwrap_or_else(|| NO_HTTP.to_owned())),
        };
        Ok(fault.after(after))
    }
}

async fn add(
    Shared(state): Shared<Arc<State>>,
    Path(name): Path<String>,
    Json(order): Json<Order>,
) -> Response {
    let Some(endpoint) = Endpoint::from_name(&name) else {
        return no_such_endpoint(&name);
    };
    let times = order.times.min(TIMES);
    match order.fault() {
        Ok(fault) => {
            state.taps.fail(endpoint, &fault, times);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(message) => problem(StatusCode::UNPROCESSABLE_ENTITY, message),
    }
}

async fn clear(Shared(state): Shared<Arc<State>>) -> StatusCode {
    state.taps.clear_faults();
    StatusCode::NO_CONTENT
}
