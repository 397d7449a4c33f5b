//! Whether what came is an answer.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

use crate::message::answer::Answer;

/// Refuses upgrades that nobody asked for.
pub(super) fn upgrade(status: StatusCode, wants_upgrade: bool) -> Result<(), Answer> {
    if status == StatusCode::SWITCHING_PROTOCOLS && !wants_upgrade {
        let detail = "the answer is an upgrade that nobody asked for";
        return Err(Answer::bad_upstream(detail).closing());
    }
    Ok(())
}

/// Refuses answers over HTTP/2 whose end two readers could see in different places. Over HTTP/1 whoever reads
/// the head does.
pub(super) fn framing(headers: &HeaderMap<HeaderValue>) -> Result<(), Answer> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(first) = codings.next() {
        let plain = first.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        if !plain || headers.contains_key(CONTENT_LENGTH) {
            return Err(ambiguous());
        }
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(first) = lengths.next()
        && !(is_length(first.as_bytes()) && lengths.next().is_none())
    {
        // `h2` takes two lengths for one where they are the same, and would pass both on; so it does
        // with those of answers without a body, whatever they are.
        return Err(ambiguous());
    }
    Ok(())
}

pub(super) const fn ambiguous() -> Answer {
    Answer::bad_upstream("the answer's framing is ambiguous")
}

/// One number, not a list of equal ones (RFC 9110 §8.6), and not more than anybody can count to.
fn is_length(text: &[u8]) -> bool {
    (1..=19).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(lines: &[(&'static str, &'static str)]) -> bool {
        let headers = lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        framing(&headers).is_ok()
    }

    #[test]
    fn h1_14_an_ambiguous_answer_is_no_answer() {
        assert!(passes(&[("transfer-encoding", "chunked")]));
        assert!(passes(&[("content-length", "3")]));
        assert!(passes(&[("content-length", "03")]));
        for bad in [
            [("transfer-encoding", "chunked"), ("content-length", "3")],
            [
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            [("content-length", "3"), ("content-length", "3")],
        ] {
            assert!(!passes(&bad), "{bad:?}");
        }
        assert!(!passes(&[("transfer-encoding", "gzip, chunked")]));
        assert!(!passes(&[("transfer-encoding", "identity")]));
        for bad in [
            "3, 3",
            "3,",
            "",
            "+3",
            "-1",
            " 3",
            "abc",
            "0x3",
            "99999999999999999999",
        ] {
            assert!(!passes(&[("content-length", bad)]), "{bad}");
        }
    }

    #[test]
    fn up_04_an_upgrade_that_nobody_asked_for_is_no_answer() {
        let changed = StatusCode::SWITCHING_PROTOCOLS;
        assert!(upgrade(changed, false).is_err());
        assert!(upgrade(changed, true).is_ok());
        assert!(upgrade(StatusCode::OK, false).is_ok());
    }
}
