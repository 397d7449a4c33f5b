//! Where requests go: the address of an upstream, from its text to an [`Upstream`].

use std::{
    fmt,
    path::{Path, PathBuf},
};

use http::HeaderValue;
use url::Host;

use super::value;

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upstream {
    /// What is spoken there.
    pub protocol: Protocol,
    /// The `Host` header or `:authority` that it gets: its own, whatever the client asked for.
    pub authority: HeaderValue,
    /// A DNS name or an IP address without brackets: what its certificate has to be for.
    pub host: String,
    /// Where to connect to, each as good as any other; at least one.
    pub addresses: Vec<Target>,
    /// How its certificate is judged and what it is shown; only for [`Protocol::Tls`].
    pub tls: UpstreamTls,
}

impl Upstream {
    /// Another address, `http://127.0.0.1:3000` for instance. It may be on another host in the
    /// clear: whoever embeds the gateway decides that.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for a person.
    pub fn set_url(&mut self, url: &str) -> Result<(), String> {
        let Self {
            protocol,
            authority,
            host,
            addresses,
            ..
        } = parse(url, true)?;
        self.protocol = protocol;
        self.authority = authority;
        self.host = host;
        self.addresses = addresses;
        Ok(())
    }
}

impl Upstream {
    pub(super) fn is_a_file(&self) -> bool {
        matches!(self.addresses.as_slice(), [Target::Unix(_)])
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [Target::Unix(path)] = self.addresses.as_slice() {
            return write!(f, "unix:{}", path.display());
        }
        let authority = self.authority.to_str().unwrap_or_default();
        write!(f, "{}://{authority}", self.protocol.scheme())
    }
}

/// What is spoken with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.1 in the clear: `http://`, `unix:`.
    Http1,
    /// HTTP/2 in the clear, without asking first (prior knowledge): `h2c://`.
    Http2,
    /// TLS, and within it HTTP/2 or HTTP/1.1 as the upstream chooses (ALPN): `https://`.
    Tls,
}

impl Protocol {
    const fn scheme(self) -> &'static str {
        match self {
            Self::Http1 => "http",
            Self::Http2 => "h2c",
            Self::Tls => "https",
        }
    }
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// Another process over TCP.
    Tcp {
        /// A DNS name or an IP address, without brackets.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How an upstream's certificate is judged, and what it is shown. There is no way not to judge it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamTls {
    /// The only certification authorities that are believed (PEM); without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate chain and its key (PEM), for an upstream that asks for one.
    pub client: Option<ClientCertificate>,
}

/// Files in PEM form. They are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The certificate, and those between it and the authority's.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl ClientCertificate {
    /// The files' names.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
        }
    }
}

/// The upstream that `text` names.
pub(super) fn parse(text: &str, allow_plaintext: bool) -> Result<Upstream, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(Path::new(path));
    }
    let (protocol, http) = match text.split_once(':') {
        // The rules of `http` are those that are wanted; to the parser `h2c` is a scheme like any.
        Some(("h2c", rest)) => (Protocol::Http2, format!("http:{rest}")),
        Some(("https", _)) => (Protocol::Tls, text.to_owned()),
        Some(("http", _)) => (Protocol::Http1, text.to_owned()),
        _ => {
            return Err(format!(
                "{text:?} is no address such as http://127.0.0.1:3000, https://api.internal, h2c://127.0.0.1:50051 or unix:/run/api.sock"
            ));
        }
    };
    let url = value::url(&http)?;
    if url.path() != "/" || url.query().is_some() {
        return Err("no path may follow the address: paths are forwarded as they came".to_owned());
    }
    if protocol != Protocol::Tls && !allow_plaintext && !value::is_loopback(&url) {
        return Err(format!("{}: {IN_THE_CLEAR}", protocol.scheme()));
    }
    let missing = || "the host is missing".to_owned();
    let host = match url.host().ok_or_else(missing)? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    let name = url.host_str().ok_or_else(missing)?;
    let authority = match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    let authority = HeaderValue::try_from(authority)
        .map_err(|_| "the host cannot stand in a header".to_owned())?;
    let target = Target::Tcp {
        host: host.clone(),
        port: url.port_or_known_default().unwrap_or(80),
    };
    Ok(Upstream {
        protocol,
        authority,
        host,
        addresses: vec![target],
        tls: UpstreamTls::default(),
    })
}

