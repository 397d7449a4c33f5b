//! Which ports the parts take.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::Ports;

/// A loopback address to listen on: the usual port if it is free, else any.
pub(crate) fn loopback(ports: Ports, usual: u16, taken: &mut Vec<u16>) -> SocketAddr {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match ports {
        // Bound for a moment only. Should somebody else take the port before the part does, its
        // start says so.
        Ports::Usual if TcpListener::bind(address(usual)).is_ok() => address(usual),
        Ports::Usual => {
            taken.push(usual);
            address(0)
        }
        Ports::Free => address(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_left_alone() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let usual = holder.local_addr().unwrap().port();
        let mut taken = Vec::new();
        assert_eq!(loopback(Ports::Usual, usual, &mut taken).port(), 0);
        assert_eq!(taken, [usual]);
        drop(holder);
        assert_eq!(loopback(Ports::Usual, usual, &mut taken).port(), usual);
        assert_eq!(loopback(Ports::Free, usual, &mut taken).port(), 0);
        assert_eq!(taken, [usual]);
    }
}
