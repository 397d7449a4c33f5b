//! One upstream as a worker sees it: its addresses, and which of them are worth asking.
//!
//! An address that cannot be connected to is left alone for a while, longer with each failure; then one
//! request tries it, and the others wait for what comes of that. Where none is left, the one whose time
//! ends first is asked all the same.

use std::{cell::Cell, rc::Rc, time::Duration};

use http::uri::{Authority, Scheme};
use tokio::time::Instant;

use super::{
    connector::{Connector, Transport},
    line::Line,
    pool::{ConnectError, Place, Pool},
    tls::TlsError,
};
use crate::config::{Limits, Protocol, Upstream};

const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);

/// An upstream.
#[derive(Debug)]
pub(crate) struct Backend {
    upstream: Upstream,
    /// At least one.
    addresses: Vec<Address>,
    turn: Cell<usize>,
}

/// One machine of an upstream.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) pool: Rc<Pool>,
    health: Health,
    /// How long it may take to find out whether it can be reached.
    patience: Duration,
}

impl Backend {
    /// # Errors
    ///
    /// What TLS needs cannot be used.
    pub(crate) fn new(upstream: &Upstream, limits: &Limits) -> Result<Rc<Self>, TlsError> {
        let addresses = Connector::all(upstream, limits.connect_timeout)?
            .into_iter()
            .map(|connector| Address {
                // Fewer than requests at once would close connections that are wanted again at once.
                pool: Pool::new(connector, limits.connect_timeout, limits.requests),
                health: Health::default(),
                patience: limits.connect_timeout.max(SHORTEST),
            });
        Ok(Rc::new(Self {
            addresses: addresses.collect(),
            upstream: upstream.clone(),
            turn: Cell::new(0),
        }))
    }

    pub(crate) const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// What stands before the path in HTTP/2.
    pub(crate) fn origin(&self) -> Option<(Scheme, Authority)> {
        let scheme = match self.upstream.protocol {
            Protocol::Tls => Scheme::HTTPS,
            Protocol::Http1 | Protocol::Http2 => Scheme::HTTP,
        };
        let authority = Authority::try_from(self.upstream.authority.as_bytes()).ok()?;
        Some((scheme, authority))
    }

    /// The address whose turn it is; `None` where there is none at all.
    pub(crate) fn pick(&self) -> Option<&Address> {
        if let [only] = self.addresses.as_slice() {
            return Some(only);
        }
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let now = Instant::now();
        let (before, from) = self
            .addresses
            .split_at_checked(turn.checked_rem(self.addresses.len())?)?;
        from.iter()
            .chain(before)
            .min_by_key(|address| address.health.out_until(now))
    }

    /// A connection to `first`, or, where it cannot be reached, to any other.
    ///
    /// # Errors
    ///
    /// None can be reached; why is that of the last one.
    pub(crate) async fn open(&self, first: &Address) -> Result<Place, ConnectError> {
        let mut opened = first.open().await;
        if opened.is_err() {
            for other in self.others(first) {
                opened = other.open().await;
                if opened.is_ok() {
                    break;
                }
            }
        }
        opened
    }

    /// The same for a connection that will be nobody else's, before anything is said on it.
    ///
    /// # Errors
    ///
    /// None can be reached; why is that of the last one.
    pub(crate) async fn open_alone(
        &self,
        first: &Address,
    ) -> Result<(Transport, Rc<Line>), ConnectError> {
        let mut opened = first.open_alone().await;
        if opened.is_err() {
            for other in self.others(first) {
                opened = other.open_alone().await;
                if opened.is_ok() {
                    break;
                }
            }
        }
        opened
    }

    /// All but `first`, those that are worth asking before the others.
    fn others(&self, first: &Address) -> Vec<&Address> {
        let mut others: Vec<&Address> = self.addresses.iter().collect();
        others.retain(|other| !std::ptr::eq(*other, first));
        let now = Instant::now();
        others.sort_by_key(|other| other.health.out_until(now));
        others
    }

    /// See [`Pool::sweep`].
    pub(crate) fn sweep(&self, now: u64, limit: u64) {
        for address in &self.addresses {
            address.pool.sweep(now, limit);
        }
    }
}

impl Address {
    async fn open(&self) -> Result<Place, ConnectError> {
        self.health.claim(self.patience, Instant::now());
        let opened = self.pool.open().await;
        self.learn(&opened);
        opened
    }

    async fn open_alone(&self) -> Result<(Transport, Rc<Line>), ConnectError> {
        self.health.claim(self.patience, Instant::now());
        let opened = self.pool.open_alone().await;
        self.learn(&opened);
        opened
    }

    fn learn<T>(&self, opened: &Result<T, ConnectError>) {
        // One that speaks HTTP/2 only has been reached.
        let reached = matches!(opened, Ok(_) | Err(ConnectError::OnlyHttp2));
        self.health.learn(reached, Instant::now());
    }
}

/// What is known of an address from connecting to it.
#[derive(Debug, Default)]
struct Health {
    /// Failures in a row.
    failures: Cell<u32>,
    out_until: Cell<Option<Instant>>,
    /// Somebody tries it again, for all.
    claimed: Cell<bool>,
}

impl Health {
    /// Until when to leave it alone; `None`: not at all.
    fn out_until(&self, now: Instant) -> Option<Instant> {
        self.out_until.get().filter(|until| *until > now)
    }

    /// Whoever connects first to what could not be reached before does so for all: one that swallows what
    /// it is sent would cost everybody whose turn it is all of the time for connecting.
    fn claim(&self, patience: Duration, now: Instant) {
        if self.failures.get() > 0 && self.out_until(now).is_none() {
            self.claimed.set(true);
            self.out_until.set(Some(now + patience));
        }
    }

