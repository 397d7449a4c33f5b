//! "You are signed out": a note to the next page, in a cookie of its own, as the session has ended and
//! the address that a sign-out comes back to is a registered one.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::config::Settings;
use crate::sessions;

/// Seconds for the way over the identity provider's sign-out page, where the user may be asked.
const LIFETIME: u32 = 300;

/// Leaves the note.
pub(crate) fn leave(settings: &Settings, response: &mut HeaderMap) {
    set(settings, response, LIFETIME);
}

/// Whether there is a note. It is shown once: `response` takes it away.
pub(crate) fn take(settings: &Settings, request: &HeaderMap, response: &mut HeaderMap) -> bool {
    let note = format!("{}=1", name(settings));
    let found = request
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .any(|cookie| cookie.trim() == note);
    if found {
        set(settings, response, 0);
    }
    found
}

fn name(settings: &Settings) -> String {
    format!("{}-signed-out", sessions::cookie_name(settings))
}

fn set(settings: &Settings, response: &mut HeaderMap, max_age: u32) {
    let secure = if settings.https() { " Secure;" } else { "" };
    let cookie = format!(
        "{}=1; Path=/;{secure} HttpOnly; SameSite=Lax; Max-Age={max_age}",
        name(settings)
    );
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.append(header::SET_COOKIE, cookie);
    }
}
