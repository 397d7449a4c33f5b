//! The policy core: one decision a request, for every shape of proxy.

mod application;
mod builder;
mod challenged;
mod config_error;
mod head;
mod keys;
mod on_demand;
mod pending;
mod purge;
mod ready;
mod succeeding;
mod wants;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderMap;
use tokio::sync::Semaphore;

pub use self::{
    builder::CoreBuilder,
    config_error::{ConfigError, ConfigErrors},
    head::Head,
    pending::Pending,
    purge::Purged,
};
use self::{
    head::is_grpc,
    pending::{Newer, NewerKeys},
    ready::Ready,
};
pub(crate) use self::{
    on_demand::{OnDemand, Standing},
    wants::group,
};
use crate::{
    Admitted, BoundPolicy, Clock, DenyList, Downstream, Event, KeySet, KeySource, Observer, Policy,
    Provider, RefreshReason, Rejection, RejectionKind, RemoteKeys, Secret, Timestamp, Validator,
    admission::{self, Admission, Admissions},
    bearer,
    challenge::ChallengeContext,
    digest::Digest,
    policy::{BoundDownstream, Target},
    provider::ProviderKind,
    tokens::DownstreamTokens,
    usage::{CachesUsage, SharedStoreUsage},
    validate::TokenDefect,
};

/// What is longer than nearly every token of Entra ID, in bytes. Such a one has its form looked at
/// before it is hashed.
const LONG: usize = 4 * 1024;

/// So many requests may wait for a fetch because of a key id that is not known.
const MAX_KEY_WAITERS: usize = 256;

/// So many may wait for the first keys: at a start everybody does, and what no key could make good is
/// refused before.
const MAX_FIRST_KEY_WAITERS: usize = 1_024;

/// What becomes of a request.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "every shape of proxy has to handle all three"
)]
pub enum Decision {
    /// It goes on.
    Admit(Admitted),
    /// It is not known yet: keys or a downstream token have to be fetched.
    Wait(Pending),
    /// It does not go on.
    Refuse(Rejection),
}

/// Validators, keys, admissions, downstream tokens and the credential, shared by all the layers
/// and routes of a service. Cheap to clone.
///
/// ```
/// use tower_obo::{AccessPolicy, Core, Credential, Decision, Downstream, Entra, Head, Policy};
///
/// let core = Core::builder(Entra::tenant("72f988bf-86f1-41af-91ab-2d7cd011db47"))
///     .client("6e74172b-be56-4843-9ff4-e66a39bb12e3", Credential::secret("…"))
///     .build()?;
/// let policy = core.bind(
///     Policy::new(AccessPolicy::any_scope(["access_as_user"]))
///         .downstream(Downstream::azure_resource_manager()),
/// )?;
///
/// let request = http::Request::new(());
/// match core.decide(&Head::from(&request), &policy) {
///     Decision::Refuse(rejection) => assert_eq!(rejection.status(), 401),
///     _ => unreachable!("there is no token"),
/// }
/// # Ok::<_, tower_obo::ConfigErrors>(())
/// ```
#[derive(Clone)]
pub struct Core(Arc<Inner>);

struct Inner {
    validator: Validator,
    keys: Arc<dyn KeySource>,
    /// What tells that source from others; `None` where it was given.
    origin_of_keys: Option<String>,
    seen_keys: Arc<keys::Seen>,
    /// Requests that may wait for a key that is not known.
    key_waiters: Arc<Semaphore>,
    /// The same while there are no keys.
    first_key_waiters: Arc<Semaphore>,
    admissions: Arc<Admissions>,
    tokens: Arc<DownstreamTokens>,
    authority: Box<str>,
    kind: ProviderKind,
    /// Those of Entra ID whose users may call.
    tenants: Option<crate::entra::Tenants>,
    /// What tells the tokens of this client at this authority from others'.
    client: Arc<[Box<str>]>,
    /// The token endpoint of another provider than Entra ID, as its exchanges find it.
    token_endpoint: Option<crate::oidc::Endpoint>,
    /// The claims request of every exchange.
    claims: Option<Arc<str>>,
    /// How long a request waits for a fetch of keys that others may have begun.
    key_wait: Duration,
    challenge: Arc<ChallengeContext>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    /// What every downstream ever bound is asked for with; the position is the slot.
    downstreams: Arc<Mutex<Vec<Arc<Target>>>>,
    started: AtomicBool,
    deny: DenyList,
}

