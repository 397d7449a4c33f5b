//! The addresses behind an upstream's name.
//!
//! The system asks for them in a thread that nothing ends, for ten seconds or more where no server of
//! names answers. So there is one question at a time, whoever waits for it, and what was heard serves
//! for a while. Where a name has several addresses, one that does not answer takes a share of the time
//! for connecting and not all of it, and is asked last from then on.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use tokio::{
    net::{self, TcpStream},
    sync::oneshot,
    task,
    time::{self, Instant},
};

/// How long an answer is believed, and how long it serves while there is no newer one.
const FRESH: Duration = Duration::from_secs(5);
const USABLE: Duration = Duration::from_secs(60);

/// How long a newer answer is waited for before an older one serves.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long an address that was not reached is asked last.
const LAST_FOR: Duration = Duration::from_secs(60);

/// How many shares the time for connecting has at most.
const MOST_SHARES: usize = 3;

type Found = io::Result<Vec<SocketAddr>>;
type Lookup = Pin<Box<dyn Future<Output = Found>>>;

/// One name, as one worker knows it.
pub(crate) struct Name {
    resolve: Box<dyn Fn() -> Lookup>,
    connect_timeout: Duration,
    known: RefCell<Option<(Instant, Vec<SocketAddr>)>>,
    /// Who waits for the answer; `None` where nobody has asked.
    waiting: RefCell<Option<Vec<oneshot::Sender<io::Result<()>>>>>,
    /// What was not reached, and when.
    missed: RefCell<Vec<(SocketAddr, Instant)>>,
    turn: Cell<usize>,
}

impl Name {
    /// `None` for what is an address already.
    pub(crate) fn new(host: &str, port: u16, connect_timeout: Duration) -> Option<Rc<Self>> {
        if host.parse::<IpAddr>().is_ok() {
            return None;
        }
        let host = host.to_owned();
        let resolve = move || -> Lookup {
            let host = host.clone();
            Box::pin(async move { Ok(net::lookup_host((host.as_str(), port)).await?.collect()) })
        };
        Some(Self::asking(Box::new(resolve), connect_timeout))
    }

    fn asking(resolve: Box<dyn Fn() -> Lookup>, connect_timeout: Duration) -> Rc<Self> {
        Rc::new(Self {
            resolve,
            connect_timeout,
            known: RefCell::default(),
            waiting: RefCell::default(),
            missed: RefCell::default(),
            turn: Cell::default(),
        })
    }

