//! Sign-in and sign-out.

use std::fmt;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use oauth2::CsrfToken;
use tower_sessions::Session;
use url::Url;

use crate::account::Account;
use crate::clock;
use crate::config::Settings;
use crate::entra::{EntraError, Proofs, may_be_issuer};
use crate::failure::{
    Action, BACK_TO_SIGN_OUT, Failure, HOME, OTHER_ACCOUNT, STEP_UP, retry_login, sign_in,
};
use crate::notice::{self, Note};
use crate::problem::shorten;
use crate::return_path::return_path;
use crate::security::is_same_origin;
use crate::sessions;
use crate::ui::Ui;
use crate::views::{self, Visitor, see_other};

/// A sign-in that was begun.
#[derive(Debug)]
pub(crate) struct Login {
    /// The session it was begun in; no other can finish it.
    pub(crate) session: String,
    pub(crate) proofs: Proofs,
    pub(crate) intent: Intent,
}

/// What a sign-in is for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intent {
    /// Page to go to afterwards; empty: `/`.
    pub(crate) return_to: &'static str,
    /// What the API asks the user to bring, as JSON.
    pub(crate) claims: Option<String>,
    /// Which sign-in in a row this is that the API asked for.
    pub(crate) step_ups: u32,
    /// User name to fill in.
    pub(crate) login_hint: Option<String>,
    /// What the user is asked first, as OpenID Connect's `prompt`.
    pub(crate) prompt: Option<&'static str>,
}

/// The value of `prompt` that lets the user choose another account.
pub(crate) const SELECT_ACCOUNT: &str = "select_account";

/// `GET /account/login?return=/raw`, with `prompt=select_account` for another account, or `step-up` for
/// what was turned down before.
pub(crate) async fn login(
    State(ui): State<Arc<Ui>>,
    session: Session,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let query = query.as_deref();
    let turned_down = match has(query, "step-up") {
        true => ui.account(&session, "/").await?,
        false => None,
    }
    .and_then(|account| account.turned_down());
    let prompt = single(query, "prompt").filter(|prompt| prompt == SELECT_ACCOUNT);
    let intent = turned_down.unwrap_or_else(|| Intent {
        return_to: return_path(single(query, "return").as_deref()),
        prompt: prompt.map(|_| SELECT_ACCOUNT),
        ..Intent::default()
    });
    Ok(begin(&ui, &session, intent).await)
}

/// Sends the browser to Entra ID.
pub(crate) async fn begin(ui: &Ui, session: &Session, intent: Intent) -> Response {
    let back = return_path(Some(intent.return_to));
    let authorize = ui.entra.authorize(
        intent.claims.as_deref(),
        intent.login_hint.as_deref(),
        intent.prompt,
    );
    let (url, proofs) = match authorize.await {
        Ok(begun) => begun,
        Err(error) => return failed(ui, session, &error, back).await,
    };
    let name = match sessions::logins(session).await {
        Err(error) => return session_failed(&error, back),
        Ok(Some(name)) => name,
        Ok(None) => {
            let name = CsrfToken::new_random().into_secret();
            if let Err(error) = sessions::set_logins(session, &name).await {
                return session_failed(&error, back);
            }
            name
        }
    };
    let login = Login {
        session: name,
        proofs,
        intent,
    };
    let expires = clock::now() + ui.settings.login_lifetime;
    if let Err(error) = ui.people.begin(login, expires).await {
        return session_failed(&error, back);
    }
    see_other(url.as_str())
}

/// `GET /account/callback`: the answer to a sign-in (RFC 6749 §4.1.2, RFC 9207).
pub(crate) async fn callback(
    State(ui): State<Arc<Ui>>,
    session: Session,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.as_deref();
    let login = match take(&ui, &session, query).await {
        Ok(login) => login,
        Err(error) => return session_failed(&error, "/"),
    };
    let Some(login) = login else {
        return Failure::new(
            StatusCode::BAD_REQUEST,
            "This sign-in can't be finished",
            "It was begun in another browser, has been used already, or has taken too long.",
        )
        .action(sign_in("/"))
        .action(HOME)
        .respond(ui.visitor(&session).await);
    };
    let Login { proofs, intent, .. } = login;
    let back = return_path(Some(intent.return_to));
    if has(query, "iss") {
        let provider = match ui.entra.provider().await {
            Ok(provider) => provider,
            Err(error) => return failed(&ui, &session, &error, back).await,
        };
        // Twice is as bad as wrong.
        let issuer = single(query, "iss");
        if !issuer.is_some_and(|issuer| may_be_issuer(&provider.issuer, &issuer)) {
            return Failure::new(
                StatusCode::BAD_REQUEST,
                "This sign-in comes from somewhere else",
                "The answer names another identity provider than the one that was asked.",
            )
            .action(sign_in(back))
            .respond(ui.visitor(&session).await);
        }
    }
    let Some(code) = single(query, "code") else {
        let account = match ui.account(&session, back).await {
            Ok(account) => account,
            Err(page) => return page,
        };
        let asked = account.filter(|account| {
            intent.claims.is_some() && intent.login_hint == account.user.username
        });
        if let Some(account) = &asked {
            account.set_turned_down(Some(intent));
            ui.keep(&session, account).await;
        }
        return refused(ui.entra.name(), query, asked.is_some(), back)
            .respond(ui.visitor(&session).await);
    };

    let redeemed = ui
        .entra
        .redeem(code, proofs, intent.claims.as_deref())
        .await;
    match redeemed {
        Ok((user, tokens)) => {
            tracing::info!(tid = %user.tid, oid = %user.id, "signed in");
            let signed_in = ui.sign_in(&session, user, tokens, intent.step_ups);
            match signed_in.await {
                Ok(()) => views::signed_in(back),
                Err(error) => session_failed(&error, back),
            }
        }
        Err(EntraError::Refused(error)) if error.needs_user() => Failure::new(
            StatusCode::BAD_REQUEST,
            "The sign-in was not accepted",
            format!(
                "{} did not accept the end of this sign-in.",
                ui.entra.name()
            ),
        )
        .fact("Error", error.to_string())
        .action(sign_in(back))
        .respond(ui.visitor(&session).await),
        Err(error) => failed(&ui, &session, &error, back).await,
    }
}

