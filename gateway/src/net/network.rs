//! Networks in CIDR notation, for the peers that are believed.

use std::{fmt, net::IpAddr, str::FromStr};

/// A network, `10.0.0.0/8` or `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address is in the network. An IPv4 address in IPv6's clothes is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.bits) == Some(self.base)
    }

    /// Whether every address of its kind is in the network.
    pub(crate) const fn is_everything(&self) -> bool {
        self.bits == 0
    }
}

/// The address with all but its first bits at zero; `None` for more bits than it has.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Some(IpAddr::V4((u32::from(v4) & mask).into()))
        }
        IpAddr::V6(v6) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            Some(IpAddr::V6((u128::from(v6) & mask).into()))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| NetworkError::NoNetwork)?;
        let whole = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => whole,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|bits| *bits <= whole)
                .ok_or(NetworkError::NoNetwork)?,
            Some(_) => return Err(NetworkError::NoNetwork),
        };
        if base.to_canonical() != base {
            return Err(NetworkError::NoNetwork);
        }
        match masked(base, bits) {
            Some(lowest) if lowest == base => Ok(Self { base, bits }),
            Some(lowest) => Err(NetworkError::HostBits(Self { base: lowest, bits })),
            None => Err(NetworkError::NoNetwork),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// Why a text is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// An address inside this network, where the network itself is wanted.
    HostBits(Network),
    /// Neither a network nor an address.
    NoNetwork,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostBits(network) => {
                write!(f, "an address within a network; {network} is meant?")
            }
            Self::NoNetwork => f.write_str("no network such as 10.0.0.0/8, fd00::/8 or 192.0.2.7"),
        }
    }
}

impl std::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_ends_where_it_ends() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("::1", "::1", "::2"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("::/0", "::2", "1.2.3.4"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "x",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "::ffff:10.0.0.0/104",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        let near = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert!(near.to_string().contains("10.0.0.0/8"), "{near}");
    }
}
