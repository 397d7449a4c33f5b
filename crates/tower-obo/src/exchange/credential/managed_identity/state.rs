//! What is known of the identity's token: the one that is held, the last failure, and a refusal.

use std::{sync::Arc, time::Duration};

use super::{super::CredentialError, PAUSE};
use crate::{Secret, Timestamp, digest::Digest};

/// After a first failure the platform is left alone for so long; doubled for each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Held {
    pub(super) token: Secret,
    pub(super) resource: &'static str,
    pub(super) expires: Timestamp,
    /// When a new one is asked for.
    pub(super) renew: Timestamp,
}

#[derive(Default)]
pub(super) struct State {
    held: Option<Arc<Held>>,
    failure: Option<Failure>,
    /// All there have been.
    failures: u64,
    /// The last token that was refused, and how long another call would bring it back.
    refused: Option<(Digest, Timestamp)>,
}

struct Failure {
    error: CredentialError,
    /// The platform is not asked before.
    until: Timestamp,
    /// The next pause.
    pause: Duration,
}

impl State {
    /// The token for that resource, if it is good beyond `until`.
    pub(super) fn held(&self, resource: &str, until: Timestamp) -> Option<Arc<Held>> {
        let held = self.held.as_ref()?;
        (held.resource == resource && held.expires > until).then(|| Arc::clone(held))
    }

    pub(super) fn put(&mut self, held: Held) {
        self.held = Some(Arc::new(held));
        self.failure = None;
    }

    /// Nobody renews `held` before `renew`, if it is held still.
    pub(super) fn postpone(&mut self, held: &Held, renew: Timestamp) {
        if self.holds(&held.token) {
            let token = held.token.clone();
            self.held = Some(Arc::new(Held {
                token,
                renew,
                ..*held
            }));
        }
    }

    pub(super) const fn failures(&self) -> u64 {
        self.failures
    }

    /// The last failure, where there was one since there were `known`, or a short while before now.
    pub(super) fn failed(&self, known: u64, now: Timestamp) -> Option<CredentialError> {
        let failure = self.failure.as_ref()?;
        // A wait that is longer than any can be comes from a clock that was ahead.
        let waits = now < failure.until && failure.until.saturating_since(now) <= PAUSE * 2;
        (self.failures > known || waits).then(|| failure.error.clone())
    }

    pub(super) fn fail(&mut self, error: CredentialError, now: Timestamp) {
        let pause = self.failure.as_ref().map_or(FIRST_PAUSE, |last| last.pause);
        self.failures += 1;
        self.failure = Some(Failure {
            error,
            until: now + pause,
            pause: (pause * 2).min(PAUSE),
        });
    }

    /// That token is not used again, unless asking has just brought it back.
    pub(super) fn refuse(&mut self, token: &Secret, now: Timestamp) {
        if self.holds(token) && !self.was_refused(token, now) {
            self.held = None;
            self.refused = Some((digest(token), now + PAUSE));
        }
    }

    /// Whether that token was refused a short while ago.
    pub(super) fn was_refused(&self, token: &Secret, now: Timestamp) -> bool {
        self.refused.is_some_and(|(refused, until)| {
            let is_recent = now < until && until.saturating_since(now) <= PAUSE;
            is_recent && refused == digest(token)
        })
    }

    fn holds(&self, token: &Secret) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.token.expose() == token.expose())
    }
}

fn digest(token: &Secret) -> Digest {
    Digest::of(&[token.expose().as_bytes()])
}
