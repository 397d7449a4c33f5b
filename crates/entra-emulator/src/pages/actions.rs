//! The buttons of the home page: what goes wrong, and what users may.
//!
//! A web page that the developer happens to visit must not be able to press them: each form carries a
//! token that only a page of the emulator has, and the `Host` has to be ours.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::error_page;
use crate::control::host_is_ours;
use crate::directory::{Mfa, User};
use crate::encoding::secrets_match;
use crate::form::Form;
use crate::state::State;
use crate::taps::{Endpoint, Fault};

/// Seconds in the `Retry-After` of the faults here.
const RETRY_AFTER: &str = "5";

/// A fault that has a button.
pub(super) struct Button {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    endpoint: Endpoint,
    fault: fn() -> Fault,
}

/// In the order in which they stand on the page.
pub(super) const BUTTONS: [Button; 6] = [
    Button {
        name: "token-429",
        label: "Throttle the next token request",
        endpoint: Endpoint::Token,
        fault: || Fault::status(429).header("retry-after", RETRY_AFTER),
    },
    Button {
        name: "token-503",
        label: "Next token request: 503",
        endpoint: Endpoint::Token,
        fault: || Fault::status(503),
    },
    Button {
        name: "token-reset",
        label: "Break off the next token request",
        endpoint: Endpoint::Token,
        fault: Fault::reset,
    },
    Button {
        name: "keys-503",
        label: "Next request for keys: 503",
        endpoint: Endpoint::Keys,
        fault: || Fault::status(503),
    },
    Button {
        name: "arm-429",
        label: "Throttle the next call of Resource Manager",
        endpoint: Endpoint::Arm,
        fault: || Fault::status(429).header("retry-after", RETRY_AFTER),
    },
    Button {
        name: "arm-503",
        label: "Next call of Resource Manager: 503",
        endpoint: Endpoint::Arm,
        fault: || Fault::status(503).header("retry-after", RETRY_AFTER),
    },
];

/// `POST /control`
pub(crate) async fn press(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::parse(&body);
    let ours = host_is_ours(&headers, &state.url)
        && form
            .get("token")
            .is_some_and(|token| secrets_match(&state.page_token, token));
    if !ours {
        return error_page::plain(
            StatusCode::FORBIDDEN,
            "This did not come from the emulator's home page, or the emulator was started anew. Go back there and try again.",
        );
    }
    let done = match form.get("action").unwrap_or_default() {
        "rotate-keys" => {
            let (rotating, now) = (Arc::clone(&state), state.now());
            let rotated = tokio::task::spawn_blocking(move || rotating.rotate_keys(now)).await;
            rotated.is_ok_and(|rotated| rotated.is_ok())
        }
        "clear-faults" => {
            state.taps.clear_faults();
            true
        }
        "fail" => fail(&state, form.get("fault").unwrap_or_default()),
        action => change(&state, form.get("user").unwrap_or_default(), action),
    };
    if !done {
        return error_page::plain(StatusCode::BAD_REQUEST, "There is no such button.");
    }
    let home = [(header::LOCATION, HeaderValue::from_static("/"))];
    (StatusCode::SEE_OTHER, home).into_response()
}

fn fail(state: &State, name: &str) -> bool {
    let button = BUTTONS.iter().find(|button| button.name == name);
    if let Some(button) = button {
        state.taps.fail(button.endpoint, &(button.fault)(), 1);
    }
    button.is_some()
}

fn change(state: &State, name: &str, action: &str) -> bool {
    let change: fn(&mut User) = match action {
        "revoke" => User::revoke_sessions,
        "disable" => |user| user.disabled = true,
        "enable" => |user| user.disabled = false,
        "mfa" => |user| user.mfa = Mfa::Required,
        "no-mfa" => |user| user.mfa = Mfa::NotRequired,
        "withdraw" => {
            return state.update(|directory| {
                directory.revoke_consents(name);
                directory.user(name).is_some()
            });
        }
        _ => return false,
    };
    state.update(|directory| directory.user_mut(name).map(change).is_some())
}
