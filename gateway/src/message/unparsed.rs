//! What hyper answers by itself, before there is a request, in the form of the gateway's own refusals.

use bytes::Bytes;
use http::StatusCode;

use super::answer::{Answer, REQUEST_ID};
use crate::metrics::Refusal;

/// What hyper says of the body that it has none of.
const NO_BODY: &str = "content-length: 0\r\n";

/// A refusal as it is counted and logged.
#[derive(Debug, PartialEq)]
pub(crate) struct Unparsed {
    pub(crate) id: String,
    pub(crate) status: StatusCode,
    pub(crate) refusal: Refusal,
}

/// The whole of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Explained {
    pub(crate) bytes: Bytes,
    pub(crate) refused: Unparsed,
}

/// The same answer with a document that says what is wrong, or `None` where this is none that hyper
/// gives itself: 400 for what is no head of HTTP/1, 414 and 431 for a head that it reads no further.
///
/// `has_body` is false where the request may be a HEAD, whose answer has no body: then there is no
/// document, but what names the answer is there.
pub(crate) fn explain(own: &[u8], has_body: bool) -> Option<Explained> {
    let own = std::str::from_utf8(own).ok()?;
    let answer = match own.get(..13)? {
        "HTTP/1.1 400 " => Answer::bad_framing("the head is none of HTTP/1"),
        "HTTP/1.1 414 " => Answer::target_too_long(),
        "HTTP/1.1 431 " => Answer::head_too_large(),
        _ => return None,
    };
    let (before, after) = own.split_once(NO_BODY)?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let document = answer.document_for(&id);
    let refused = Unparsed {
        status: answer.status(),
        refusal: answer.refusal(),
        id,
    };
    let id = &refused.id;
    let common = format!("cache-control: no-store\r\n{REQUEST_ID}: {id}\r\n");
    if !has_body {
        let bytes = format!("{before}{common}{NO_BODY}{after}").into();
        return Some(Explained { bytes, refused });
    }
    let head = format!(
        "{before}content-type: application/problem+json\r\n{common}content-length: {}\r\n{after}",
        document.len()
    );
    let bytes = [head.as_bytes(), &document].concat().into();
    Some(Explained { bytes, refused })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                       date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

    fn text(explained: Option<Explained>) -> String {
        let explained = explained.unwrap();
        assert_eq!(explained.refused.status, 400);
        assert_eq!(explained.refused.refusal.problem, "bad-request");
        String::from_utf8(explained.bytes.to_vec()).unwrap()
    }

    #[test]
    fn what_hyper_said_stays_and_a_document_comes_with_it() {
        let said = text(explain(OWN.as_bytes(), true));
        let (head, document) = said.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n"));
        assert!(head.ends_with("\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(head.contains(&format!("content-length: {}\r\n", document.len())));
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        assert_eq!(document["type"], "urn:tower-obo:problem:bad-request");
        let id = document["correlation_id"].as_str().unwrap();
        assert!(head.contains(&format!("x-request-id: {id}\r\n")), "{head}");
    }

    #[test]
    fn the_answer_to_what_may_be_a_head_request_has_no_body() {
        let said = text(explain(OWN.as_bytes(), false));
        assert!(said.ends_with("GMT\r\n\r\n"), "{said}");
        assert!(said.contains("\r\ncontent-length: 0\r\n"), "{said}");
        assert!(said.contains("\r\nx-request-id: "), "{said}");
        assert!(!said.contains("content-type"), "{said}");
    }

    #[test]
    fn what_is_none_of_its_answers_stays_as_it_is() {
        for other in [
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "HTTP/1.1",
            "",
        ] {
            assert_eq!(explain(other.as_bytes(), true), None, "{other}");
        }
        assert_eq!(explain(b"\xff", true), None);
    }
}
