//! What the exchange made of a token: the claims of both, side by side, and what they mean.

use crate::claims::Claims;

/// A claim of both tokens.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Change {
    pub(crate) name: String,
    /// In the token that this app sent.
    pub(crate) sent: String,
    /// In the token that the gateway got for it.
    pub(crate) handed: String,
    /// In one word.
    pub(crate) verdict: &'static str,
    pub(crate) meaning: &'static str,
}

impl Change {
    /// Whether it stands out.
    pub(crate) fn is_changed(&self) -> bool {
        self.verdict != "same"
    }
}

/// So many of [`KNOWN`] tell what an exchange is.
const FIRST: usize = 5;

/// Claims with their names in v2.0 and v1.0 tokens, and what they mean; those that matter first.
const KNOWN: [(&str, &str, &str); 16] = [
    (
        "aud",
        "aud",
        "Whom the token is for. Each API takes only its own: that is why there is an exchange.",
    ),
    (
        "scp",
        "scp",
        "What the caller may do in the user's name at that API.",
    ),
    (
        "azp",
        "appid",
        "The application that asked for the token: first this app, then the API.",
    ),
    (
        "oid",
        "oid",
        "Who the user is, in this tenant. An exchange never changes the user.",
    ),
    (
        "sub",
        "sub",
        "The user again, under a name that differs from application to application.",
    ),
    (
        "azpacr",
        "appidacr",
        "How that application proved itself: 0 not at all, 1 by a secret, 2 by a certificate.",
    ),
    ("tid", "tid", "The user's tenant."),
    ("name", "name", "The user's name, for people."),
    (
        "preferred_username",
        "preferred_username",
        "The user's name at sign-in, in v2.0 tokens.",
    ),
    (
        "iss",
        "iss",
        "Who issued it: the tenant at Entra ID, in the form of the token's version.",
    ),
    (
        "ver",
        "ver",
        "The version of the token, which the API that it is for has chosen.",
    ),
    (
        "amr",
        "amr",
        "How the user proved who they are; mfa: with a second factor.",
    ),
    ("iat", "iat", "When it was issued."),
    ("nbf", "nbf", "From when on it is good."),
    (
        "exp",
        "exp",
        "Until when it is good. The gateway keeps no token longer than the caller's own.",
    ),
    (
        "uti",
        "uti",
        "The token's own id, which Entra ID's sign-in log has, too.",
    ),
];

/// What matters, and whatever else there is; all of it side by side.
pub(crate) struct Changes {
    pub(crate) first: Vec<Change>,
    pub(crate) others: Vec<Change>,
}

pub(crate) fn changes(sent: &Claims, handed: &Claims) -> Changes {
    let text =
        |claims: &Claims, new: &str, old: &str| claims.text(new).or_else(|| claims.text(old));
    let known = |(new, old, meaning): &(&str, &str, &'static str)| {
        let name = if new == old {
            (*new).to_owned()
        } else {
            format!("{new} / {old}")
        };
        change(name, text(sent, new, old), text(handed, new, old), meaning)
    };
    let (first, more) = KNOWN.split_at(FIRST);
    let is_known = |name: &str| {
        KNOWN
            .iter()
            .any(|(new, old, _)| name == *new || name == *old)
    };
    let mut others: Vec<&str> = sent.names().chain(handed.names()).collect();
    others.retain(|name| !is_known(name));
    others.sort_unstable();
    others.dedup();
    let others = others
        .into_iter()
        .filter_map(|name| change(name.to_owned(), sent.text(name), handed.text(name), ""));
    Changes {
        first: first.iter().filter_map(known).collect(),
        others: more.iter().filter_map(known).chain(others).collect(),
    }
}

fn change(
    name: String,
    sent: Option<String>,
    handed: Option<String>,
    meaning: &'static str,
) -> Option<Change> {
    let verdict = match (&sent, &handed) {
        (None, None) => return None,
        (Some(sent), Some(handed)) if sent == handed => "same",
        (Some(_), Some(_)) => "changed",
        (Some(_), None) => "gone",
        (None, Some(_)) => "new",
    };
    Some(Change {
        name,
        sent: sent.unwrap_or_default(),
        handed: handed.unwrap_or_default(),
        verdict,
        meaning,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    fn claims(claims: &Value) -> Claims {
        Claims::of_payload(&URL_SAFE_NO_PAD.encode(claims.to_string())).unwrap()
    }

    #[test]
    fn what_matters_comes_first_and_the_two_names_of_a_claim_are_one() {
        let sent =
            claims(&json!({"z": 1, "azp": "ui", "iss": "i", "aud": "api", "oid": "o", "rh": "x"}));
        let handed = claims(&json!({"appid": "api", "aud": "arm", "oid": "o", "scp": "s"}));
        let changes = changes(&sent, &handed);
        assert_eq!((changes.first.len(), changes.others.len()), (4, 3));
        let changes: Vec<_> = changes
            .first
            .into_iter()
            .chain(changes.others)
            .map(|change| {
                format!(
                    "{} {}>{} {}",
                    change.name, change.sent, change.handed, change.verdict
                )
            })
            .collect();
        assert_eq!(
            changes,
            [
                "aud api>arm changed",
                "scp >s new",
                "azp / appid ui>api changed",
                "oid o>o same",
                "iss i> gone",
                "rh x> gone",
                "z 1> gone",
            ]
        );
    }
}
