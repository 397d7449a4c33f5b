//! The slow path of a decision: keys to wait for, a downstream token to ask for.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, Uri, header::AUTHORIZATION};
use tokio::sync::OwnedSemaphorePermit;

use super::{Core, Decision, Head, KeysNeeded, OnDemand, Sight, is_grpc};
use crate::{
    AccessPolicy, Admitted, BoundPolicy, RefreshReason, Refreshed, Rejection, RejectionKind,
    Secret, Timestamp,
    admission::{self, Admission},
    admitted::Tokens,
    authorize::Denied,
    digest::Digest,
    policy::BoundDownstream,
    tokens::{CachedToken, Unavailable, gone},
    validate::TokenDefect,
};

/// A decision that waits for the network. Resolves to what becomes of the request; dropping it
/// cancels nothing that others wait for.
///
/// It holds no part of the request but the token.
pub struct Pending {
    decision: Pin<Box<dyn Future<Output = Result<Admitted, Rejection>> + Send>>,
    stage: Stage,
}

/// Whether the token has been judged. `None`: it had been before there was anything to wait for.
type Stage = Option<Arc<AtomicBool>>;

impl Pending {
    /// For a request whose token has been judged.
    pub(super) fn new(
        decision: impl Future<Output = Result<Admitted, Rejection>> + Send + 'static,
    ) -> Self {
        Self {
            decision: Box::pin(decision),
            stage: None,
        }
    }

    /// Whether the caller's token has been judged valid, so that what is waited for is a downstream
    /// token; before that it is keys. For who wants to know where the time goes: looked at whenever it
    /// has been polled, this tells how long each of the two took.
    ///
    /// ```
    /// use std::{future::{Future, poll_fn}, pin::Pin, time::Instant};
    /// use tower_obo::{Admitted, Pending, Rejection};
    ///
    /// async fn timed(mut pending: Pending) -> Result<Admitted, Rejection> {
    ///     let mut since = Instant::now();
    ///     let mut exchanging = pending.is_exchanging();
    ///     let decided = poll_fn(|cx| {
    ///         let polled = Pin::new(&mut pending).poll(cx);
    ///         if pending.is_exchanging() && !exchanging {
    ///             println!("keys were waited for for {:?}", since.elapsed());
    ///             (since, exchanging) = (Instant::now(), true);
    ///         }
    ///         polled
    ///     });
    ///     let decided = decided.await;
    ///     println!("then it took {:?}", since.elapsed());
    ///     decided
    /// }
    /// ```
    #[must_use]
    pub fn is_exchanging(&self) -> bool {
        (self.stage.as_ref()).is_none_or(|judged| judged.load(Ordering::Relaxed))
    }
}

impl Future for Pending {
    type Output = Result<Admitted, Rejection>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.decision.as_mut().poll(cx)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

/// A fetch of keys to wait for, and the place of who waits.
pub(super) struct WaitForKeys {
    pub(super) refreshed: Refreshed,
    place: OwnedSemaphorePermit,
}

/// What a token that needs other keys meets.
pub(super) enum NewerKeys {
    /// A fetch is under way, and this request may wait for its end.
    Wait(WaitForKeys),
    /// A fetch is under way, and more wait for it already than should.
    Full,
    /// None is due: the token is judged by the keys that are there.
    NotDue,
}

/// Whether keys may come that are not there.
#[derive(Clone, Copy)]
pub(super) enum Newer {
    /// They are being fetched: a key that is not there may be among those that come. The token is not
    /// judged unknown, and its caller may come again.
    UnderWay,
    /// They are not, or have come.
    No,
}

impl Core {
    /// Decides on a token that has come in another way than in a request: with a job from a queue,
    /// or in a message of a stream. It is the same as [`decide`](Self::decide) of a request that has
    /// nothing but this token, and needs no HTTP: what is admitted has the downstream token.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     core: &tower_obo::Core,
    /// #     token: &str,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_obo::{AccessPolicy, Downstream, Policy};
    ///
    /// // Once, at the start.
    /// let policy = core.bind(
    ///     Policy::new(AccessPolicy::any_scope(["Reports.Run"]))
    ///         .downstream(Downstream::azure_resource_manager()),
    /// )?;
    ///
    /// // For each job.
    /// let admitted = core.admit_token(token, &policy).await?;
    /// if let Some(arm) = admitted.first_downstream() {
    ///     // Call Azure Resource Manager with `arm.header()` as `Authorization`.
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The refusal: why, whose affair it is, and when to try again.
    pub async fn admit_token(
        &self,
        token: &str,
        policy: &Arc<BoundPolicy>,
    ) -> Result<Admitted, Rejection> {
        match self.decide_token(token, policy) {
            Decision::Admit(admitted) => Ok(admitted),
            Decision::Wait(pending) => pending.await,
            Decision::Refuse(rejection) => Err(rejection),
        }
    }