    /// Connects to one of the addresses.
    ///
    /// # Errors
    ///
    /// There is none, or none was reached; why is that of the last one.
    pub(crate) async fn connect(self: &Rc<Self>) -> io::Result<TcpStream> {
        let addresses = self.in_order(self.addresses().await?);
        let shares = u32::try_from(addresses.len().clamp(1, MOST_SHARES)).unwrap_or(1);
        let share = self.connect_timeout / shares;
        let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            error = match time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    self.missed
                        .borrow_mut()
                        .retain(|(missed, _)| *missed != address);
                    return Ok(stream);
                }
                Ok(Err(error)) => error,
                Err(late) => late.into(),
            };
            let mut missed = self.missed.borrow_mut();
            missed.retain(|(missed, _)| *missed != address);
            missed.push((address, Instant::now()));
        }
        Err(error)
    }

    /// Those that were reached when they were tried the last time, before the others. The ones that the
    /// system prefers take turns at being the first: they share the work.
    fn in_order(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let first = addresses.first().map(SocketAddr::is_ipv4);
        let like_first = |address: &&mut SocketAddr| Some(address.is_ipv4()) == first;
        let preferred = addresses.iter_mut().take_while(like_first).count();
        let turn = self.turn.replace(self.turn.get().wrapping_add(1));
        if let Some(by) = turn.checked_rem(preferred)
            && let Some(preferred) = addresses.get_mut(..preferred)
        {
            preferred.rotate_left(by);
        }
        let mut missed = self.missed.borrow_mut();
        let now = Instant::now();
        missed.retain(|(_, when)| now.saturating_duration_since(*when) < LAST_FOR);
        addresses.sort_by_key(|address| missed.iter().any(|(missed, _)| missed == address));
        addresses
    }

    async fn addresses(self: &Rc<Self>) -> Found {
        loop {
            let age = {
                let known = self.known.borrow();
                known
                    .as_ref()
                    .map(|(when, addresses)| (when.elapsed(), addresses.clone()))
            };
            match age {
                Some((age, addresses)) if age < FRESH => return Ok(addresses),
                Some((age, addresses)) if age < USABLE => {
                    // They may be somebody else's by now.
                    let heard = time::timeout(PATIENCE, self.ask()).await;
                    return Ok(match (heard, &*self.known.borrow()) {
                        (Ok(Ok(Ok(()))), Some((_, newer))) => newer.clone(),
                        _ => addresses,
                    });
                }
                _ => {
                    let heard = self.ask().await;
                    heard.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))?;
                }
            }
        }
    }

    /// Asks, unless somebody has asked and not been answered yet.
    fn ask(self: &Rc<Self>) -> oneshot::Receiver<io::Result<()>> {
        let (tell, hear) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        if let Some(waiting) = &mut *waiting {
            // Those that have given up would gather here for as long as nothing is heard.
            waiting.retain(|waiter| !waiter.is_closed());
            waiting.push(tell);
            return hear;
        }
        *waiting = Some(vec![tell]);
        let name = Rc::clone(self);
        task::spawn_local(async move {
            let found = (name.resolve)().await;
            let result = match found {
                Ok(addresses) => {
                    name.known.replace(Some((Instant::now(), addresses)));
                    Ok(())
                }
                Err(error) => Err(error),
            };
            for waiter in name.waiting.take().into_iter().flatten() {
                let told = match &result {
                    Ok(()) => Ok(()),
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                };
                let _ = waiter.send(told);
            }
        });
        hear
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Name")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};
    use tokio::{net::TcpListener, task::LocalSet};

    use super::*;

    const SHORT: Duration = Duration::from_millis(600);

    /// A name whose addresses are these, and how often it was asked for them.
    fn name(addresses: Vec<SocketAddr>) -> (Rc<Name>, Rc<Cell<usize>>) {
        let asked = Rc::new(Cell::new(0));
        let counting = Rc::clone(&asked);
        let resolve = move || -> Lookup {
            counting.set(counting.get() + 1);
            let addresses = addresses.clone();
            Box::pin(async move {
                task::yield_now().await;
                Ok(addresses)
            })
        };
        (Name::asking(Box::new(resolve), SHORT), asked)
    }

    /// An address that says nothing to whoever connects: its queue is full.
    fn silent() -> (SocketAddr, Socket, Vec<std::net::TcpStream>) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) =
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100))
        {
            waiting.push(stream);
        }
        (address, socket, waiting)
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next_and_is_asked_last_then() {
        let (dead, _socket, _waiting) = silent();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let (name, asked) = name(vec![dead, good]);
        LocalSet::new()
            .run_until(async {
                let stream = time::timeout(SHORT, name.connect()).await.unwrap().unwrap();
                assert_eq!(stream.peer_addr().unwrap(), good);
                for _ in 0..3 {
                    let begun = Instant::now();
                    let stream = name.connect().await.unwrap();
                    assert_eq!(stream.peer_addr().unwrap(), good);
                    assert!(begun.elapsed() < SHORT / 2, "the dead one was asked first");
                }
                assert_eq!(asked.get(), 1, "what was heard serves for a while");
            })
            .await;
    }

    #[tokio::test]
    async fn addresses_take_turns_and_one_that_is_missed_again_and_again_is_noted_once() {
        let addresses: Vec<SocketAddr> = ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1"]
            .map(|address| address.parse().unwrap())
            .to_vec();
        let (name, _) = name(addresses.clone());
        let first: Vec<_> = (0..4)
            .map(|_| name.in_order(addresses.clone())[0])
            .collect();
        assert_eq!(
            first,
            [addresses[0], addresses[1], addresses[0], addresses[1]]
        );
        assert_eq!(name.in_order(addresses.clone())[2], addresses[2]);
        LocalSet::new()
            .run_until(async {
                for _ in 0..9 {
                    assert!(name.connect().await.is_err());
                }
            })
            .await;
        assert_eq!(name.missed.borrow().len(), 3);
    }

    #[tokio::test]
    async fn an_old_answer_serves_only_where_there_is_no_newer_one() {
        let (old, new) = (
            SocketAddr::from(([127, 0, 0, 1], 1)),
            SocketAddr::from(([127, 0, 0, 2], 1)),
        );
        let answers = Rc::new(Cell::new(0));
        let counting = Rc::clone(&answers);
        let resolve = move || -> Lookup {
            let turn = counting.replace(counting.get() + 1);
            Box::pin(async move {
                match turn {
                    0 => Ok(vec![new]),
                    _ => std::future::pending().await,
                }
            })
        };
        let name = Name::asking(Box::new(resolve), SHORT);
        let heard = |address| {
            let then = Instant::now().checked_sub(FRESH).unwrap();
            name.known.replace(Some((then, vec![address])));
        };
        LocalSet::new()
            .run_until(async {
                heard(old);
                assert_eq!(name.addresses().await.unwrap(), [new]);
                heard(old);
                assert_eq!(name.addresses().await.unwrap(), [old]);
                assert_eq!(answers.get(), 2);
            })
            .await;
    }

    #[tokio::test]
    async fn a_hundred_that_wait_ask_once() {
        let asked = Rc::new(Cell::new(0));
        let counting = Rc::clone(&asked);
        let silent = move || -> Lookup {
            counting.set(counting.get() + 1);
            Box::pin(std::future::pending())
        };
        let name = Name::asking(Box::new(silent), SHORT);
        LocalSet::new()
            .run_until(async {
                for _ in 0..100 {
                    let waits = name.connect();
                    assert!(
                        time::timeout(Duration::from_millis(1), waits)
                            .await
                            .is_err()
                    );
                }
                assert_eq!(asked.get(), 1);
                let waiting = name.waiting.borrow();
                assert!(
                    waiting.as_ref().unwrap().len() <= 2,
                    "who has given up is forgotten"
                );
            })
            .await;
    }

    #[tokio::test]
    async fn who_waits_hears_that_there_is_no_address() {
        let none = || -> Lookup { Box::pin(async { Err(io::ErrorKind::NotFound.into()) }) };
        let failing = Name::asking(Box::new(none), SHORT);
        let (empty, _) = name(Vec::new());
        LocalSet::new()
            .run_until(async {
                for name in [failing, empty] {
                    let error = name.connect().await.unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::NotFound);
                    assert!(name.waiting.borrow().is_none());
                }
            })
            .await;
    }

    #[test]
    fn an_address_is_no_name() {
        for address in ["127.0.0.1", "::1"] {
            assert!(Name::new(address, 1, SHORT).is_none());
        }
        assert!(Name::new("localhost", 1, SHORT).is_some());
    }
}