/// The page for a user who turned away from the stronger sign-in that the API asks for.
pub(crate) fn stronger_sign_in_needed() -> Failure {
    Failure::new(
        StatusCode::FORBIDDEN,
        "This account needs the second factor for Azure",
        "You are signed in, but Azure shows nothing of this account before a stronger sign-in, \
         and that one was cancelled.",
    )
    .action(STEP_UP)
    .action(OTHER_ACCOUNT)
}

/// `POST /account/logout`: ends the session here, then at Entra ID (OpenID Connect RP-Initiated
/// Logout §2).
pub(crate) async fn logout(
    State(ui): State<Arc<Ui>>,
    session: Session,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let account = match ui.who(&session).await {
        Ok(account) => account,
        Err(error) => return still_signed_in(&error, None),
    };
    let token = body.ok().and_then(|body| {
        form_urlencoded::parse(&body)
            .find(|(name, _)| name == "csrf_token")
            .map(|(_, value)| value.into_owned())
    });
    let ours = is_same_origin(&headers, &ui.settings)
        && account
            .as_ref()
            .is_none_or(|account| token.as_ref() == Some(account.csrf.secret()));
    if !ours {
        return Failure::new(
            StatusCode::FORBIDDEN,
            "You were not signed out",
            "The request did not come from a page of this app, or the page was an old one.",
        )
        .action(HOME)
        .respond(ui.visitor(&session).await);
    }
    let Some(account) = account else {
        let mut response = see_other("/");
        notice::leave(&ui.settings, Note::SignedOut, response.headers_mut());
        return response;
    };
    if let Err(error) = ui.sign_out(&session).await {
        return still_signed_in(&error, Some(Visitor::new(&account)));
    }
    tracing::info!(tid = %account.user.tid, oid = %account.user.id, "signed out");

    let there = |url: Url| end_session(url, &ui.settings, &account);
    let (mut response, note) = match ui.entra.provider().await {
        Ok(provider) => {
            let url = provider.end_session_endpoint.clone().map(there);
            let url = url.as_ref().map_or("/", Url::as_str);
            (see_other(url), Note::SignedOut)
        }
        Err(error) => {
            let url = there(ui.settings.end_session.clone());
            (signed_out_here_only(&ui, &error, url), Note::HereOnly)
        }
    };
    remove_cookie(&ui, &mut response);
    notice::leave(&ui.settings, note, response.headers_mut());
    response
}

/// Where a sign-out goes on to, and comes back from.
fn end_session(mut url: Url, settings: &Settings, account: &Account) -> Url {
    let back = settings.post_logout_redirect.as_str();
    let mut query = url.query_pairs_mut();
    query.append_pair("post_logout_redirect_uri", back);
    if let Some(hint) = &account.user.logout_hint {
        query.append_pair("logout_hint", hint);
    }
    drop(query);
    url
}

/// The page for a sign-out that Entra ID was not told of: on a machine that others use, that is what matters.
/// Its way on is where Entra ID has its sign-outs, wherever that may be reached from again.
fn signed_out_here_only(ui: &Ui, error: &EntraError, url: Url) -> Response {
    tracing::warn!(reason = error.reason(), "a sign-out ended here alone");
    let who = ui.entra.name();
    let there = Action {
        label: "Sign out there too",
        href: String::from(url).into(),
    };
    let whose = if ui.settings.is_emulated() {
        "the emulated Entra ID"
    } else {
        "Microsoft"
    };
    Failure::entra(&ui.entra, error, there)
        .but_first(
            format!("You are signed out here, but not at {whose}"),
            format!(
                "This app has forgotten you. {who}, which has a sign-in of its own in this browser, does not know \
                 yet: until it does, whoever uses this browser next may come in as you without a password."
            ),
        )
        .action(HOME)
        .respond(None)
}

