//! `POST /purge`: what is kept of a user is dropped.

use std::fmt;

use http::{Request, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use super::{Page, Pages};
use crate::config::is_guid;

/// Whose tokens to drop.
#[derive(Debug, PartialEq, Eq)]
enum User {
    Entra { tid: String, oid: String },
    Other { sub: String },
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entra { tid, oid } => write!(f, "tid={tid} oid={oid}"),
            Self::Other { sub } => write!(f, "sub={}", sub.escape_debug()),
        }
    }
}

pub(super) async fn purge<B>(request: &Request<B>, pages: &Pages) -> Page {
    let query = request.uri().query().unwrap_or_default();
    let now = pages.readiness.live.now();
    let other = now.config.entra.other.as_ref();
    let user = match parse(query, other.is_none()) {
        Ok(user) => user,
        Err(text) => return Page::text(StatusCode::BAD_REQUEST, text),
    };
    let issuer = other.map_or_else(String::new, |other| other.issuer.clone());
    let core = now.core.clone();
    let whose = user.to_string();
    // All that is kept is looked at.
    let purged = tokio::task::spawn_blocking(move || match &user {
        User::Entra { tid, oid } => core.purge_user(tid, oid),
        User::Other { sub } => core.purge_subject(&issuer, sub),
    });
    let Ok(purged) = purged.await else {
        return Page::text(StatusCode::INTERNAL_SERVER_ERROR, "the gateway ends\n");
    };
    tracing::info!(
        whose,
        admissions = purged.admissions,
        tokens = purged.tokens,
        "what was kept of a user has been dropped"
    );
    let answer = json!({ "admissions": purged.admissions, "tokens": purged.tokens });
    Page::json(StatusCode::OK, &answer)
}

fn parse(query: &str, entra: bool) -> Result<User, &'static str> {
    let mut found = [None, None, None];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = ["tid", "oid", "sub"]
            .iter()
            .position(|known| *known == name);
        let place = place.and_then(|at| found.get_mut(at));
        let place = place
            .ok_or("there are `tid` and `oid`, or with another provider than Entra ID `sub`\n")?;
        if place.replace(value.into_owned()).is_some() {
            return Err("the same word is there twice; one user at a time\n");
        }
    }
    match found {
        [Some(tid), Some(oid), None] if entra => match is_guid(&tid) && is_guid(&oid) {
            true => Ok(User::Entra { tid, oid }),
            false => Err("tid and oid are GUIDs such as 11111111-2222-3333-4444-555555555555\n"),
        },
        [None, None, Some(sub)] if !entra && !sub.is_empty() => Ok(User::Other { sub }),
        _ if entra => Err("name the user: POST /purge?tid=<tenant>&oid=<object id>\n"),
        _ => Err("name the user: POST /purge?sub=<sub>\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_is_named_and_nobody_else() {
        let (tid, oid) = (
            "c0a705a0-0000-4000-8000-000000000001",
            "A11CE000-0000-4000-8000-000000000001",
        );
        let query = format!("tid={tid}&oid={oid}");
        let user = parse(&query, true).unwrap();
        assert_eq!(user.to_string(), format!("tid={tid} oid={oid}"));
        let other = parse("sub=auth0%7C1", false);
        assert_eq!(
            other,
            Ok(User::Other {
                sub: "auth0|1".into()
            })
        );
        for wrong in [
            "",
            "tid=x&oid=y",
            "oid=A11CE000-0000-4000-8000-000000000001",
            &format!("{query}&oid={oid}"),
            &format!("{query}&all=true"),
            &format!("{query}&sub=x"),
            "sub=x",
        ] {
            assert!(parse(wrong, true).is_err(), "{wrong}");
        }
        for wrong in ["sub=", &query, ""] {
            assert!(parse(wrong, false).is_err(), "{wrong}");
        }
    }
}