    fn decide_token(&self, token: &str, policy: &Arc<BoundPolicy>) -> Decision {
        let mut headers = HeaderMap::with_capacity(1);
        // What cannot stand in a header is no token, and an empty one says so.
        let mut line = HeaderValue::try_from(format!("Bearer {token}"))
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        line.set_sensitive(true);
        headers.insert(AUTHORIZATION, line);
        let head = Head {
            method: &Method::GET,
            uri: &Uri::from_static("/"),
            headers: &headers,
        };
        self.decide(&head, policy)
    }

    /// Begins a fetch of keys, or joins one. So many may wait and no more for a key that nobody may ever
    /// have heard of: a fetch that hangs would let whoever makes up tokens hold every place that a server
    /// has for requests.
    pub(super) fn newer_keys(&self, reason: RefreshReason) -> NewerKeys {
        self.start();
        let Some(refreshed) = self.0.keys.refresh(reason) else {
            return NewerKeys::NotDue;
        };
        let places = match reason {
            RefreshReason::UnknownKey => &self.0.key_waiters,
            RefreshReason::NoKeys => &self.0.first_key_waiters,
        };
        match Arc::clone(places).try_acquire_owned() {
            Ok(place) => NewerKeys::Wait(WaitForKeys { refreshed, place }),
            Err(_) => NewerKeys::Full,
        }
    }

    pub(super) fn wait_for_keys(
        &self,
        waiting: WaitForKeys,
        token: Secret,
        key: Digest,
        policy: &Arc<BoundPolicy>,
        headers: &HeaderMap,
    ) -> Pending {
        let (core, policy, grpc) = (self.clone(), Arc::clone(policy), is_grpc(headers));
        let judged = Arc::new(AtomicBool::new(false));
        let stage = Some(Arc::clone(&judged));
        let decision = async move {
            let admitted = match core.validate_with_newer_keys(waiting, &token, key).await {
                Ok(admission) => {
                    judged.store(true, Ordering::Relaxed);
                    core.admit(token, admission, &policy, grpc).await
                }
                Err(rejection) => Err(rejection),
            };
            admitted.map_err(|rejection| core.report(rejection.for_grpc(grpc)))
        };
        Pending {
            decision: Box::pin(decision),
            stage,
        }
    }

    pub(super) fn wait_for_tokens(
        &self,
        token: Secret,
        admission: Arc<Admission>,
        policy: &Arc<BoundPolicy>,
        headers: &HeaderMap,
    ) -> Pending {
        let (core, policy, grpc) = (self.clone(), Arc::clone(policy), is_grpc(headers));
        Pending::new(async move {
            core.admit(token, admission, &policy, grpc)
                .await
                .map_err(|rejection| core.report(rejection.for_grpc(grpc)))
        })
    }

    /// Admits whoever's token is good, or says whose it was.
    pub(super) async fn admit(
        &self,
        token: Secret,
        admission: Arc<Admission>,
        policy: &Arc<BoundPolicy>,
        grpc: bool,
    ) -> Result<Admitted, Rejection> {
        let caller = admission.principal.clone();
        self.admit_known(token, admission, policy, grpc)
            .await
            .map_err(|rejection| rejection.of_caller(&caller))
    }

    async fn admit_known(
        &self,
        token: Secret,
        admission: Arc<Admission>,
        policy: &Arc<BoundPolicy>,
        grpc: bool,
    ) -> Result<Admitted, Rejection> {
        self.not_denied(&admission.principal)?;
        if let Some(access) = &policy.access {
            access
                .check(&admission.principal)
                .map_err(|denied| self.denied(denied, access))?;
            if policy.needs_user() && admission.principal.is_app_only() {
                return Err(self.app_only(access));
            }
        }
        let tokens = self.obtain_all(&token, &admission, policy).await?;
        self.weigh(token.expose().as_bytes(), &admission);
        let on_demand = OnDemand::of(self, &admission, policy, || (token, grpc));
        Ok(Admitted::new(
            policy,
            admission.principal.clone(),
            admission.valid_until,
            tokens,
            on_demand,
            grpc,
        ))
    }

    /// The tokens of all downstreams that come with the request, all asked for at the same time. Of
    /// several refusals that of the first downstream counts.
    async fn obtain_all(
        &self,
        caller: &Secret,
        admission: &Admission,
        policy: &BoundPolicy,
    ) -> Result<Tokens, Rejection> {
        // While one was waited for, another that was there at once may have been challenged by its
        // downstream, or have ended: that one is asked for once more.
        for _ in 0..2 {
            let asked = policy.downstreams.iter();
            let asked = asked.map(|bound| self.obtain(admission, bound, caller));
            let tokens = join_all(asked).await;
            let now = self.0.clock.now();
            self.still_holds(admission, now)?;
            let tokens = tokens.into_iter().collect::<Result<Tokens, _>>()?;
            if tokens.iter().all(|token| self.0.tokens.is_alive(token)) {
                return Ok(tokens);
            }
        }
        Err(Rejection::exchange(gone(), &self.0.challenge))
    }

