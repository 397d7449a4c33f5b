//! A downstream's claims challenge, answered without the user where that is possible.

use std::sync::Arc;

use futures_util::future::join_all;
use http::HeaderMap;
use smallvec::SmallVec;

use super::{Core, Head, Pending, is_grpc, pending::Newer};
use crate::{
    Admitted, DownstreamToken, Rejection, Secret,
    admission::{self, Admission},
    bearer, challenge,
    exchange::{ExchangeError, claims},
    tokens::FromStore,
};

impl Core {
    /// Tries to answer a claims challenge in place of the user, after the downstream has answered
    /// 401 with these headers: an exchange of the caller's own token that asks for the claims
    /// (continuous access evaluation: the caller's token may be newer than what ended the downstream
    /// token's life). For proxies that can send the request again; they do it once, with what the
    /// [`Pending`] resolves to, and after a second 401 call [`DownstreamToken::challenged`].
    ///
    /// `head` is the request's as it came, with the caller's token. Of `challenged`, all tokens that the
    /// downstream has got ([`Admitted::sent_tokens`]), each of the user's is replaced: nobody can tell
    /// which one it is about. The application's own stay as they are. `None` where the answer has no
    /// claims challenge, or none of the tokens is a user's, or one was not exchanged for that caller: then
    /// too [`DownstreamToken::challenged`] says what to do.
    ///
    /// The refused tokens are dropped at once. There is at most one such exchange a minute for the
    /// same caller and downstream, shared by all who are challenged at that time, and none while too
    /// many exchanges are under way: an API that challenges every request must not turn each into an
    /// exchange. What it brings takes the place of the old token. Where it fails, or is not made, the
    /// [`Pending`] resolves to the challenge for the caller, Entra ID's where that has one, and the
    /// same caller's token gets it for 30 s. Of a downstream on demand
    /// [`Downstreams::get`](crate::Downstreams::get) has the new token then.
    #[must_use]
    pub fn exchange_for_claims(
        &self,
        head: &Head<'_>,
        admitted: &Admitted,
        challenged: &[DownstreamToken],
        answer: &HeaderMap,
    ) -> Option<Pending> {
        let claims = challenge::claims(answer)?;
        let (principal, valid_until) = (admitted.principal()?, admitted.valid_until()?);
        let limit = self.0.validator.max_token_bytes();
        let caller = bearer::candidate(head.headers, head.uri, limit).ok()?;
        let caller = Secret::from(bearer::parse(caller).ok()?);
        let mut asked = SmallVec::<[_; 2]>::new();
        for token in challenged {
            let bound = admitted.bound(token)?;
            // The application's own token is nobody's to answer for with another.
            if !bound.has_subject() {
                continue;
            }
            let mut want = self.want_for(principal, valid_until, bound, &caller);
            if want.key != *token.cached().key() {
                return None;
            }
            want.claims = Some(claims::merged(self.0.claims.as_deref(), &claims));
            // What another process has exchanged answers no challenge.
            want.from_store = FromStore::Nothing;
            asked.push((token.clone(), want));
        }
        if asked.is_empty() {
            return None;
        }
        let challenge = ExchangeError::challenge(claims);
        let grpc = is_grpc(head.headers);
        let (core, principal) = (self.clone(), principal.clone());
        let policy = Arc::clone(admitted.policy());
        Some(Pending::new(async move {
            let exchanges = asked.into_iter().map(|(refused, want)| {
                let (tokens, challenge) = (&core.0.tokens, &challenge);
                async move {
                    let cached = refused.cached();
                    tokens.exchange_for_claims(cached, challenge, want).await
                }
            });
            let exchanges = join_all(exchanges).await.into_iter();
            let exchanged = exchanges.collect::<Result<Vec<_>, _>>();
            let again = match (core.known_again(&caller), exchanged) {
                (Err(ended), _) => Err(ended),
                // The new tokens are found where the old ones were, unless they have ended already.
                (Ok(admission), Ok(_)) => core.admit(caller, admission, &policy, grpc).await,
                (Ok(_), Err(error)) => Err(match core.not_denied(&principal) {
                    Ok(()) => Rejection::exchange(error, &core.0.challenge).of_caller(&principal),
                    Err(cut_off) => cut_off.of_caller(&principal),
                }),
            };
            again.map_err(|rejection| core.report(rejection.for_grpc(grpc)))
        }))
    }

    /// The admission of a caller who has waited: the token may have ended, or its key have gone.
    fn known_again(&self, caller: &Secret) -> Result<Arc<Admission>, Rejection> {
        let now = self.0.clock.now();
        let bytes = caller.expose().as_bytes();
        let key = admission::key(self.0.validator.fingerprint(), bytes);
        if let Some(admission) = self.0.admissions.get(&key, now) {
            return Ok(admission);
        }
        self.judge(bytes, key, now, Newer::No)
    }
}
