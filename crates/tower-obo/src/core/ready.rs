//! Downstream tokens that are there, for a request that need not wait.

use std::sync::Arc;

use super::Core;
use crate::{
    BoundPolicy, Event, Secret, Timestamp, admission::Admission, admitted::Tokens,
    policy::BoundDownstream, tokens::CachedToken,
};

/// A downstream token that is ready.
pub(super) struct ReadyToken {
    pub(super) token: Arc<CachedToken>,
    /// It has come into the admission's slot just now.
    pub(super) filled: bool,
}

/// Which downstream tokens are ready.
pub(super) enum Ready {
    All(Tokens),
    Missing,
    AppOnly,
}

impl Core {
    /// The downstream tokens of the policy, as far as they are in the admission's slots or in the
    /// store.
    pub(super) fn ready_tokens(
        &self,
        admission: &Arc<Admission>,
        policy: &BoundPolicy,
        token: &[u8],
        now: Timestamp,
    ) -> Ready {
        if policy.downstreams.is_empty() {
            return Ready::All(Tokens::new());
        }
        // Entra ID would refuse it (AADSTS7000114); it is not even asked.
        if admission.principal.is_app_only() && policy.needs_user() {
            return Ready::AppOnly;
        }
        let mut tokens = Tokens::new();
        let mut filled = false;
        for bound in &policy.downstreams {
            match self.ready_token(admission, bound, token, now) {
                Some(ready) => {
                    filled |= ready.filled;
                    tokens.push(ready.token);
                }
                // Whoever gets the missing one counts those that are there, too.
                None => return Ready::Missing,
            }
        }
        if filled {
            self.weigh(token, admission);
        }
        self.0.observer.on(&Event::Token { hit: true });
        Ready::All(tokens)
    }

    /// The token of one downstream, if it is in the admission's slot or in the store. Whoever has all that
    /// are wanted counts the admission anew, once.
    pub(super) fn ready_token(
        &self,
        admission: &Arc<Admission>,
        bound: &BoundDownstream,
        token: &[u8],
        now: Timestamp,
    ) -> Option<ReadyToken> {
        let of = |ready: Arc<CachedToken>, filled| {
            let token = if ready.wants_renewal(now) {
                self.renewed(admission, bound, token, ready, now)
            } else {
                ready
            };
            Some(ReadyToken { token, filled })
        };
        if let Some(ready) = admission.token(bound.slot)
            && self.0.tokens.is_good(&ready, now)
        {
            return of(ready, false);
        }
        let key = self.token_key(&admission.principal, bound, token);
        let ready = self.0.tokens.fresh(&key, now)?;
        // An admission that is older than the downstream has no slot, and always comes here.
        let filled = admission.set_token(bound.slot, Arc::clone(&ready));
        of(ready, filled)
    }

    /// The successor of a token whose renewal is due, if it is there already; otherwise the token
    /// itself, and a renewal in the background.
    #[cold]
    fn renewed(
        &self,
        admission: &Arc<Admission>,
        bound: &BoundDownstream,
        token: &[u8],
        ready: Arc<CachedToken>,
        now: Timestamp,
    ) -> Arc<CachedToken> {
        if let Some(successor) = self.0.tokens.fresh(ready.key(), now)
            && !Arc::ptr_eq(&successor, &ready)
        {
            admission.set_token(bound.slot, Arc::clone(&successor));
            return successor;
        }
        if let Ok(assertion) = std::str::from_utf8(token) {
            self.0.tokens.renew(&ready, || {
                self.want(admission, bound, &Secret::from(assertion))
            });
        }
        ready
    }
}
