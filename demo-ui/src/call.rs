//! What became of one call of the API: when, how long, and what the parts on the way said about it.

use std::time::Duration;

use axum::http::HeaderMap;
use oauth2::AccessToken;
use time::OffsetDateTime;

use crate::claims::Claims;
use crate::clock;
use crate::problem::shorten;

/// Most metrics that are read of one answer.
const MAX_METRICS: usize = 32;

/// One call that was answered with a list.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// When it was answered.
    pub(crate) at: OffsetDateTime,
    /// From sending to the end of the answer, as this app saw it; the first page only.
    pub(crate) took: Duration,
    /// Names the request in the gateway's logs.
    pub(crate) request_id: Option<String>,
    pub(crate) times: Times,
    /// What the user's token says that this app sent.
    pub(crate) sent: Option<Claims>,
    /// What the token says that the API sent on, if it tells.
    pub(crate) handed: Option<Claims>,
}

/// Milliseconds, as `Server-Timing` has them. Each is there if somebody said so.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Times {
    /// The gateway judged the token.
    pub(crate) validation: Option<f64>,
    /// The gateway waited for a downstream token; `None` where it was at hand.
    pub(crate) exchange: Option<f64>,
    /// The API, as the gateway saw it.
    pub(crate) upstream: Option<f64>,
    /// All of it, at the gateway.
    pub(crate) total: Option<f64>,
    /// Azure Resource Manager, as the API saw it.
    pub(crate) arm: Option<f64>,
}

impl Call {
    pub(crate) fn new(token: &AccessToken, headers: &HeaderMap, took: Duration) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            at: clock::now(),
            took,
            request_id: text("x-request-id").map(shorten),
            times: Times::of(headers),
            sent: Claims::of_token(token.secret()),
            handed: text("x-demo-token-claims").and_then(Claims::of_payload),
        }
    }

    /// Whether the gateway had to ask Entra ID for a token.
    pub(crate) fn was_exchanged(&self) -> bool {
        self.times.exchange.is_some()
    }
}

impl Times {
    /// Metrics that nobody here knows are left alone.
    fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all("server-timing").iter();
        let metrics = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .take(MAX_METRICS);
        let mut times = Self::default();
        for metric in metrics {
            let mut parts = metric.split(';').map(str::trim);
            let place = match parts.next() {
                Some("obo-validation") => &mut times.validation,
                Some("obo-exchange") => &mut times.exchange,
                Some("obo-upstream") => &mut times.upstream,
                Some("obo-total") => &mut times.total,
                Some("arm") => &mut times.arm,
                _ => continue,
            };
            *place = parts
                .find_map(|part| part.strip_prefix("dur="))
                .and_then(|ms| ms.parse().ok())
                .filter(|ms: &f64| ms.is_finite() && *ms >= 0.);
        }
        times
    }

    /// Whether a gateway stands in front of the API and says what it did.
    pub(crate) fn has_gateway(&self) -> bool {
        self.total.is_some()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn times(values: &[&str]) -> Times {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("server-timing", HeaderValue::from_str(value).unwrap());
        }
        Times::of(&headers)
    }

    #[test]
    fn times_are_read_from_all_lines() {
        let read = times(&[
            "arm;dur=4.5;desc=\"x\"",
            "obo-validation;dur=0.1, obo-total; dur=50,other;dur=9",
        ]);
        let expected = Times {
            validation: Some(0.1),
            total: Some(50.),
            arm: Some(4.5),
            ..Times::default()
        };
        assert_eq!(read, expected);
        assert!(read.has_gateway());
    }

    #[test]
    fn nonsense_is_no_time() {
        for value in [
            "arm",
            "arm;dur=",
            "arm;dur=-1",
            "arm;dur=inf",
            "arm;dur=NaN",
            ";;,,",
            "x",
        ] {
            assert_eq!(times(&[value]), Times::default(), "{value}");
        }
    }
}
