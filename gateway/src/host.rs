//! Hosts: which of them a route is for, and which of them this gateway answers for at all.

use std::{fmt, str::FromStr};

/// A host, or every host below a domain.
///
/// `api.example.com` is that host; `*.example.com` is every host below `example.com`, of any depth,
/// but not `example.com` itself. A port may follow. Letter case does not matter. A dot at the end
/// makes another name: whoever sends one has not asked for this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// In lower case; of a wildcard, what follows the `*`, with its dot.
    name: Box<str>,
    below: bool,
    port: Option<u16>,
}

impl HostPattern {
    /// Whether the value of a `Host` fits; its port counts only where the pattern has one.
    #[must_use]
    pub fn matches(&self, host: &[u8]) -> bool {
        let (name, port) = split(host);
        self.fits(name) && self.port.is_none_or(|own| is_port(port, own))
    }

    /// Whether the value of a `Host` fits, and its port too: the pattern's, or else none, or one of
    /// `ours`.
    pub(crate) fn allows(&self, host: &[u8], ours: u16) -> bool {
        let (name, port) = split(host);
        let fits = match self.port {
            Some(own) => is_port(port, own),
            None => port.is_none() || is_port(port, ours),
        };
        self.fits(name) && fits
    }

    fn fits(&self, name: &[u8]) -> bool {
        let own = self.name.as_bytes();
        if !self.below {
            return name.eq_ignore_ascii_case(own);
        }
        name.len().checked_sub(own.len()).is_some_and(|start| {
            start > 0
                && name
                    .get(start..)
                    .is_some_and(|end| end.eq_ignore_ascii_case(own))
        })
    }

    /// Orders patterns, the most specific first.
    pub(crate) fn specificity(&self) -> impl Ord + use<> {
        let length = std::cmp::Reverse(self.name.len());
        (self.below, length, self.port.is_none())
    }
}

/// A `Host` as its name and what follows the colon.
fn split(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let start = host.iter().rposition(|byte| *byte == b']').unwrap_or(0);
    let tail = host.get(start..).unwrap_or_default();
    match tail.iter().position(|byte| *byte == b':') {
        Some(colon) => {
            let (name, port) = host.split_at(start + colon);
            (name, port.get(1..))
        }
        None => (host, None),
    }
}

fn is_port(text: Option<&[u8]>, port: u16) -> bool {
    text.and_then(|text| std::str::from_utf8(text).ok())
        .is_some_and(|text| text.parse() == Ok(port) && !text.starts_with('+'))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.below { "*" } else { "" })?;
        f.write_str(&self.name)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (name, port) = split(text.as_bytes());
        let port = match port.map(std::str::from_utf8) {
            None => None,
            Some(Ok(digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_| HostError)?)
            }
            Some(_) => return Err(HostError),
        };
        let name = std::str::from_utf8(name).map_err(|_| HostError)?;
        let (name, below) = match name.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') => (rest, true),
            Some(_) => return Err(HostError),
            None => (name, false),
        };
        let plain = match name.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')) {
            Some(v6) => !below && v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(name.strip_prefix('.').filter(|_| below).unwrap_or(name)),
        };
        if !plain {
            return Err(HostError);
        }
        Ok(Self {
            name: name.to_ascii_lowercase().into(),
            below,
            port,
        })
    }
}

fn is_name(name: &str) -> bool {
    name.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

/// Why a text is no [`HostPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostError;

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a host is wanted, `api.example.com`, `*.example.com` or `[::1]:8080` for instance, without scheme or path")
    }
}

impl std::error::Error for HostError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_is_one_host_or_all_below_a_domain() {
        for (pattern, fits, does_not) in [
            (
                "API.example.com",
                &["api.example.com", "API.EXAMPLE.COM", "api.example.com:8080"][..],
                &[
                    "api.example.com.",
                    "xapi.example.com",
                    "example.com",
                    "",
                    "api.example.co",
                ][..],
            ),
            (
                "*.example.com",
                &["a.example.com", "a.b.EXAMPLE.com:1"],
                &[
                    "example.com",
                    ".example.com",
                    "aexample.com",
                    "a.example.com.",
                    "a.example.com.evil",
                ],
            ),
            (
                "gw:8080",
                &["gw:8080"],
                &["gw", "gw:80", "gw:", "gw:08080x"],
            ),
            ("[::1]", &["[::1]", "[::1]:80"], &["[::2]", "::1"]),
        ] {
            for text in fits {
                assert!(host(pattern).matches(text.as_bytes()), "{pattern} {text}");
            }
            for text in does_not {
                assert!(!host(pattern).matches(text.as_bytes()), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn pa_12_a_port_that_is_not_ours_is_another_host() {
        let gw = host("gw");
        for good in ["gw", "GW", "gw:8080"] {
            assert!(gw.allows(good.as_bytes(), 8080), "{good}");
        }
        for bad in [
            "gw:81",
            "gw:",
            "gw.",
            "gw.:8080",
            "evil",
            "gw:8080:1",
            "gw:+8080",
            "gw:80808080",
        ] {
            assert!(!gw.allows(bad.as_bytes(), 8080), "{bad}");
        }
        let with_port = host("gw:443");
        assert!(with_port.allows(b"gw:443", 8080));
        assert!(!with_port.allows(b"gw", 8080) && !with_port.allows(b"gw:8080", 8080));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "", "*", "*x", "a.*.b", "http://a", "a/b", "a b", "a.", ".a", "a..b", "a:", "a:x",
            "a:99999", "[::1", "[x]", "*.[::1]", "ä", "u@h", "*.", "a:1:2",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
        for good in ["a", "a-b.c_d", "*.a", "127.0.0.1", "[::1]:8080", "a:80"] {
            assert_eq!(host(good).to_string(), good);
        }
    }

    #[test]
    fn the_longer_name_is_the_more_specific_and_a_whole_one_before_a_wildcard() {
        let mut all = ["*.c", "a.b.c", "*.b.c", "a.b.c:80"].map(host);
        all.sort_by_key(HostPattern::specificity);
        assert_eq!(
            all.map(|host| host.to_string()),
            ["a.b.c:80", "a.b.c", "*.b.c", "*.c"]
        );
    }
}
