//! "You are signed out": a note to the next page, in a cookie of its own, as the session has ended and
//! the address that a sign-out comes back to is a registered one.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::config::Settings;
use crate::sessions;

/// Seconds for the way over the identity provider's sign-out page, where the user may be asked.
const LIFETIME: u32 = 300;

/// What it says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Note {
    SignedOut,
    /// Entra ID may not know yet.
    HereOnly,
}

impl Note {
    const fn word(self) -> &'static str {
        match self {
            Self::SignedOut => "1",
            Self::HereOnly => "here",
        }
    }

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::SignedOut => "You are signed out.",
            Self::HereOnly => "You are signed out of this app.",
        }
    }
}

/// Leaves the note.
pub(crate) fn leave(settings: &Settings, note: Note, response: &mut HeaderMap) {
    set(settings, note.word(), response, LIFETIME);
}

/// The note, if there is one. It is shown once: `response` takes it away.
pub(crate) fn take(
    settings: &Settings,
    request: &HeaderMap,
    response: &mut HeaderMap,
) -> Option<Note> {
    let name = name(settings);
    let cookies = request.get_all(header::COOKIE).iter();
    let mut cookies = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'));
    let note = cookies.find_map(|cookie| {
        let (key, word) = cookie.trim().split_once('=')?;
        let notes = [Note::SignedOut, Note::HereOnly].into_iter();
        notes
            .filter(|_| key == name)
            .find(|note| note.word() == word)
    })?;
    set(settings, note.word(), response, 0);
    Some(note)
}

fn name(settings: &Settings) -> String {
    format!("{}-signed-out", sessions::cookie_name(settings))
}

fn set(settings: &Settings, word: &str, response: &mut HeaderMap, max_age: u32) {
    let secure = if settings.https() { " Secure;" } else { "" };
    let cookie = format!(
        "{}={word}; Path=/;{secure} HttpOnly; SameSite=Lax; Max-Age={max_age}",
        name(settings)
    );
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.append(header::SET_COOKIE, cookie);
    }
}
