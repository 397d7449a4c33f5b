//! How many reads ARM takes of one principal: a bucket of tokens that fills by itself.
//!
//! <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Principals whose buckets are remembered; beyond, those that are full are forgotten.
const REMEMBERED: usize = 10_000;

/// The size of a bucket, and how fast it fills. Azure's own are [`RateLimit::AZURE`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    bucket: u32,
    per_second: u32,
}

impl RateLimit {
    /// Reads of subscriptions and tenants in Azure: 250, and 25 more each second.
    pub const AZURE: Self = Self {
        bucket: 250,
        per_second: 25,
    };

    /// What is left of Azure's bucket after one read: what answers say where nothing is limited.
    pub(super) const AZURE_AFTER_ONE: u32 = 249;

    /// So many at once (at least one), and so many more each second (at least one).
    #[must_use]
    pub fn new(bucket: u32, per_second: u32) -> Self {
        Self {
            bucket: bucket.max(1),
            per_second: per_second.max(1),
        }
    }
}

/// What is left after a read, or seconds until there is anything.
pub(super) type Taken = Result<u32, u32>;

/// The buckets of all principals of one emulator.
#[derive(Debug, Default)]
pub(crate) struct Buckets(Mutex<HashMap<(String, &'static str), Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    /// When it was last filled, in seconds.
    at: i64,
}

impl Bucket {
    fn fill(&mut self, limit: RateLimit, now: i64) {
        let seconds = u32::try_from(now.saturating_sub(self.at)).unwrap_or(0);
        let more = limit.per_second.saturating_mul(seconds);
        self.left = self.left.saturating_add(more).min(limit.bucket);
        self.at = self.at.max(now);
    }
}

impl Buckets {
    /// A read of one kind by one principal. Who comes back too early waits anew, as at Azure.
    pub(super) fn take(
        &self,
        limit: RateLimit,
        principal: &str,
        kind: &'static str,
        now: i64,
    ) -> Taken {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED {
            buckets.retain(|_, bucket| {
                bucket.fill(limit, now);
                bucket.left < limit.bucket
            });
        }
        let full = Bucket {
            left: limit.bucket,
            at: now,
        };
        let bucket = buckets.entry((principal.to_owned(), kind)).or_insert(full);
        bucket.fill(limit, now);
        match bucket.left.checked_sub(1) {
            Some(left) => {
                bucket.left = left;
                Ok(left)
            }
            // Time is counted in seconds here, and each fills at least one.
            None => Err(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_fills_and_is_one_principals_own() {
        let (buckets, limit) = (Buckets::default(), RateLimit::new(3, 2));
        let take = |who, now| buckets.take(limit, who, "tenant", now);
        assert_eq!(
            [take("a", 0), take("a", 0), take("a", 0)],
            [Ok(2), Ok(1), Ok(0)]
        );
        assert_eq!(take("a", 0), Err(1));
        assert_eq!(take("b", 0), Ok(2));
        assert_eq!(buckets.take(limit, "a", "subscription", 0), Ok(2));
        assert_eq!(take("a", 1), Ok(1), "two came");
        assert_eq!(take("a", 100), Ok(2), "never more than it holds");
    }
}
