//! Whether what came is an answer.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

use crate::message::answer::Answer;

/// Refuses answers whose end two readers could see in different places, and upgrades that nobody
/// asked for.
pub(super) fn check(
    status: StatusCode,
    headers: &HeaderMap<HeaderValue>,
    wants_upgrade: bool,
) -> Result<(), Answer> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        if wants_upgrade {
            return Ok(());
        }
        return Err(
            Answer::bad_upstream("the answer is an upgrade that nobody asked for").closing(),
        );
    }
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
        // hyper takes two lengths for one where they are the same, and would pass both on; so it does
        // with those of answers without a body, whatever they are.
        return Err(ambiguous());
    }
    Ok(())
}

const fn ambiguous() -> Answer {
    Answer::bad_upstream("the answer's framing is ambiguous")
}

/// One number, not a list of equal ones (RFC 9110 §8.6), and not more than anybody can count to.
fn is_length(text: &[u8]) -> bool {
    (1..=19).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(status: u16, lines: &[(&'static str, &'static str)]) -> bool {
        let headers = lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        check(StatusCode::from_u16(status).unwrap(), &headers, false).is_ok()
    }

    #[test]
    fn h1_14_an_ambiguous_answer_is_no_answer() {
        assert!(passes(200, &[("transfer-encoding", "chunked")]));
        assert!(passes(200, &[("content-length", "3")]));
        assert!(!passes(
            200,
            &[("transfer-encoding", "chunked"), ("content-length", "3")]
        ));
        assert!(!passes(200, &[("transfer-encoding", "gzip, chunked")]));
        assert!(!passes(
            200,
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked")
            ]
        ));
        assert!(!passes(200, &[("transfer-encoding", "identity")]));
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
            for status in [200, 204, 304] {
                assert!(!passes(status, &[("content-length", bad)]), "{bad}");
            }
        }
        assert!(passes(304, &[("content-length", "03")]));
        assert!(!passes(
            200,
            &[("content-length", "3"), ("content-length", "3")]
        ));
    }

    #[test]
    fn up_04_an_upgrade_that_nobody_asked_for_is_no_answer() {
        assert!(!passes(101, &[]));
    }
}
