//! Values that are written as text.

use std::{net::IpAddr, time::Duration};

use url::{Host, Url};

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

pub(crate) fn is_guid(text: &str) -> bool {
    guid(text).is_some()
}

/// The issuer of another provider than Entra ID; every byte of it counts.
pub(super) fn issuer(text: &str, allow_http_loopback: bool) -> Result<(), String> {
    let url = url(text).map_err(|error| {
        format!("{error}; give the issuer as `iss` of its tokens has it, https://id.example.com/realms/shop for instance")
    })?;
    let plain = url.username().is_empty() && url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "https" if plain => Ok(()),
        "http" if plain && allow_http_loopback && is_loopback(&url) => Ok(()),
        "http" => Err(
            "an issuer must be https; for development on this machine, set `allow_http_loopback = true` (--allow-http-loopback)"
                .to_owned(),
        ),
        _ => Err(format!("{text:?} is no https address of an issuer")),
    }
}

/// The identity provider's base address, without a trailing slash.
///
/// A host alone is one over https, as Azure's own libraries take `AZURE_AUTHORITY_HOST`.
pub(super) fn authority(text: &str, allow_http_loopback: bool) -> Result<String, String> {
    let is_host = !text.is_empty() && !text.contains([':', '/', '@', '?', '#']);
    let url = if is_host {
        url(&format!("https://{text}"))?
    } else {
        url(text)?
    };
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

pub(super) fn url(text: &str) -> Result<Url, String> {
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