/// The sign-in that an answer belongs to: begun in this very session, not too long ago, not answered
/// before.
async fn take(ui: &Ui, session: &Session, query: Option<&str>) -> anyhow::Result<Option<Login>> {
    let Some(state) = single(query, "state") else {
        return Ok(None);
    };
    match sessions::logins(session).await? {
        Some(name) => Ok(ui.people.finish(&state, &name).await?),
        None => Ok(None),
    }
}

/// The page for an answer without a code; `step_up` if it was a stronger sign-in that the API asked
/// for, of a user who is signed in still.
fn refused(who: &str, query: Option<&str>, step_up: bool, back: &str) -> Failure {
    let error = single(query, "error").unwrap_or_default();
    let description = single(query, "error_description").unwrap_or_default();
    let failure = match error.as_str() {
        "access_denied" if says_declined(&description) => Failure::new(
            StatusCode::FORBIDDEN,
            "You did not agree",
            "Without your consent this app can't ask for your subscriptions. \
             Nothing was read and nothing was kept.",
        )
        .action(sign_in(back))
        .action(OTHER_ACCOUNT)
        .action(HOME),
        "access_denied" if step_up => stronger_sign_in_needed(),
        "access_denied" => Failure::new(
            StatusCode::FORBIDDEN,
            "The sign-in was cancelled",
            "Nothing was read and nothing was kept.",
        )
        .action(sign_in(back))
        .action(OTHER_ACCOUNT)
        .action(HOME),
        "consent_required" => Failure::new(
            StatusCode::FORBIDDEN,
            "A consent is missing",
            "You or an administrator have to agree before this app can ask for your subscriptions.",
        )
        .action(sign_in(back))
        .action(OTHER_ACCOUNT)
        .action(HOME),
        "server_error" | "temporarily_unavailable" => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{who} can't sign you in right now"),
            "Wait a little and try again.",
        )
        .action(sign_in(back))
        .action(HOME),
        _ => Failure::new(
            StatusCode::BAD_REQUEST,
            "The sign-in was not finished",
            format!("{who} sent you back without signing you in."),
        )
        .action(sign_in(back))
        .action(HOME),
    };
    // The first line says it; those after it are ids.
    let description = description.lines().next().unwrap_or_default();
    [("Error", error.as_str()), ("Description", description)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .fold(failure, |failure, (name, text)| {
            failure.fact(name, shorten(text))
        })
}

/// Whether it is the consent that was declined: `access_denied` is also what Cancel gives on any
/// page of the sign-in.
fn says_declined(description: &str) -> bool {
    description
        .strip_prefix("AADSTS65004")
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

async fn failed(ui: &Ui, session: &Session, error: &EntraError, back: &str) -> Response {
    tracing::warn!(reason = error.reason(), "Entra ID failed us");
    Failure::entra(&ui.entra, error, retry_login(back)).respond(ui.visitor(session).await)
}

fn session_failed(error: &dyn fmt::Display, back: &'static str) -> Response {
    tracing::error!(%error, "the session could not be read or written");
    Failure::session_not_kept(back).respond(None)
}

/// The page for a sign-out that could not be written down: to say nothing would be worse than to fail. Where
/// it is known whose, their button is on it.
fn still_signed_in(error: &dyn fmt::Display, visitor: Option<Visitor>) -> Response {
    tracing::error!(%error, "a session could not be ended");
    Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "You are still signed in here",
        "The store that this app keeps sessions in did not take your sign-out. Sign out once more; until that \
         works, leave this browser to nobody else.",
    )
    .retry_after(Some(HeaderValue::from_static("5")))
    .action(BACK_TO_SIGN_OUT)
    .respond(visitor)
}

/// A parameter that is there exactly once; RFC 6749 §3.1 has no other.
fn single(query: Option<&str>, name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query?.as_bytes())
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned());
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

fn has(query: Option<&str>, name: &str) -> bool {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(key, _)| key == name)
}

/// Removes a `__Host-` cookie, which browsers only let go of by the attributes it was set with.
fn remove_cookie(ui: &Ui, response: &mut Response) {
    if ui.settings.https() {
        let cookie = format!(
            "{}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
            sessions::cookie_name(&ui.settings)
        );
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_code_is_a_declined_consent() {
        assert!(says_declined("AADSTS65004: User declined to consent."));
        for other in [
            "",
            "AADSTS650041: x",
            "AADSTS50126: cancelled, no AADSTS65004",
        ] {
            assert!(!says_declined(other), "{other}");
        }
    }

    #[test]
    fn a_parameter_given_twice_is_none() {
        assert_eq!(single(Some("a=1&b=%3C&c"), "b").as_deref(), Some("<"));
        assert_eq!(single(Some("a=1&a=1"), "a"), None);
        assert_eq!(single(None, "a"), None);
    }
}
