//! Token requests opened up: what was checked, and what came of it. For people who wonder why they were
//! refused, and for tests. Never a token, a secret or a code.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Decisions remembered; the oldest go first.
const REMEMBERED: usize = 200;
/// Longest text that is kept of what a request says.
const LONGEST: usize = 300;

/// What became of one request to a token endpoint.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// When, in seconds since 1970 by the emulator's clock.
    pub at: i64,
    /// The tenant of the path, as it was written.
    pub tenant: String,
    /// `authorization_code`, `refresh_token`, `client_credentials`, `on_behalf_of`, or what else was asked.
    pub grant: String,
    /// The application, by its name where it is known, else by what it calls itself.
    pub client: String,
    /// The user's name; empty where none is known.
    pub user: String,
    /// The scopes that were asked for.
    pub scope: String,
    /// What was checked and found good, in that order.
    pub passed: Vec<String>,
    /// Why there was no token; `None` where there was one.
    pub refused: Option<Refused>,
    /// The fault that was ordered and came in place of an answer, in words; nothing was checked then.
    pub fault: Option<String>,
}

/// Why there was no token.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// OAuth's error.
    pub error: String,
    /// The number behind AADSTS.
    pub code: u32,
    /// What Entra ID says about it.
    pub message: String,
    /// Whether a claims challenge goes with it.
    pub challenge: bool,
}

/// A decision while it is made.
#[derive(Debug)]
pub(crate) struct Checks(Mutex<Decision>);

impl Checks {
    pub(crate) fn new(at: i64, tenant: &str) -> Self {
        Self(Mutex::new(Decision {
            at,
            tenant: cut(tenant),
            ..Decision::default()
        }))
    }

    /// Something was checked and is as it should be.
    pub(crate) fn passed(&self, what: impl Into<String>) {
        let what = cut(&what.into());
        self.open().passed.push(what);
    }

    pub(crate) fn asked(&self, grant: &str, client: &str, scope: &str) {
        let grant = match grant {
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => "on_behalf_of",
            other => other,
        };
        let mut decision = self.open();
        decision.grant = cut(grant);
        decision.client = cut(client);
        decision.scope = cut(scope);
    }

    pub(crate) fn client(&self, name: &str) {
        self.open().client = cut(name);
    }

    pub(crate) fn user(&self, name: &str) {
        self.open().user = cut(name);
    }

    pub(crate) fn refused(&self, refused: Refused) {
        // It repeats what the request says.
        let message = cut(&refused.message);
        self.open().refused = Some(Refused { message, ..refused });
    }

    /// A fault came in place of an answer.
    pub(crate) fn fault(&self, what: &str) {
        self.open().fault = Some(cut(what));
    }

    pub(crate) fn finish(self) -> Decision {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Decision> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last decisions of one emulator.
#[derive(Debug, Default)]
pub(crate) struct Decisions(Mutex<VecDeque<Decision>>);

impl Decisions {
    pub(crate) fn push(&self, decision: Decision) {
        let mut decisions = self.lock();
        if decisions.len() >= REMEMBERED {
            decisions.pop_front();
        }
        decisions.push_back(decision);
    }

    /// Oldest first.
    pub(crate) fn all(&self) -> Vec<Decision> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Decision>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_decisions_are_remembered_and_long_texts_are_cut() {
        let decisions = Decisions::default();
        for at in 0..250 {
            let checks = Checks::new(at, "t");
            checks.asked("password", &"x".repeat(1_000), "s");
            checks.refused(Refused {
                status: 400,
                error: "invalid_request".to_owned(),
                code: 90_014,
                message: "y".repeat(1_000),
                challenge: false,
            });
            decisions.push(checks.finish());
        }
        let all = decisions.all();
        assert_eq!((all.len(), all[0].at, all[199].at), (REMEMBERED, 50, 249));
        assert_eq!(all[0].client.chars().count(), LONGEST + 1);
        let refused = all[0].refused.as_ref().unwrap();
        assert_eq!(refused.message.chars().count(), LONGEST + 1);
    }
}