    /// Whether the caller's token is still good and the caller is not cut off, for who has waited or
    /// runs long.
    pub(super) fn still_holds(
        &self,
        admission: &Admission,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if admission.holds(now) {
            return self.not_denied(&admission.principal);
        }
        let defect = match now < admission.valid_until {
            true => TokenDefect::UnknownKey,
            false => TokenDefect::Expired,
        };
        Err(Rejection::token(defect, &self.0.challenge))
    }

    /// One downstream token, from the store or by an exchange.
    pub(super) async fn obtain(
        &self,
        admission: &Admission,
        bound: &BoundDownstream,
        caller: &Secret,
    ) -> Result<Arc<CachedToken>, Rejection> {
        let mut want = self.want(admission, bound, caller);
        want.follows = admission.token(bound.slot);
        let token = self.0.tokens.obtain(want).await;
        self.still_holds(admission, self.0.clock.now())?;
        let token = token.map_err(|error| self.unavailable(bound, error))?;
        admission.set_token(bound.slot, Arc::clone(&token));
        Ok(token)
    }

    pub(super) fn unavailable(&self, bound: &BoundDownstream, error: Unavailable) -> Rejection {
        match error {
            Unavailable::Exchange(error) => {
                Rejection::exchange(bound.judge(error), &self.0.challenge)
                    .naming_consent(|| bound.downstream.scopes().collect::<Vec<_>>().join(" "))
            }
            Unavailable::Overloaded => self.rejection(
                RejectionKind::Overloaded,
                "too many requests wait for the identity provider",
            ),
        }
    }

    /// Counts an admission with the tokens that it has got.
    pub(super) fn weigh(&self, caller: &[u8], admission: &Admission) {
        let key = admission::key(self.0.validator.fingerprint(), caller);
        self.0.admissions.weigh(key, admission);
    }

    /// Waits for the keys once, a bounded time, and judges the token by those that are there then.
    async fn validate_with_newer_keys(
        &self,
        waiting: WaitForKeys,
        token: &Secret,
        key: Digest,
    ) -> Result<Arc<Admission>, Rejection> {
        let ended = tokio::time::timeout(self.0.key_wait, waiting.refreshed).await;
        drop(waiting.place);
        let now = self.0.clock.now();
        let newer = match ended {
            Ok(()) => Newer::No,
            Err(_) => Newer::UnderWay,
        };
        self.judge(token.expose().as_bytes(), key, now, newer)
    }

    /// Judges a token by the keys that are there.
    pub(super) fn judge(
        &self,
        token: &[u8],
        key: Digest,
        now: Timestamp,
        newer: Newer,
    ) -> Result<Arc<Admission>, Rejection> {
        match (self.first_sight(token, key, now), newer) {
            (Sight::Admission(admission), _) => Ok(admission),
            (Sight::Refused(rejection), _) => Err(rejection),
            (Sight::KeysNeeded(needed), Newer::UnderWay)
                if needed.reason == RefreshReason::UnknownKey =>
            {
                Err(self.rejection(
                    RejectionKind::KeyStillUnknown,
                    "the signing keys of the identity provider are being fetched",
                ))
            }
            (Sight::KeysNeeded(needed), _) => Err(self.no_keys(needed.reason)),
        }
    }

    /// No fetch of keys is due: perhaps because one has ended since the token was looked at, on another
    /// thread. Then it is judged by what that one has brought; it would be refused for a key that is
    /// there.
    #[cold]
    pub(super) fn second_sight(
        &self,
        needed: KeysNeeded<'_>,
        key: Digest,
        now: Timestamp,
    ) -> Result<Arc<Admission>, Rejection> {
        let current = self.current_keys(now);
        if current.as_ref().map(Arc::as_ptr) == needed.judged_by.as_ref().map(Arc::as_ptr) {
            return Err(self.no_keys(needed.reason));
        }
        self.judge(needed.token.as_bytes(), key, now, Newer::No)
    }

    /// The token cannot be judged valid, and no newer keys are to be had for the moment.
    pub(super) fn no_keys(&self, reason: RefreshReason) -> Rejection {
        match reason {
            RefreshReason::UnknownKey => {
                Rejection::token(TokenDefect::UnknownKey, &self.0.challenge)
            }
            RefreshReason::NoKeys => self.rejection(
                RejectionKind::KeysNotLoaded,
                "the signing keys of the identity provider are not loaded yet",
            ),
        }
    }

    pub(super) fn denied(&self, denied: Denied, access: &AccessPolicy) -> Rejection {
        // Which applications are on the list is nobody's business.
        let scope = match denied.kind {
            RejectionKind::ClientNotAllowed => None,
            _ => access.challenge_scope(),
        };
        Rejection::insufficient(denied.kind, denied.detail, scope, &self.0.challenge)
    }

    pub(super) fn app_only(&self, access: &AccessPolicy) -> Rejection {
        let denied = Denied {
            kind: RejectionKind::AppOnlyNotAllowed,
            detail: "an app-only token cannot be exchanged for a user's token",
        };
        self.denied(denied, access)
    }
}
