//! `obo-gateway health`: asks a gateway that runs how it is, for containers without a shell or curl.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::run::reachable;

/// Longer than any probe's own time-out would be of no use.
const TIMEOUT: Duration = Duration::from_secs(3);

/// An answer is a line or a few.
const MOST: u64 = 64 * 1024;

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// Whether requests can be served (`/readyz`).
    Ready,
    /// Whether the process answers at all (`/livez`).
    Live,
}

impl Probe {
    const fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::Live => "/livez",
        }
    }
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether the answer was 200.
    pub healthy: bool,
    /// What the gateway says, a line without its end.
    pub text: String,
}

/// Asks the admin listener at `address`; one that listens on all addresses is asked on loopback.
///
/// ```no_run
/// use obo_gateway::health::{Probe, ask};
///
/// let health = ask(([127, 0, 0, 1], 9090).into(), Probe::Ready)?;
/// println!("{}", health.text);
/// # Ok::<_, std::io::Error>(())
/// ```
///
/// # Errors
///
/// Nothing listens there, it does not answer within three seconds, or what it says is no HTTP.
pub fn ask(address: SocketAddr, probe: Probe) -> io::Result<Health> {
    let address = reachable(address);
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the answer ends where the connection does.
    let path = probe.path();
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    let read = stream.take(MOST).read_to_string(&mut answer);
    read.map_err(|error| match error.kind() {
        // What a socket says whose time is over.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("there is no answer within {} s", TIMEOUT.as_secs()),
        ),
        _ => error,
    })?;
    parse(&answer).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{address} gives no answer in HTTP"),
        )
    })
}

fn parse(answer: &str) -> Option<Health> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Health {
        healthy: status == "200",
        text: body.trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_health() {
        let of = |status: &str| {
            parse(&format!(
                "HTTP/1.0 {status}\r\nserver: x\r\n\r\nsome text\n"
            ))
        };
        assert!(of("200 OK").unwrap().healthy);
        for bad in ["503 Service Unavailable", "2000 OK", "404 Not Found", ""] {
            assert!(!of(bad).unwrap().healthy, "{bad}");
        }
        assert_eq!(of("503 x").unwrap().text, "some text");
    }

    #[test]
    fn who_says_nothing_is_said_to() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = ask(silent.local_addr().unwrap(), Probe::Live).unwrap_err();
        assert_eq!(error.to_string(), "there is no answer within 3 s");
    }

    #[test]
    fn what_is_no_http_is_no_answer() {
        for answer in ["", "hello\r\n\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1200"] {
            assert_eq!(parse(answer), None, "{answer:?}");
        }
    }
}