impl Core {
    /// Starts to build a core for the tokens of Entra ID ([`Entra`](crate::Entra)), or of another
    /// provider ([`Oidc`](crate::Oidc)).
    pub fn builder(provider: impl Into<Provider>) -> CoreBuilder {
        CoreBuilder::new(RemoteKeys::builder(provider))
    }

    /// Begins to load the signing keys and to keep them fresh, in the background, and connects to the
    /// shared store, if there is one. Without it the first request that needs them does.
    pub fn start(&self) {
        if !self.0.started.swap(true, Ordering::Relaxed) {
            self.0.keys.start();
            self.0.tokens.connect();
        }
    }

    /// Whether tokens can be validated: the signing keys are there and not too old.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.current_keys(self.0.clock.now()).is_some()
    }

    /// Makes a policy one of this core's.
    ///
    /// # Errors
    ///
    /// Everything in it that cannot be meant, all at once: two downstreams of one name or in one
    /// header, a header that belongs to the connection, a scope or a grant that the provider would
    /// refuse whoever calls.
    ///
    /// ```
    /// # use tower_obo::{Core, Credential, Entra};
    /// use tower_obo::{AccessPolicy, Downstream, Policy};
    ///
    /// # let id = "11111111-2222-3333-4444-555555555555";
    /// # let core = Core::builder(Entra::tenant(id))
    /// #     .client(id, Credential::secret("secret"))
    /// #     .build()?;
    /// let twice = Policy::new(AccessPolicy::any_user())
    ///     .downstream(Downstream::azure_resource_manager())
    ///     .downstream(Downstream::azure_resource_manager());
    /// let errors = core.bind(twice).unwrap_err();
    /// let wrong: Vec<_> = errors.iter().map(|error| error.setting).collect();
    /// assert_eq!(wrong, ["downstream", "downstream_in"]);
    /// # Ok::<_, tower_obo::ConfigErrors>(())
    /// ```
    pub fn bind(&self, policy: Policy) -> Result<Arc<BoundPolicy>, ConfigErrors> {
        let problems = policy.problems(self.0.kind);
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let bound = |(downstream, header): (Downstream, _)| {
            let downstream = downstream.at(&self.0.authority);
            BoundDownstream {
                slot: self.slot_of(downstream.target()),
                downstream,
                header,
            }
        };
        let downstreams = policy.downstreams.into_iter().map(bound).collect();
        let on_demand = policy.on_demand.into_iter();
        let is_public = policy.access.is_none();
        Ok(Arc::new(BoundPolicy {
            access: policy.access,
            downstreams,
            on_demand: on_demand.map(|asked| bound((asked, None))).collect(),
            identity_headers: policy.identity_headers.into(),
            strip: policy.strip,
            // A token that nobody has looked at is not passed on.
            pass_caller_token: policy.pass_caller_token && !is_public,
            store: Arc::clone(&self.0.tokens),
            client: Arc::clone(&self.0.client),
            challenge: Arc::clone(&self.0.challenge),
        }))
    }

    /// A layer with that policy, sharing everything with this core's other layers.
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind).
    pub fn layer(&self, policy: Policy) -> Result<crate::OboLayer, ConfigErrors> {
        Ok(crate::OboLayer::new(self.clone(), self.bind(policy)?))
    }

    /// Decides on a request. Nothing blocks and, for a token that is known and at most two
    /// downstreams, nothing is allocated; what needs the network is in the [`Pending`] of
    /// [`Decision::Wait`], which has to be polled on a Tokio runtime with timers.
    ///
    /// The policy is evaluated on every request, for tokens that are known too.
    #[must_use]
    pub fn decide(&self, head: &Head<'_>, policy: &Arc<BoundPolicy>) -> Decision {
        let Some(access) = &policy.access else {
            return Decision::Admit(Admitted::anonymous(policy));
        };
        let inner = &*self.0;
        let refuse = |rejection: Rejection| self.refuse(rejection, head.headers);
        if !Arc::ptr_eq(&policy.store, &inner.tokens) {
            let detail = "the policy belongs to another core";
            return refuse(self.rejection(RejectionKind::Misconfigured, detail));
        }
        let limit = inner.validator.max_token_bytes();
        let candidate = match bearer::candidate(head.headers, head.uri, limit) {
            Ok(candidate) => candidate,
            Err(error) => return refuse(Rejection::bearer(error, &inner.challenge)),
        };
        // A hash of it would cost more than all else that is done to garbage.
        if candidate.len() > LONG
            && let Ok(token) = bearer::parse(candidate)
            && let Err(defect) = inner.validator.look_at_head(token)
        {
            return refuse(Rejection::token(defect, &inner.challenge));
        }
        let now = inner.clock.now();
        self.look_at_keys(now);
        let key = admission::key(inner.validator.fingerprint(), candidate);
        let known = inner.admissions.get(&key, now);
        inner.observer.on(&Event::Admission {
            hit: known.is_some(),
        });
        let admission = match known {
            Some(admission) => admission,
            None => match self.first_sight(candidate, key, now) {
                Sight::Admission(admission) => admission,
                Sight::KeysNeeded(needed) => match self.newer_keys(needed.reason) {
                    NewerKeys::Wait(waiting) => {
                        let token = Secret::from(needed.token);
                        let headers = head.headers;
                        return Decision::Wait(
                            self.wait_for_keys(waiting, token, key, policy, headers),
                        );
                    }
                    NewerKeys::Full => match self.judge(candidate, key, now, Newer::UnderWay) {
                        Ok(admission) => admission,
                        Err(rejection) => return refuse(rejection),
                    },
                    // Whoever makes up key ids is refused here, without a task or a wait.
                    NewerKeys::NotDue => match self.second_sight(needed, key, now) {
                        Ok(admission) => admission,
                        Err(rejection) => return refuse(rejection),
                    },
                },
                Sight::Refused(rejection) => return refuse(rejection),
            },
        };
        if let Err(cut_off) = self.not_denied(&admission.principal) {
            return refuse(cut_off.of_caller(&admission.principal));
        }
        if let Err(denied) = access.check(&admission.principal) {
            return refuse(self.denied(denied, access).of_caller(&admission.principal));
        }
        match self.ready_tokens(&admission, policy, candidate, now) {
            Ready::All(tokens) => {
                let on_demand = self.on_demand(&admission, policy, candidate, head.headers);
                Decision::Admit(Admitted::new(
                    policy,
                    admission.principal.clone(),
                    admission.valid_until,
                    tokens,
                    on_demand,
                    is_grpc(head.headers),
                ))
            }
            Ready::AppOnly => refuse(self.app_only(access).of_caller(&admission.principal)),
            // The bytes have been validated, so they are text.
            Ready::Missing => match std::str::from_utf8(candidate) {
                Ok(token) => Decision::Wait(self.wait_for_tokens(
                    Secret::from(token),
                    admission,
                    policy,
                    head.headers,
                )),
                Err(_) => refuse(Rejection::token(TokenDefect::Encoding, &inner.challenge)),
            },
        }
    }

    /// How many validated tokens are kept, and with how many bytes they are counted.
    #[must_use]
    pub fn admissions(&self) -> (usize, u64) {
        let usage = self.0.admissions.usage();
        let entries = usize::try_from(usage.entries).unwrap_or(usize::MAX);
        (entries, usage.bytes)
    }

    /// How full the caches are.
    ///
    /// ```
    /// # use tower_obo::{Core, Credential, Entra};
    /// # let id = "11111111-2222-3333-4444-555555555555";
    /// let core = Core::builder(Entra::tenant(id))
    ///     .client(id, Credential::secret("secret"))
    ///     .build()?;
    /// assert_eq!(core.cache_usage().tokens.entries, 0);
    /// # Ok::<_, tower_obo::ConfigErrors>(())
    /// ```
    #[must_use]
    pub fn cache_usage(&self) -> CachesUsage {
        CachesUsage {
            admissions: self.0.admissions.usage(),
            tokens: self.0.tokens.usage(),
        }
    }

    /// How the store is that processes share; `None` where there is none.
    ///
    /// ```
    /// # use tower_obo::{Core, Credential, Entra};
    /// # let id = "11111111-2222-3333-4444-555555555555";
    /// let core = Core::builder(Entra::tenant(id))
    ///     .client(id, Credential::secret("secret"))
    ///     .build()?;
    /// assert_eq!(core.shared_store(), None);
    /// # Ok::<_, tower_obo::ConfigErrors>(())
    /// ```
    #[must_use]
    pub fn shared_store(&self) -> Option<SharedStoreUsage> {
        self.0.tokens.shared_usage()
    }

    fn first_sight<'t>(&self, candidate: &'t [u8], key: Digest, now: Timestamp) -> Sight<'t> {
        let inner = &*self.0;
        let token = match bearer::parse(candidate) {
            Ok(token) => token,
            Err(error) => return Sight::Refused(Rejection::bearer(error, &inner.challenge)),
        };
        let keys = self.current_keys(now);
        match inner.validator.judge(token, keys.as_deref(), now) {
            Ok(valid) => {
                let admission = Admission::new(valid, self.slots());
                Sight::Admission(inner.admissions.insert(key, admission))
            }
            Err(TokenDefect::UnknownKey) => Sight::KeysNeeded(KeysNeeded {
                token,
                reason: match keys {
                    Some(_) => RefreshReason::UnknownKey,
                    None => RefreshReason::NoKeys,
                },
                judged_by: keys,
            }),
            Err(defect) => Sight::Refused(Rejection::token(defect, &inner.challenge)),
        }
    }

    fn slot_of(&self, target: &Arc<Target>) -> usize {
        let mut known = self.downstreams();
        if let Some(slot) = known.iter().position(|known| known == target) {
            return slot;
        }
        known.push(Arc::clone(target));
        known.len() - 1
    }

    fn slots(&self) -> usize {
        self.downstreams().len()
    }

    fn downstreams(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Target>>> {
        self.0
            .downstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn rejection(&self, kind: RejectionKind, detail: &'static str) -> Rejection {
        Rejection::new(kind, detail, &self.0.challenge)
    }

    fn refuse(&self, rejection: Rejection, headers: &HeaderMap) -> Decision {
        Decision::Refuse(self.report(rejection.for_grpc(is_grpc(headers))))
    }

    /// Every refusal of a request passes here once.
    fn report(&self, rejection: Rejection) -> Rejection {
        self.0.tokens.report(rejection)
    }
}

/// What the first look at a token says.
enum Sight<'t> {
    Admission(Arc<Admission>),
    /// The token might be valid by newer keys.
    KeysNeeded(KeysNeeded<'t>),
    Refused(Rejection),
}

struct KeysNeeded<'t> {
    token: &'t str,
    reason: RefreshReason,
    /// Those that do not have its key.
    judged_by: Option<Arc<KeySet>>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("validator", &self.0.validator)
            .field("ready", &self.is_ready())
            .finish_non_exhaustive()
    }
}
