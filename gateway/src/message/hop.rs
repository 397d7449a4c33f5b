//! What the upstream is told of the way by which a request has come: by the gateway, whatever the client
//! has said.
//!
//! It is no part of the request's headers, in which no step looks for it, until the request goes out.
//! Most go out over HTTP/1, where these are lines that a connection repeats, and a place in the map would
//! cost several times as much as the line.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{FORWARDED, VIA},
};

use super::{answer::REQUEST_ID, exchange::Client};

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// One request's way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop<'a> {
    /// The upstream's own host, in place of the one that was asked for.
    pub(crate) authority: &'a HeaderValue,
    pub(crate) client: &'a Client,
    /// Whether the headers say already who the client is: a proxy that is trusted does.
    pub(crate) is_told: bool,
    pub(crate) id: &'a HeaderValue,
    /// In which the request has come.
    pub(crate) version: Version,
}

impl Hop<'_> {
    /// Writes `Host`, which goes first (RFC 9110 §7.2).
    pub(crate) fn write_host(&self, out: &mut Vec<u8>) {
        line(out, b"host: ", self.authority);
    }

    /// Writes all else, behind what others have said in `Via`. `asked`: the host that was asked for.
    pub(crate) fn write_way(&self, out: &mut Vec<u8>, asked: Option<&HeaderValue>) {
        if !self.is_told {
            self.client.write_way(out, asked);
        }
        line(out, b"x-request-id: ", self.id);
        out.extend_from_slice(b"via: ");
        out.extend_from_slice(self.via().as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// The same, but `Host`, for a request whose headers go out as a map.
    pub(crate) fn insert_way(&self, headers: &mut HeaderMap, asked: Option<HeaderValue>) {
        if !self.is_told {
            let client = self.client;
            headers.insert(FORWARDED, client.forwarded(asked.as_ref()));
            headers.insert(X_FORWARDED_FOR, client.address.clone());
            let scheme = HeaderValue::from_static(client.scheme());
            headers.insert(X_FORWARDED_PROTO, scheme);
            if let Some(asked) = asked {
                headers.insert(X_FORWARDED_HOST, asked);
            }
        }
        headers.insert(REQUEST_ID, self.id.clone());
        headers.append(VIA, HeaderValue::from_static(self.via()));
    }

    /// RFC 9110 §7.6.3. By which way a request has come is for every proxy to say, trusted or not.
    const fn via(&self) -> &'static str {
        match self.version {
            Version::HTTP_2 => "2.0 obo-gateway",
            Version::HTTP_10 => "1.0 obo-gateway",
            _ => "1.1 obo-gateway",
        }
    }
}

/// Values cannot hold what would end a line.
fn line(out: &mut Vec<u8>, name: &[u8], value: &HeaderValue) {
    out.extend_from_slice(name);
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
impl<'a> Hop<'a> {
    /// The lines of [`told`](Self::told), in front of a request's fields and behind them.
    pub(crate) const FIRST: &'static str = "host: up\r\n";
    pub(crate) const LAST: &'static str = "x-request-id: 1\r\nvia: 1.1 obo-gateway\r\n";

    pub(crate) fn told(client: &'a Client) -> Self {
        static UP: HeaderValue = HeaderValue::from_static("up");
        static ID: HeaderValue = HeaderValue::from_static("1");
        Self {
            authority: &UP,
            client,
            is_told: true,
            id: &ID,
            version: Version::HTTP_11,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// The fields in the order of their names, as lines and as a map.
    fn both(client: &Client, is_told: bool, asked: Option<&'static str>) -> [Vec<String>; 2] {
        let hop = Hop {
            authority: &HeaderValue::from_static("up:1"),
            client,
            is_told,
            id: &HeaderValue::from_static("the-id"),
            version: Version::HTTP_10,
        };
        let asked = asked.map(HeaderValue::from_static);
        let mut lines = Vec::new();
        hop.write_way(&mut lines, asked.as_ref());
        let lines = String::from_utf8(lines).unwrap();
        let mut lines: Vec<_> = lines.lines().map(str::to_owned).collect();
        let mut map = HeaderMap::new();
        map.insert(VIA, HeaderValue::from_static("1.1 other"));
        hop.insert_way(&mut map, asked);
        let all: Vec<_> = map.get_all(VIA).iter().collect();
        assert_eq!(all, ["1.1 other", "1.0 obo-gateway"]);
        let mut fields: Vec<_> = map
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .filter(|field| field != "via: 1.1 other")
            .collect();
        lines.sort_unstable();
        fields.sort_unstable();
        [lines, fields]
    }

    #[test]
    fn lines_and_maps_say_the_same_for_each_host_that_is_asked_for() {
        let peer: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
        let client = Client::new(peer, true, None);
        for host in ["gw:8443", "other", "gw:8443"] {
            let [lines, fields] = both(&client, false, Some(host));
            assert_eq!(lines, fields);
            let wanted = [
                format!("forwarded: for=\"[2001:db8::1]\";host=\"{host}\";proto=https"),
                "via: 1.0 obo-gateway".to_owned(),
                "x-forwarded-for: 2001:db8::1".to_owned(),
                format!("x-forwarded-host: {host}"),
                "x-forwarded-proto: https".to_owned(),
                "x-request-id: the-id".to_owned(),
            ];
            assert_eq!(lines, wanted);
        }
        let [lines, fields] = both(&client, false, None);
        assert_eq!(lines, fields);
        assert!(!lines.iter().any(|line| line.contains("host")), "{lines:?}");
        let [lines, fields] = both(&client, true, Some("gw"));
        assert_eq!(lines, fields);
        assert_eq!(lines, ["via: 1.0 obo-gateway", "x-request-id: the-id"]);
    }
}
