//! The emulator's idea of now: the system's clock plus an offset that tests move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

const ENTRA: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
const COMPACT: &[FormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");
const GRAPH: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
const US: &[FormatItem<'_>] = format_description!(
    "[month padding:none]/[day padding:none]/[year] [hour repr:12 padding:none]:[minute]:[second] [period]"
);
const X509: &[FormatItem<'_>] =
    format_description!("[year repr:last_two][month][day][hour][minute][second]Z");

/// Seconds since 1970, movable forwards.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset: AtomicI64,
}

impl Clock {
    /// Unix time in seconds.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's clock"
    )]
    pub(crate) fn now(&self) -> i64 {
        let system = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() as i64);
        system.saturating_add(self.offset.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        self.offset.fetch_add(by, Ordering::Relaxed);
    }
}

/// `2026-01-01 00:00:00Z`, as in the errors of the token endpoint.
pub(crate) fn entra_time(unix: i64) -> String {
    formatted(unix, ENTRA)
}

/// `20260101T000000Z`, as in ARM's routing request id.
pub(crate) fn compact_time(unix: i64) -> String {
    formatted(unix, COMPACT)
}

/// `1/1/2026 12:00:00 AM`, as in ARM's message about an expired token.
pub(crate) fn us_time(unix: i64) -> String {
    formatted(unix, US)
}

/// `2026-01-01T00:00:00`, as in Graph's errors.
pub(crate) fn graph_time(unix: i64) -> String {
    formatted(unix, GRAPH)
}

/// `2026-01-01T00:00:00Z` (RFC 3339), as in what Graph shows.
pub(crate) fn rfc3339_time(unix: i64) -> String {
    graph_time(unix) + "Z"
}

/// Seconds since 1970 of such a time; fractions of a second don't count.
pub(crate) fn from_rfc3339(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(time.unix_timestamp())
}

/// X.509's UTCTime, good until 2049.
pub(crate) fn x509_time(unix: i64) -> String {
    formatted(unix, X509)
}

fn formatted(unix: i64, format: &[FormatItem<'_>]) -> String {
    OffsetDateTime::from_unix_timestamp(unix)
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| unix.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_shapes_that_microsoft_writes() {
        assert_eq!(entra_time(1_767_225_600), "2026-01-01 00:00:00Z");
        assert_eq!(compact_time(1_767_225_600), "20260101T000000Z");
        assert_eq!(us_time(1_767_225_600), "1/1/2026 12:00:00 AM");
        assert_eq!(graph_time(1_767_225_600), "2026-01-01T00:00:00");
        assert_eq!(x509_time(1_767_225_600), "260101000000Z");
        assert_eq!(rfc3339_time(1_767_225_600), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        for text in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.1234567Z",
            "2026-01-01T00:00:00+00:00",
            "2025-12-31T22:30:00-01:30",
        ] {
            assert_eq!(from_rfc3339(text), Some(1_767_225_600), "{text}");
        }
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00.xZ",
        ] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn advancing_moves_now() {
        let clock = Clock::default();
        let before = clock.now();
        clock.advance(Duration::from_secs(3600));
        assert!(clock.now() >= before + 3600);
    }
}
