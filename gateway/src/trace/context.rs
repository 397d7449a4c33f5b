//! `traceparent` and `tracestate` ([W3C Trace Context]): read from callers, who may write anything, and
//! written for upstreams.
//!
//! [W3C Trace Context]: https://www.w3.org/TR/trace-context/

use std::str::FromStr as _;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanId, TraceId, TraceState};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What version 00 has: `00-<trace>-<span>-<flags>`, in hexadecimal.
const LENGTH: usize = 55;

/// A later version may have more; what is longer than this is not looked at.
const LONGEST: usize = 128;

/// The longest `tracestate` that is passed on, all lines together.
const LONGEST_STATE: usize = 512;

/// Where the caller stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Context {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    /// Whether the caller tells of its part.
    pub(crate) sampled: bool,
}

/// What the one `traceparent` says, if it is well-formed.
pub(crate) fn read(headers: &HeaderMap) -> Option<Context> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    match (all.next(), all.next()) {
        (Some(one), None) => parse(one.as_bytes()),
        _ => None,
    }
}

fn parse(text: &[u8]) -> Option<Context> {
    if text.len() > LONGEST {
        return None;
    }
    let (known, more) = text.split_at_checked(LENGTH)?;
    let parts: Vec<&[u8]> = known.split(|byte| *byte == b'-').collect();
    let [version, trace, span, flags] = parts[..] else {
        return None;
    };
    let version = hex::<1>(version)?;
    let has_room = match version {
        [0] => more.is_empty(),
        [0xff] => false,
        _ => matches!(more.first(), None | Some(b'-')),
    };
    let (trace, span) = (hex(trace)?, hex(span)?);
    let context = Context {
        trace: TraceId::from_bytes(trace),
        span: SpanId::from_bytes(span),
        sampled: hex::<1>(flags)?[0] & 1 == 1,
    };
    let is_some = context.trace != TraceId::INVALID && context.span != SpanId::INVALID;
    (has_room && is_some).then_some(context)
}

/// So many bytes in lower case, as the standard has it.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else {
            return None;
        };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// What `tracestate` says, if it is well-formed; empty where there is none.
pub(crate) fn state(headers: &HeaderMap) -> Option<TraceState> {
    let lines = headers.get_all(TRACESTATE).iter();
    let lines: Vec<&str> = lines
        .map(|line| line.to_str().ok())
        .collect::<Option<_>>()?;
    let all = lines.join(",");
    if all.len() > LONGEST_STATE || all.split(',').count() > 32 {
        return None;
    }
    TraceState::from_str(&all).ok()
}

/// A `traceparent`.
pub(crate) fn write(trace: TraceId, span: SpanId, sampled: bool) -> HeaderValue {
    let flags = u8::from(sampled);
    HeaderValue::try_from(format!("00-{trace}-{span}-{flags:02x}"))
        .unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|line| (name.clone(), line.parse().unwrap()));
        lines.collect()
    }

    fn reads(text: &str) -> Option<Context> {
        read(&headers(TRACEPARENT, &[text]))
    }

    #[test]
    fn what_is_written_is_read_again() {
        for sampled in [false, true] {
            let theirs = reads(&format!("00-{TRACE}-{SPAN}-0{}", u8::from(sampled))).unwrap();
            assert_eq!(theirs.trace.to_string(), TRACE);
            assert_eq!(theirs.span.to_string(), SPAN);
            assert_eq!(theirs.sampled, sampled);
            let ours = write(theirs.trace, theirs.span, sampled);
            assert_eq!(reads(ours.to_str().unwrap()), Some(theirs));
        }
    }

    #[test]
    fn lo_05_a_context_is_taken_only_where_it_is_well_formed() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert!(reads(&good).is_some());
        assert!(
            reads(&format!("cc-{TRACE}-{SPAN}-01")).is_some(),
            "a later version"
        );
        assert!(reads(&format!("cc-{TRACE}-{SPAN}-01-more")).is_some());
        for bad in [
            String::new(),
            "00".to_owned(),
            good.to_uppercase(),
            format!("{good}-more"),
            format!("{good} "),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0g-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01.more"),
            format!("cc-{TRACE}-{SPAN}-01-{}", "a".repeat(128)),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{SPAN}-0"),
            format!("00-{TRACE}{SPAN}--01"),
            format!("00-{}\"-{SPAN}-01", &TRACE[1..]),
        ] {
            assert_eq!(reads(&bad), None, "{bad}");
        }
        let twice = headers(TRACEPARENT, &[&good, &good]);
        assert_eq!(read(&twice), None);
        assert_eq!(read(&HeaderMap::new()), None);
    }

    #[test]
    fn lo_05_a_state_is_taken_only_where_it_is_well_formed() {
        let states = |lines: &[&str]| state(&headers(TRACESTATE, lines));
        assert_eq!(states(&[]), Some(TraceState::default()));
        let two = states(&["congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7"]).unwrap();
        assert_eq!(two.header(), "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
        for bad in ["nothing", "Bad Key=1", &format!("a={}", "b".repeat(600))] {
            assert_eq!(states(&[bad]), None, "{bad}");
        }
    }
}
