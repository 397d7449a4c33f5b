//! A TCP proxy that does to connections what networks do: delays, cuts, throttles, swallows.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::sleep,
};

use crate::rng::Rng;

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    seed: u64,
    times: usize,
    calm: AtomicBool,
    connections: AtomicU64,
    harmed: AtomicU64,
}

/// What happens to a connection, from its first byte on.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Well,
    /// Each piece arrives late, until the connection is reset after so many bytes.
    Late(usize),
    /// A few bytes at a time, as long.
    Throttled(usize),
    /// Reset after so many bytes.
    Cut(usize),
    /// After so many bytes nothing arrives any more, and nothing says so.
    Swallowed(usize),
}

impl Proxy {
    /// Connections last for `times` as long as those of one user would.
    pub(super) async fn start(target: SocketAddr, seed: u64, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            seed,
            times,
            calm: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            harmed: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&accepting).pass(stream));
            }
        });
        Self { address, shared }
    }

    /// From now on connections fare well.
    pub(super) fn calm_down(&self) {
        self.shared.calm.store(true, Ordering::SeqCst);
    }

    /// How many connections have been cut or swallowed.
    pub(super) fn harmed(&self) -> u64 {
        self.shared.harmed.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn fate(&self, rng: &mut Rng) -> Fate {
        if self.calm.load(Ordering::SeqCst) {
            return Fate::Well;
        }
        let fate = rng.below(8);
        // None for ever, or all soon use the few that fare well.
        let (few, many) = (rng.below(6_000), 5_000 + rng.below(30_000));
        match fate {
            0 => Fate::Late(many * self.times),
            1 => Fate::Throttled(many * self.times),
            2 | 3 => Fate::Cut(few * self.times),
            4 => Fate::Swallowed(few * self.times),
            _ => Fate::Cut(many * self.times),
        }
    }

    async fn pass(self: Arc<Self>, near: TcpStream) {
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let rng = &mut Rng::new(self.seed ^ (number << 8));
        let (there, back) = (self.fate(rng), self.fate(rng));
        let Ok(far) = TcpStream::connect(self.target).await else {
            return;
        };
        // A cut is a reset for both sides, whatever has been sent before.
        for stream in [&near, &far] {
            stream.set_zero_linger().unwrap();
            stream.set_nodelay(true).unwrap();
        }
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        tokio::select! {
            () = self.copy(near_in, far_out, there) => {}
            () = self.copy(far_in, near_out, back) => {}
        }
    }

    /// Ends when the connection is to end.
    async fn copy(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fate: Fate) {
        let mut buffer = [0; 4_096];
        let mut passed = 0;
        loop {
            let Ok(length @ 1..) = from.read(&mut buffer).await else {
                return;
            };
            let mut bytes = &buffer[..length];
            match fate {
                Fate::Cut(after)
                | Fate::Swallowed(after)
                | Fate::Late(after)
                | Fate::Throttled(after)
                    if passed + length > after =>
                {
                    self.harmed.fetch_add(1, Ordering::SeqCst);
                    if to
                        .write_all(&bytes[..after.saturating_sub(passed)])
                        .await
                        .is_err()
                    {
                        return;
                    }
                    if matches!(fate, Fate::Swallowed(_)) {
                        // Whoever waits has to give up by itself.
                        while let Ok(1..) = from.read(&mut buffer).await {}
                    }
                    return;
                }
                Fate::Late(_) => sleep(Duration::from_millis(20)).await,
                _ => {}
            }
            passed += length;
            let piece = if matches!(fate, Fate::Throttled(_)) {
                300 * self.times
            } else {
                length
            };
            while !bytes.is_empty() {
                let (now, later) = bytes.split_at(piece.min(bytes.len()));
                if to.write_all(now).await.is_err() {
                    return;
                }
                if matches!(fate, Fate::Throttled(_)) {
                    sleep(Duration::from_millis(2)).await;
                }
                bytes = later;
            }
        }
    }
}
