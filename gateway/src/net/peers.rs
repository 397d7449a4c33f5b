//! How many requests and connections each client address has at once.
//!
//! One that reads slowly, or not at all, keeps the places of its requests for as long as the limits of
//! time let it, and one that only connects has places among the connections. So that it cannot have all of them there is a share for each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    config::Limits,
    metrics::Metrics,
    steps::limit::{Connected, Running, Share},
};

/// How many addresses are known before it is looked for the first time which of them have left.
const FEW: usize = 64;

/// How often it is said that connections are refused.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// The addresses of all connections, of all workers.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Requests at once of all addresses.
    whole: Arc<Running>,
    /// And of one.
    most: AtomicUsize,
    /// Connections of one.
    connections: AtomicUsize,
    known: Mutex<Known>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Known {
    by_address: HashMap<IpAddr, Weak<Share>>,
    /// How many there may be before it is looked again.
    look_at: usize,
    /// When it was said that connections are refused.
    said: Option<Instant>,
}

impl Peers {
    pub(crate) fn new(limits: &Limits, whole: Arc<Running>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            whole,
            metrics,
            most: AtomicUsize::new(limits.of_one_client()),
            connections: AtomicUsize::new(limits.connections_of_one_client()),
            known: Mutex::new(Known {
                by_address: HashMap::new(),
                look_at: FEW,
                said: None,
            }),
        })
    }

    /// Holds all addresses to another share, those that are known too.
    pub(crate) fn keep_to(&self, limits: &Limits) {
        let most = limits.of_one_client();
        let connections = limits.connections_of_one_client();
        self.connections.store(connections, Ordering::Relaxed);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.most.store(most, Ordering::Relaxed);
        for running in known.by_address.values().filter_map(Weak::upgrade) {
            running.set_most(most);
        }
    }

    /// One more connection of that address, with its requests; `None` where it has too many.
    pub(crate) fn connect(&self, address: IpAddr, is_trusted: bool) -> Option<Connected> {
        let (connected, others) = self.of(address).connect();
        let has_room = others < self.connections.load(Ordering::Relaxed);
        if is_trusted || has_room {
            return Some(connected);
        }
        self.metrics.connections.refused();
        self.say(address, others);
        None
    }

    /// Says that an address has too many connections, since whoever stands in front of clients and is no
    /// HTTP proxy looks like one that attacks.
    fn say(&self, address: IpAddr, has: usize) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = (known.said).is_some_and(|said| now.duration_since(said) < SAID_EVERY);
        if !quiet {
            known.said = Some(now);
            drop(known);
            tracing::warn!(
                client = %address,
                connections = has,
                "a client address has its part of limits.connections, and more are closed at once (said once a minute at most). \
                 Where it stands for many clients: trusted_proxies if it is an HTTP proxy, else a larger limits.requests_per_client"
            );
        }
    }

    /// The requests of that address.
    fn of(&self, address: IpAddr) -> Arc<Share> {
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
        let running = Share::new(self.most.load(Ordering::Relaxed), &self.whole);
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
    use crate::steps::limit::Permit;

    /// One request at once of each.
    fn peers() -> Arc<Peers> {
        let metrics = Metrics::new();
        Peers::new(&limits(1), Running::new(1_000_000), metrics)
    }

    fn limits(most: usize) -> Limits {
        Limits {
            requests: 1_000,
            requests_per_client: Some(most),
            connections: 2_000,
            ..Limits::default()
        }
    }

    fn take(peers: &Peers, text: &str) -> Option<Permit> {
        let permit = peers.whole.permit().unwrap();
        permit.within(&peers.of(address(text)))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_one_count_for_all_its_connections_and_others_have_their_own() {
        let peers = peers();
        let held = take(&peers, "192.0.2.1").unwrap();
        for same in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert!(take(&peers, same).is_none(), "{same}");
        }
        for other in ["192.0.2.2", "2001:db8::1"] {
            assert!(take(&peers, other).is_some(), "{other}");
        }
        drop(held);
        assert!(take(&peers, "192.0.2.1").is_some());
    }

    #[test]
    fn another_share_holds_for_addresses_that_are_known_too() {
        let peers = peers();
        let known = "192.0.2.1";
        let _held = take(&peers, known).unwrap();
        peers.keep_to(&limits(2));
        assert!(take(&peers, known).is_some());
        assert_eq!(peers.of(address("192.0.2.2")).most(), 2);
    }

    #[test]
    fn an_address_has_the_same_part_of_the_connections_unless_it_is_trusted() {
        let peers = peers();
        let connect = |trusted| peers.connect(address("192.0.2.1"), trusted);
        let (first, _second) = (connect(false).unwrap(), connect(false).unwrap());
        assert!(connect(false).is_none());
        assert!(connect(true).is_some());
        assert!(peers.connect(address("192.0.2.2"), false).is_some());
        drop(first);
        assert!(connect(false).is_some());
        peers.keep_to(&limits(2));
        let _third = connect(false).unwrap();
        assert!(connect(false).is_some());
    }

    #[test]
    fn a_network_of_64_bits_is_one_client() {
        let peers = peers();
        let _held = take(&peers, "2001:db8::1").unwrap();
        assert!(take(&peers, "2001:db8::ff:1").is_none());
        assert!(take(&peers, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn addresses_that_have_left_are_forgotten() {
        let peers = peers();
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