/// `host:port`, another address of an upstream whose name is said elsewhere.
pub(super) fn address(text: &str, allow_plaintext: bool) -> Result<Target, String> {
    let wrong = || format!("{text:?} is no host with a port such as 10.0.0.1:8080");
    // Written like the authority of a URL, which leaves out a port that goes without saying.
    let (_, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let url = value::url(&format!("http://{text}")).map_err(|_| wrong())?;
    if url.path() != "/" || url.query().is_some() {
        return Err(wrong());
    }
    if !allow_plaintext && !value::is_loopback(&url) {
        return Err(format!("{text}: {IN_THE_CLEAR}"));
    }
    let host = match url.host().ok_or_else(wrong)? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    Ok(Target::Tcp { host, port })
}

const IN_THE_CLEAR: &str = "an upstream on another host gets its tokens in the clear; where the network is trusted, set `allow_plaintext_upstream = true`";

fn unix(path: &Path) -> Result<Upstream, String> {
    if !cfg!(unix) {
        return Err("this system has no unix sockets".to_owned());
    }
    if !path.is_absolute() {
        return Err("the path of a unix socket begins with `/`: unix:/run/api.sock".to_owned());
    }
    Ok(Upstream {
        protocol: Protocol::Http1,
        authority: HeaderValue::from_static("localhost"),
        host: "localhost".to_owned(),
        addresses: vec![Target::Unix(path.to_owned())],
        tls: UpstreamTls::default(),
    })
}

#[cfg(test)]
impl Upstream {
    /// The upstream at that address.
    pub(crate) fn at(url: &str) -> Self {
        parse(url, true).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        parse(text, false).map(|upstream| upstream.to_string())
    }

    #[test]
    fn every_kind_of_address_is_read_and_shown_as_it_was_written() {
        for text in [
            "http://127.0.0.1:3000",
            "http://localhost",
            "h2c://127.0.0.1:50051",
            "h2c://[::1]",
            "https://api.internal",
            "https://api.internal:8443",
            "https://10.0.0.1",
            "unix:/run/api.sock",
        ] {
            assert_eq!(shown(text).as_deref(), Ok(text));
        }
        for (text, target) in [
            ("http://a", "a:80"),
            ("h2c://a", "a:80"),
            ("https://a", "a:443"),
            ("https://[::1]:8443", "[::1]:8443"),
            ("unix:/run/api.sock", "unix:/run/api.sock"),
        ] {
            let upstream = parse(text, true).unwrap();
            let targets: Vec<String> = upstream.addresses.iter().map(Target::to_string).collect();
            assert_eq!(targets, [target], "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "127.0.0.1:3000",
            "ftp://127.0.0.1",
            "h2://127.0.0.1",
            "http://127.0.0.1:80808",
            "http://127.0.0.1/base",
            "h2c://127.0.0.1/base",
            "https://x/?q",
            "https://u:p@x",
            "https://x/#f",
            "http://",
            "unix:relative.sock",
            "unix:",
        ] {
            assert!(shown(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_a_host_with_a_port() {
        for (text, shown) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("localhost:1", "localhost:1"),
        ] {
            assert_eq!(address(text, false).unwrap().to_string(), shown);
        }
        for text in [
            "",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:80/",
            "127.0.0.1:80/x",
            "http://127.0.0.1:80",
            "u@127.0.0.1:80",
            "::1:80",
            "127.0.0.1:80808",
        ] {
            assert!(address(text, true).is_err(), "{text}");
        }
        assert!(address("10.0.0.1:80", false).is_err());
        assert!(address("10.0.0.1:80", true).is_ok());
    }

    #[test]
    fn tl_02_tokens_cross_the_network_in_the_clear_only_where_that_is_allowed() {
        for text in ["http://10.0.0.1", "h2c://api.internal"] {
            let message = shown(text).unwrap_err();
            assert!(message.contains("allow_plaintext_upstream"), "{message}");
            assert!(parse(text, true).is_ok(), "{text}");
        }
    }
}
