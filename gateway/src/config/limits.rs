//! Limits and time-outs: of the process, and of one route.

use std::time::Duration;

/// Limits of one route; what is `None` is that of [`Limits`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RouteLimits {
    /// Bytes of a request body.
    pub body_bytes: Option<u64>,
    /// Requests at once, in the whole process; beyond: 503.
    pub requests: Option<usize>,
    /// How long the upstream may take to begin its answer.
    pub response_timeout: Option<Duration>,
    /// How long a body in either direction may stand still.
    pub idle_timeout: Option<Duration>,
    /// How long all of a request may take, from its head to the end of its answer.
    pub total_timeout: Option<Duration>,
}

/// Limits and time-outs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Requests at once in the whole process; beyond: 503.
    pub requests: usize,
    /// Requests at once of one client address (of IPv6: one /64), unless it is a trusted proxy;
    /// beyond: 503. `None`: half of all. Fewer where others leave less, unless it is all of them; and
    /// the same part of the connections.
    pub requests_per_client: Option<usize>,
    /// Client connections at once; new ones wait beyond.
    pub connections: usize,
    /// Token exchanges at once; callers wait a bounded time beyond, then 503.
    pub exchanges: usize,
    /// Bytes of a caller's token.
    pub token_bytes: usize,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Header fields of a request.
    pub head_fields: usize,
    /// Bytes of a request's path and query.
    pub target_bytes: usize,
    /// Bytes of a request body, where the route says nothing; `None`: any.
    pub body_bytes: Option<u64>,
    /// How long a request head may take from its first byte to its last.
    pub head_timeout: Duration,
    /// How long connecting to the upstream may take.
    pub connect_timeout: Duration,
    /// How long the upstream may take from the end of the request to its response head.
    pub response_timeout: Duration,
    /// How long a connection between requests, or a body in either direction, may stand still.
    pub idle_timeout: Duration,
    /// How long all of a request may take, where the route says nothing; `None`: any time.
    pub total_timeout: Option<Duration>,
    /// How long one call of the token endpoint may take.
    pub exchange_timeout: Duration,
    /// How long a request waits for signing keys that are being fetched.
    pub keys_timeout: Duration,
}

impl Limits {
    /// Requests at once of one client address.
    pub(crate) fn of_one_client(&self) -> usize {
        self.requests_per_client
            .unwrap_or_else(|| self.requests.div_ceil(2))
    }

    /// Connections of one client address: the same part of all.
    pub(crate) fn connections_of_one_client(&self) -> usize {
        let part = self.connections.saturating_mul(self.of_one_client());
        part.div_ceil(self.requests.max(1))
            .clamp(1, self.connections.max(1))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 1024,
            requests_per_client: None,
            connections: 10_000,
            exchanges: 128,
            token_bytes: 16 * 1024,
            head_bytes: 64 * 1024,
            head_fields: 100,
            target_bytes: 16 * 1024,
            body_bytes: None,
            head_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            total_timeout: None,
            exchange_timeout: Duration::from_secs(10),
            keys_timeout: Duration::from_secs(2),
        }
    }
}