    fn learn(&self, reached: bool, now: Instant) {
        let claimed = self.claimed.replace(false);
        if reached {
            self.failures.set(0);
            self.out_until.set(None);
        } else if claimed || self.out_until(now).is_none() {
            // Many requests may have found out at once; that is one failure.
            let failures = self.failures.get();
            self.failures.set(failures.saturating_add(1));
            let time = SHORTEST * 2_u32.saturating_pow(failures.min(8));
            self.out_until.set(Some(now + time.min(LONGEST)));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        net::{TcpListener, TcpSocket, TcpStream},
        task::LocalSet,
        time,
    };

    use super::*;
    use crate::config::Target;

    /// An upstream of three addresses, the second of which is reachable.
    async fn one_of_three() -> (Rc<Backend>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = |listener: &TcpListener| Target::Tcp {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let mut upstream = Upstream::at("http://127.0.0.1:9");
        upstream.addresses = [&gone, &listener, &gone].map(target).to_vec();
        (
            Backend::new(&upstream, &Limits::default()).unwrap(),
            listener,
        )
    }

    fn is(address: &Address, other: &Address) -> bool {
        std::ptr::eq(address, other)
    }

    #[tokio::test]
    async fn an_address_that_was_not_reached_is_passed_over_and_asked_last() {
        let (backend, _listener) = one_of_three().await;
        let [first, second, third] = &backend.addresses[..] else {
            panic!("three addresses");
        };
        LocalSet::new()
            .run_until(async {
                assert!(is(backend.pick().unwrap(), first));
                // The second is found behind it, and the third not asked.
                assert!(backend.open(first).await.is_ok());
                let now = Instant::now();
                let out = |address: &Address| address.health.out_until(now).is_some();
                assert!(out(first) && !out(second) && !out(third));
                assert!(backend.open_alone(third).await.is_ok());
                assert!(out(third) && !out(second));
            })
            .await;
        for _ in 0..6 {
            assert!(is(backend.pick().unwrap(), second));
        }
        // Where all are out, the one whose time ends first: the first, which failed before the others.
        let later = Instant::now() + Duration::from_secs(1);
        second.health.learn(false, later);
        third.health.learn(true, later);
        third.health.learn(false, later + Duration::from_secs(1));
        for _ in 0..3 {
            assert!(is(backend.pick().unwrap(), first));
        }
        let others = backend.others(second);
        assert!(is(others[0], first) && is(others[1], third));
        // What is reached is asked again like any other.
        third.health.learn(true, later);
        second.health.learn(true, later);
        let picked: Vec<_> = (0..3).filter_map(|_| backend.pick()).collect();
        assert!(!picked.iter().any(|address| is(address, first)));
        assert!(picked.iter().any(|address| is(address, second)));
        assert!(picked.iter().any(|address| is(address, third)));
        assert!(is(backend.others(second)[0], third));
    }

    /// An address whose queue of connections is full, so that it does not answer; with what fills it.
    async fn silent() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        let short = Duration::from_millis(200);
        while let Ok(stream) = time::timeout(short, TcpStream::connect(address)).await {
            queue.push(stream.unwrap());
        }
        (listener, queue)
    }

    #[tokio::test]
    async fn of_requests_that_come_at_once_one_tries_an_address_that_was_not_reached_before() {
        let (silent, _queue) = silent().await;
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = |listener: &TcpListener| Target::Tcp {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let mut upstream = Upstream::at("http://127.0.0.1:9");
        upstream.addresses = [&silent, &good].map(target).to_vec();
        let limits = Limits {
            connect_timeout: Duration::from_millis(500),
            ..Limits::default()
        };
        let backend = Backend::new(&upstream, &limits).unwrap();
        let health = &backend.addresses[0].health;
        // It was out, and its time is over.
        health.failures.set(1);
        let local = LocalSet::new();
        let mut requests = Vec::new();
        for _ in 0..10 {
            let backend = Rc::clone(&backend);
            requests.push(local.spawn_local(async move {
                let begun = Instant::now();
                let opened = backend.open(backend.pick().unwrap()).await;
                (opened, begun.elapsed() >= limits.connect_timeout)
            }));
        }
        local
            .run_until(async {
                let mut slow = 0;
                for request in requests {
                    let (opened, is_slow) = request.await.unwrap();
                    assert!(opened.is_ok());
                    slow += usize::from(is_slow);
                }
                assert_eq!(slow, 1, "all the others go where it works");
            })
            .await;
        assert_eq!(health.failures.get(), 2, "and it has learnt from that");
        assert!(health.out_until(Instant::now() + SHORTEST).is_some());
    }

    fn seconds(health: &Health, now: Instant) -> u64 {
        health
            .out_until(now)
            .map_or(0, |until| (until - now).as_secs())
    }

    #[test]
    fn what_cannot_be_reached_is_left_alone_for_5_to_60_seconds() {
        let mut now = Instant::now();
        let health = Health::default();
        assert_eq!(seconds(&health, now), 0);
        for wanted in [5, 10, 20, 40, 60, 60] {
            health.learn(false, now);
            health.learn(false, now);
            assert_eq!(seconds(&health, now), wanted);
            now += Duration::from_secs(wanted);
            assert_eq!(seconds(&health, now), 0);
        }
        health.learn(true, now);
        health.learn(false, now);
        assert_eq!(seconds(&health, now), 5);
    }
}
