//! A second opinion on HTTP/1: what a client's bytes say, and what came back.
//!
//! It takes what RFC 9112 lets a server take (bare LF as a line end, empty lines before a request,
//! zeros before a chunk size) and no more, so whatever was forwarded has to be a request here too.

/// What stands at a place of the client's bytes.
#[derive(Debug)]
pub(super) enum Message {
    Whole(Request),
    /// Not a request, or not all of one. Nothing is read behind it.
    Broken {
        to_head: bool,
    },
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    target: Vec<u8>,
    /// Readers differ about trailers, so nothing may be read behind them.
    trailers: bool,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// What has to arrive of the target: its path and query (RFC 9112 §3.2.2).
    pub(super) fn path(&self) -> Vec<u8> {
        let target = &self.target;
        let Some(scheme) = ["http://", "https://"].iter().find(|scheme| {
            target.len() >= scheme.len()
                && target[..scheme.len()].eq_ignore_ascii_case(scheme.as_bytes())
        }) else {
            return target.clone();
        };
        let rest = &target[scheme.len()..];
        match rest.iter().position(|byte| matches!(byte, b'/' | b'?')) {
            Some(at) if rest[at] == b'/' => rest[at..].to_vec(),
            Some(at) => [b"/", &rest[at..]].concat(),
            None => b"/".to_vec(),
        }
    }
}

/// The requests in a client's bytes, up to the first that is none.
pub(super) fn requests(bytes: &[u8]) -> Vec<Message> {
    let mut rest = Rest(bytes);
    let mut messages = Vec::new();
    while !rest.0.is_empty() {
        let to_head = rest.0.trim_ascii_start().starts_with(b"HEAD ");
        match request(&mut rest) {
            Some(request) => {
                let last = request.trailers;
                messages.push(Message::Whole(request));
                if last {
                    break;
                }
            }
            None => {
                messages.push(Message::Broken { to_head });
                break;
            }
        }
    }
    messages
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// A line without its end.
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

fn request(rest: &mut Rest<'_>) -> Option<Request> {
    let mut line = rest.line()?;
    while line.is_empty() {
        line = rest.line()?;
    }
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        return None;
    }
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    loop {
        let line = rest.line()?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || name.iter().any(|byte| !is_token(*byte)) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths.push(value);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings.push(value);
        }
    }
    let mut with_trailers = false;
    let body = match (&*codings, &*lengths) {
        ([coding], _) if coding.eq_ignore_ascii_case(b"chunked") => {
            let body = chunks(rest)?;
            with_trailers = trailers(rest)?;
            body
        }
        ([], []) => Vec::new(),
        ([], lengths) => {
            let mut lengths = lengths.iter().map(|length| decimal(length));
            let first = lengths.next()??;
            // The same number twice is that number (RFC 9112 §6.3).
            if lengths.any(|other| other != Some(first)) {
                return None;
            }
            rest.take(first)?.to_vec()
        }
        _ => return None,
    };
    Some(Request {
        method: String::from_utf8(method.to_vec()).ok()?,
        // A fragment never belongs there; what parses the head here drops it before anybody can see it.
        target: target.split(|byte| *byte == b'#').next()?.to_vec(),
        trailers: with_trailers,
        body,
    })
}

fn decimal(text: &[u8]) -> Option<usize> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}

fn chunks(rest: &mut Rest<'_>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.line()?;
        let size = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
        let hex = !size.is_empty() && size.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(size).ok().filter(|_| hex)?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.take(size)?);
        if !rest.line()?.is_empty() {
            return None;
        }
    }
}

/// The end of a chunked body, and whether trailers stand before it: a line feed alone begins one.
fn trailers(rest: &mut Rest<'_>) -> Option<bool> {
    let trailers = !rest.0.starts_with(b"\r\n");
    if trailers {
        let end = rest.0.windows(4).position(|four| four == b"\r\n\r\n")?;
        rest.take(end + 2)?;
    }
    rest.take(2).map(|_| trailers)
}

pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[derive(Debug)]
pub(super) struct Answer {
    /// Not a 1xx.
    is_final: bool,
    /// The upstream's number of the request that it answers; none for the gateway's own.
    pub(super) upstream_id: Option<u64>,
}

/// The answers in what came back. Whatever the client sent, it is answered in well-formed HTTP/1.1.
/// `None` where it is not.
pub(super) fn answers(bytes: &[u8], requests: &[Message]) -> Option<Vec<Answer>> {
    let mut rest = Rest(bytes);
    let mut answers = Vec::new();
    while !rest.0.is_empty() {
        let to_head = match requests.get(answers.len()) {
            Some(Message::Whole(request)) => request.method == "HEAD",
            Some(Message::Broken { to_head }) => *to_head,
            None => false,
        };
        let answer = answer(&mut rest, to_head)?;
        if answer.is_final {
            answers.push(answer);
        }
    }
    Some(answers)
}

fn answer(rest: &mut Rest<'_>, to_head: bool) -> Option<Answer> {
    // To a client of HTTP/1.0 hyper speaks that.
    let line = rest.line()?.strip_prefix(b"HTTP/1.")?;
    let line = line
        .strip_prefix(b"1 ")
        .or_else(|| line.strip_prefix(b"0 "))?;
    let status: u16 = std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()?;
    let (mut id, mut length, mut chunked) = (None, None, false);
    loop {
        let line = rest.line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "x-upstream-id" => id = Some(value.trim().parse().ok()?),
            "content-length" => length = Some(value.trim().parse().ok()?),
            "transfer-encoding" => chunked = true,
            _ => {}
        }
    }
    if status < 200 {
        return Some(Answer {
            is_final: false,
            upstream_id: None,
        });
    }
    if chunked {
        chunks(rest)?;
        trailers(rest)?;
    } else if !to_head && !matches!(status, 204 | 304) {
        rest.take(length?)?;
    }
    Some(Answer {
        is_final: true,
        upstream_id: id,
    })
}
