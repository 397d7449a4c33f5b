//! An upstream that takes nothing but well-formed HTTP/1.1 requests and remembers what it saw.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::read::is_token;

/// A whole request.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) id: u64,
    pub(super) method: String,
    pub(super) target: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.id,
            self.method,
            self.target.escape_ascii()
        )?;
        for (name, value) in &self.headers {
            write!(f, " | {name}: {}", value.escape_ascii())?;
        }
        write!(f, " | {}", self.body.escape_ascii())
    }
}

impl Seen {
    fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.headers.iter().filter(|(own, _)| own == name);
        named.map(|(_, value)| &**value).collect()
    }

    /// Which header should not have come, or should have; `token` is the caller's, where it has one.
    pub(super) fn complaint(&self, token: Option<&str>) -> Option<String> {
        for name in ["keep-alive", "proxy-connection", "upgrade"] {
            if !self.all(name).is_empty() {
                return Some(format!("{name} has arrived"));
            }
        }
        // Where nobody has to have one, none; else the API's, which is for the same user.
        let authorization = self.all("authorization");
        let is_right = match token {
            None => authorization.is_empty(),
            Some(token) => {
                let [own] = authorization[..] else {
                    return Some("authorization".to_owned());
                };
                own.starts_with(b"Bearer ey") && own[7..] != *token.as_bytes()
            }
        };
        if !is_right {
            return Some("authorization".to_owned());
        }
        // What CGI and its like take for headers that say where the message ends.
        for (name, _) in &self.headers {
            let folded = name.replace(|byte: char| !byte.is_ascii_alphanumeric(), "-");
            let frames = [
                "transfer-encoding",
                "content-length",
                "keep-alive",
                "proxy-connection",
            ];
            if folded != *name && frames.contains(&folded.as_str()) {
                return Some(format!("{name} has arrived"));
            }
        }
        // The gateway's own word to the upstream.
        let connection = self.all("connection");
        if !connection.is_empty() && (connection != [b"te"] || self.all("te") != [b"trailers"]) {
            return Some("connection has arrived".to_owned());
        }
        if self.all("host").len() != 1 || self.all("host")[0].starts_with(b"gw") {
            return Some("host".to_owned());
        }
        let forwarded = self.all("forwarded");
        if forwarded.len() != 1 || forwarded[0].windows(7).any(|part| part == b"6.6.6.6") {
            return Some("forwarded".to_owned());
        }
        None
    }

    fn source(&self) -> Option<Ipv4Addr> {
        match &*self.all("x-forwarded-for") {
            [one] => std::str::from_utf8(one).ok()?.parse().ok(),
            _ => None,
        }
    }
}

pub(super) struct Recorder {
    address: SocketAddr,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    next: u64,
    seen: Vec<(Ipv4Addr, Seen)>,
    violations: Vec<String>,
}

impl Recorder {
    pub(super) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            log: Mutex::default(),
        });
        let accepting = Arc::clone(&recorder);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&accepting).serve(stream));
            }
        });
        recorder
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests that came from this client, in order; they are forgotten.
    pub(super) fn seen_from(&self, client: Ipv4Addr) -> Vec<Seen> {
        let seen = &mut self.log.lock().unwrap().seen;
        let own = seen.extract_if(.., |(source, _)| *source == client);
        own.map(|(_, seen)| seen).collect()
    }

    /// Whatever came that was no request.
    pub(super) fn violations(&self) -> Vec<String> {
        self.log.lock().unwrap().violations.clone()
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        loop {
            match parse(&bytes) {
                Ok(Some((request, length))) => {
                    bytes.drain(..length);
                    let answer = self.record(request);
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
                // An upload that broke off is no violation: it is not complete.
                Ok(None) => match stream.read_buf(&mut bytes).await {
                    Ok(1..) => {}
                    _ => return,
                },
                Err(what) => {
                    let what = format!("{what}: {}", bytes.escape_ascii());
                    self.log.lock().unwrap().violations.push(what);
                    return;
                }
            }
        }
    }

    fn record(&self, mut seen: Seen) -> String {
        let mut log = self.log.lock().unwrap();
        let Some(source) = seen.source() else {
            let what = format!("no source: {seen:?}");
            log.violations.push(what);
            return String::new();
        };
        log.next += 1;
        seen.id = log.next;
        let body = if seen.method == "HEAD" { "" } else { "ok" };
        let id = seen.id;
        log.seen.push((source, seen));
        format!("HTTP/1.1 200 OK\r\nx-upstream-id: {id}\r\ncontent-length: 2\r\n\r\n{body}")
    }
}

