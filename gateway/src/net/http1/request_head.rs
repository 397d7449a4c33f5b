//! The head of a request (RFC 9112 §3 to §6).

use std::io::Write as _;

use http::{
    HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    request::Parts,
};
use hyper::body::Body as _;

use super::Error;
use crate::message::{body::RequestBody, hop::Hop};

/// How the body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes of it are still to come.
    Length(u64),
    Chunked,
}

/// Writes the head to the end of `out`, and says how its body is to be sent where it has one.
///
/// # Errors
///
/// The length that is said is not that of the body.
pub(super) fn write(
    out: &mut Vec<u8>,
    head: &Parts,
    body: &RequestBody,
    hop: Hop<'_>,
) -> Result<Option<Framing>, Error> {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    hop.write_host(out);
    let has_body = !body.is_end_stream();
    let (mut length, mut chunked, mut asked) = (None, false, None);
    for (name, value) in &head.headers {
        if *name == HOST {
            asked = Some(value);
        } else if *name == TRANSFER_ENCODING {
            // Said below, of a body that there is.
            chunked = true;
        } else if *name == CONTENT_LENGTH && has_body {
            length = Some(value);
        } else {
            field(out, name, value);
        }
    }
    hop.write_way(out, asked);
    let framing = if has_body {
        let known = body.size_hint().exact();
        Some(framing(length, chunked, known)?)
    } else {
        None
    };
    match framing {
        Some(Framing::Chunked) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // Writing to memory does not fail.
        Some(Framing::Length(length)) => drop(write!(out, "content-length: {length}\r\n")),
        None => {}
    }
    out.extend_from_slice(b"\r\n");
    Ok(framing)
}

/// Chunks where they are asked for or the length is known to nobody.
fn framing(
    said: Option<&HeaderValue>,
    chunked: bool,
    known: Option<u64>,
) -> Result<Framing, Error> {
    if chunked {
        return Ok(Framing::Chunked);
    }
    let said = match said {
        Some(said) => {
            let said = said.to_str().ok().and_then(|said| said.parse().ok());
            Some(said.ok_or(Error::Length)?)
        }
        None => None,
    };
    match (said, known) {
        (Some(said), Some(known)) if said != known => Err(Error::Length),
        (Some(length), _) | (None, Some(length)) => Ok(Framing::Length(length)),
        (None, None) => Ok(Framing::Chunked),
    }
}

/// One line. Names and values cannot hold what would end it.
pub(super) fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::{
        config::Limits,
        message::{exchange::Client, upload::Upload},
        net::watch::Watches,
    };

    const FIRST: &str = Hop::FIRST;
    const LAST: &str = Hop::LAST;

    fn written(request: http::request::Builder, body: &'static str) -> (String, Option<Framing>) {
        let watch = Watches::new(&Limits::default()).add();
        let upload = Upload::Whole(body.into());
        let (head, body) = (request.body(RequestBody::new(upload, watch)))
            .unwrap()
            .into_parts();
        let mut out = Vec::new();
        let client = Client::on_loopback();
        let hop = Hop::told(&client);
        let framing = write(&mut out, &head, &body, hop).unwrap();
        (String::from_utf8(out).unwrap(), framing)
    }

    #[test]
    fn a_head_is_its_target_and_its_fields_and_how_the_body_comes() {
        let get = Request::get("/a/b?c=d")
            .header("host", "x")
            .header("cookie", "a")
            .header("cookie", "b")
            .header("transfer-encoding", "chunked");
        let text = format!("GET /a/b?c=d HTTP/1.1\r\n{FIRST}cookie: a\r\ncookie: b\r\n{LAST}\r\n");
        assert_eq!(written(get, ""), (text, None));
        let nothing = Request::post("/").header("content-length", "0");
        let text = format!("POST / HTTP/1.1\r\n{FIRST}content-length: 0\r\n{LAST}\r\n");
        assert_eq!(written(nothing, ""), (text, None));
        let text = format!("POST / HTTP/1.1\r\n{FIRST}{LAST}content-length: 5\r\n\r\n");
        let with_length = Request::post("/").header("content-length", "5");
        for request in [Request::post("/"), with_length] {
            let wanted = (text.clone(), Some(Framing::Length(5)));
            assert_eq!(written(request, "hello"), wanted);
        }
        let both = Request::post("/")
            .header("content-length", "5")
            .header("transfer-encoding", "chunked");
        let text = format!("POST / HTTP/1.1\r\n{FIRST}{LAST}transfer-encoding: chunked\r\n\r\n");
        assert_eq!(written(both, "hello"), (text, Some(Framing::Chunked)));
        let options = Request::options("*");
        let text = format!("OPTIONS * HTTP/1.1\r\n{FIRST}{LAST}\r\n");
        assert_eq!(written(options, ""), (text, None));
    }

    #[test]
    fn a_length_that_is_not_the_body_s_is_not_sent() {
        let say = |text| framing(Some(&HeaderValue::from_static(text)), false, Some(5)).ok();
        assert_eq!(say("5"), Some(Framing::Length(5)));
        for bad in ["4", "6", "x", "", "5, 5"] {
            assert_eq!(say(bad), None, "{bad}");
        }
        assert_eq!(framing(None, false, None).unwrap(), Framing::Chunked);
    }
}
