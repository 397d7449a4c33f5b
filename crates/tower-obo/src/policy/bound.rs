//! A policy as the core that it belongs to knows it.

use std::{fmt, sync::Arc};

use http::HeaderName;

use super::Downstream;
use crate::{
    AccessPolicy, ExchangeError, challenge::ChallengeContext, inject::Strip,
    tokens::DownstreamTokens,
};

/// A [`Policy`](crate::Policy) that belongs to a core.
pub struct BoundPolicy {
    pub(crate) access: Option<AccessPolicy>,
    pub(crate) downstreams: Box<[BoundDownstream]>,
    /// Those whose tokens the handler asks for.
    pub(crate) on_demand: Box<[BoundDownstream]>,
    pub(crate) identity_headers: Box<[(Box<str>, HeaderName)]>,
    pub(crate) strip: Strip,
    pub(crate) pass_caller_token: bool,
    /// The store of the core it belongs to: the numbers of downstreams mean nothing to another.
    pub(crate) store: Arc<DownstreamTokens>,
    /// As whom that core asks for tokens.
    pub(crate) client: Arc<[Box<str>]>,
    /// What challenges say, also those that a downstream API causes.
    pub(crate) challenge: Arc<ChallengeContext>,
}

/// A downstream as the core knows it.
#[derive(Clone, Debug)]
pub(crate) struct BoundDownstream {
    pub(crate) downstream: Downstream,
    /// Its slot in an admission. Given by content, never twice, so that a reload that moves things
    /// about never finds a token of something else.
    pub(crate) slot: usize,
    pub(crate) header: Option<HeaderName>,
}

impl BoundDownstream {
    /// Whether its tokens are those of the user who calls.
    pub(crate) fn has_subject(&self) -> bool {
        self.downstream.grant().has_subject()
    }

    /// What the failure to get a token means for the caller.
    pub(crate) fn judge(&self, error: ExchangeError) -> ExchangeError {
        match self.has_subject() {
            true => error,
            false => error.of_application(),
        }
    }
}

impl fmt::Debug for BoundPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundPolicy")
            .field("access", &self.access)
            .field("downstreams", &self.downstreams)
            .field("on_demand", &self.on_demand)
            .finish_non_exhaustive()
    }
}

impl BoundPolicy {
    /// Whether a token is asked for that only a user can have.
    pub(crate) fn needs_user(&self) -> bool {
        self.downstreams.iter().any(BoundDownstream::has_subject)
    }

    /// Whether everybody is let in.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        self.access.is_none()
    }
}