/// Reads one request to the letter of RFC 9112, as a gateway has to write it; `None` if it is not
/// all there.
fn parse(bytes: &[u8]) -> Result<Option<(Seen, usize)>, &'static str> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = split_lines(&bytes[..end])?.into_iter();
    let line: Vec<&[u8]> = lines
        .next()
        .ok_or("nothing")?
        .split(|byte| *byte == b' ')
        .collect();
    let [method, target, b"HTTP/1.1"] = *line else {
        return Err("request line");
    };
    let method_is_token = !method.is_empty() && method.iter().all(|byte| is_token(*byte));
    let query = target
        .iter()
        .position(|byte| *byte == b'?')
        .unwrap_or(target.len());
    let target_is_plain = target.starts_with(b"/")
        && target[..query].iter().all(|byte| (0x21..0x7f).contains(byte))
        // A query passes as it came, also where its characters should have been encoded.
        && target[query..].iter().all(|byte| *byte > 0x20 && *byte != 0x7f);
    if !method_is_token || !(target_is_plain || target == b"*") {
        return Err("method or target");
    }
    let mut seen = Seen {
        id: 0,
        method: String::from_utf8_lossy(method).into_owned(),
        target: target.to_vec(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    for line in lines {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or("no colon")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err("header name");
        }
        if value
            .iter()
            .any(|byte| matches!(byte, 0..=8 | 10..=31 | 127))
        {
            return Err("header value");
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        seen.headers.push((name, value.to_vec()));
    }
    let start = end + 4;
    let length = match (
        &*seen.all("transfer-encoding"),
        &*seen.all("content-length"),
    ) {
        ([], []) => Some((Vec::new(), 0)),
        ([b"chunked"], []) => chunked(&bytes[start..], &seen.all("trailer"))?,
        ([], [length]) => {
            let text = std::str::from_utf8(length).map_err(|_| "length")?;
            if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err("length");
            }
            let length: usize = text.parse().map_err(|_| "length")?;
            // Of a length that no body has, all of it never comes.
            let end = start.checked_add(length);
            end.and_then(|end| bytes.get(start..end))
                .map(|body| (body.to_vec(), length))
        }
        _ => return Err("ambiguous framing"),
    };
    Ok(length.map(|(body, length)| {
        seen.body = body;
        (seen, start + length)
    }))
}

fn split_lines(head: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    head.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .map(|line| {
            if line.contains(&b'\r') {
                Err("bare CR")
            } else {
                Ok(line)
            }
        })
        .collect()
}

type Decoded = Option<(Vec<u8>, usize)>;

fn chunked(bytes: &[u8], announced: &[&[u8]]) -> Result<Decoded, &'static str> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            return if bytes.len() > at + 20 {
                Err("chunk size")
            } else {
                Ok(None)
            };
        };
        let text = std::str::from_utf8(&bytes[at..at + end]).map_err(|_| "chunk size")?;
        let hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(text, 16).map_err(|_| "chunk size")?;
        if !hex {
            return Err("chunk size");
        }
        at += end + 2;
        if size == 0 {
            let length = trailers(&bytes[at..], announced)?;
            return Ok(length.map(|length| (body, at + length)));
        }
        let Some(chunk) = bytes.get(at..at + size + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            return Err("end of chunk");
        }
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
    }
}

/// How long the trailers are, the empty line behind them included: whole fields, each of a name that
/// the head has announced.
fn trailers(bytes: &[u8], announced: &[&[u8]]) -> Result<Option<usize>, &'static str> {
    let mut at = 0;
    loop {
        let Some(end) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let line = &bytes[at..at + end];
        at += end + 2;
        if line.is_empty() {
            return Ok(Some(at));
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or("trailer")?;
        let whole = !line[colon..].iter().any(u8::is_ascii_control);
        if !whole
            || !announced
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&line[..colon]))
        {
            return Err("trailer");
        }
    }
}
