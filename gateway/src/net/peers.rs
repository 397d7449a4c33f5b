//! How many requests each client address has at once.
//!
//! One that reads slowly, or not at all, keeps the places of its requests for as long as the limits of
//! time let it. So that it cannot have all of them there is a share for each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::steps::limit::Running;

/// How many addresses are known before it is looked for the first time which of them have left.
const FEW: usize = 64;

/// The addresses of all connections, of all workers.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Requests at once of one address.
    most: AtomicUsize,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    by_address: HashMap<IpAddr, Weak<Running>>,
    /// How many there may be before it is looked again.
    look_at: usize,
}

impl Peers {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(most),
            known: Mutex::new(Known {
                by_address: HashMap::new(),
                look_at: FEW,
            }),
        })
    }

    /// Holds all addresses to another share, those that are known too.
    pub(crate) fn set_most(&self, most: usize) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.most.store(most, Ordering::Relaxed);
        for running in known.by_address.values().filter_map(Weak::upgrade) {
            running.set_most(most);
        }
    }

    /// The requests of that address. Asked once a connection.
    pub(crate) fn of(&self, address: IpAddr) -> Arc<Running> {
        let address = host(address);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = known.by_address.get(&address).and_then(Weak::upgrade) {
            return running;
        }
        if known.by_address.len() >= known.look_at {
            known
                .by_address
                .retain(|_, running| running.strong_count() > 0);
            known.look_at = FEW.max(known.by_address.len().saturating_mul(2));
        }
        let running = Running::new(self.most.load(Ordering::Relaxed));
        known.by_address.insert(address, Arc::downgrade(&running));
        running
    }
}

/// What one client has: of IPv6, a network of 64 bits (RFC 4291 §2.5.1), of which it may use every
/// address.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_one_count_for_all_its_connections_and_others_have_their_own() {
        let peers = Peers::new(1);
        let first = peers.of(address("192.0.2.1"));
        let held = first.permit().unwrap();
        for same in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert!(peers.of(address(same)).permit().is_none(), "{same}");
        }
        for other in ["192.0.2.2", "2001:db8::1"] {
            assert!(peers.of(address(other)).permit().is_some(), "{other}");
        }
        drop(held);
        assert!(peers.of(address("192.0.2.1")).permit().is_some());
    }

    #[test]
    fn another_share_holds_for_addresses_that_are_known_too() {
        let peers = Peers::new(1);
        let known = peers.of(address("192.0.2.1"));
        let _held = known.permit().unwrap();
        peers.set_most(2);
        assert!(known.permit().is_some());
        assert_eq!(peers.of(address("192.0.2.2")).most(), 2);
    }

    #[test]
    fn a_network_of_64_bits_is_one_client() {
        let peers = Peers::new(1);
        let first = peers.of(address("2001:db8::1"));
        let _held = first.permit().unwrap();
        assert!(peers.of(address("2001:db8::ff:1")).permit().is_none());
        assert!(peers.of(address("2001:db8:0:1::1")).permit().is_some());
    }

    #[test]
    fn addresses_that_have_left_are_forgotten() {
        let peers = Peers::new(1);
        let _stays = peers.of(address("192.0.2.1"));
        for number in 0..10_000_u32 {
            peers.of(IpAddr::V4((0x0a00_0000 + number).into()));
        }
        assert!(peers.known.lock().unwrap().by_address.len() <= FEW);
        let all: Vec<_> = (0..1_000_u32)
            .map(|number| peers.of(IpAddr::V4((0x0a00_0000 + number).into())))
            .collect();
        let known = peers.known.lock().unwrap();
        assert!(known.by_address.len() > all.len());
        assert!(known.by_address.contains_key(&address("192.0.2.1")));
    }
}
