//! Values that are written as text.

use std::{net::IpAddr, time::Duration};

use http::HeaderValue;
use url::{Host, Url};

use super::Upstream;

/// `30s`, `500ms`, `2m`, `1h`; above zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    number
        .parse::<u64>()
        .ok()
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|ms| *ms > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is no duration above zero such as \"30s\" or \"500ms\""))
}

/// A GUID in the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, given back in lower case.
pub(super) fn guid(text: &str) -> Option<String> {
    let uuid = uuid::Uuid::try_parse(text).ok()?;
    let canonical = uuid.hyphenated().to_string();
    // `try_parse` takes braces, `urn:uuid:` and bare digits too, which Entra never writes.
    canonical.eq_ignore_ascii_case(text).then_some(canonical)
}

/// The address of an upstream.
pub(super) fn upstream(text: &str, allow_plaintext: bool) -> Result<Upstream, String> {
    if text.starts_with("unix:") {
        return Err("unix sockets are not supported yet: give an http:// address".to_owned());
    }
    let url = url(text)?;
    match url.scheme() {
        "http" => {}
        scheme @ ("https" | "h2c" | "h2") => {
            return Err(format!(
                "{scheme} upstreams are not supported yet: give an http:// address"
            ));
        }
        _ => {
            return Err(format!(
                "{text:?} is no address such as http://127.0.0.1:3000"
            ));
        }
    }
    if url.path() != "/" || url.query().is_some() {
        return Err("no path may follow the address: paths are forwarded as they came".to_owned());
    }
    if !allow_plaintext && !is_loopback(&url) {
        return Err(
            "an http upstream on another host gets its tokens in the clear; where the network is trusted, set `allow_plaintext_upstream = true`"
                .to_owned(),
        );
    }
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        None => return Err("the host is missing".to_owned()),
    };
    let port = url.port_or_known_default().unwrap_or(80);
    let authority = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err("the host is missing".to_owned()),
    };
    let authority = HeaderValue::try_from(authority)
        .map_err(|_| "the host cannot stand in a header".to_owned())?;
    Ok(Upstream {
        host,
        port,
        authority,
    })
}

/// The identity provider's base address, without a trailing slash.
pub(super) fn authority(text: &str, allow_http_loopback: bool) -> Result<String, String> {
    let url = url(text)?;
    match url.scheme() {
        "http" if !is_loopback(&url) => {
            return Err("an authority must be https".to_owned());
        }
        "http" if !allow_http_loopback => {
            return Err(
                "an authority must be https; for development against an emulator on this machine, set `entra.allow_http_loopback = true` (--allow-http-loopback)"
                    .to_owned(),
            );
        }
        "https" | "http" => {}
        _ => return Err(format!("{text:?} is no https address")),
    }
    if url.path() != "/" || url.query().is_some() {
        return Err(
            "only scheme and host are wanted here; the tenant is `entra.tenant`".to_owned(),
        );
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address must not hold a user name or password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("an address must not have a fragment".to_owned());
    }
    Ok(url)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}
