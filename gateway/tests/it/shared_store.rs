//! Gateways that share a Redis exchange a token once between them.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use entra_emulator::{Emulator, Endpoint, Fault, demo as ids};
use obo_gateway::SharedStore;
use tokio::{net::UnixStream, time::Instant};

use crate::{
    admin::{admin, with_admin},
    binary::{gateway, serving},
    client::{Client, in_time},
    rig::{PROTECTED, Rig},
    upstream::{Upstream, ok},
};

/// Debian's Redis, on a Unix socket in a directory of its own; both go when it is dropped.
struct Redis {
    process: Child,
    directory: PathBuf,
}

impl Redis {
    /// `None`, said aloud, where there is none on this machine; in CI that fails.
    #[expect(clippy::print_stderr, reason = "what is skipped is said aloud")]
    async fn start() -> Option<Self> {
        if Command::new("redis-server")
            .arg("--version")
            .output()
            .is_err()
        {
            assert!(env::var_os("CI").is_none(), "redis-server is not installed");
            eprintln!("SKIPPED: redis-server is not installed (scripts/install-test-tools)");
            return None;
        }
        let name = format!("obo-redis-{}", uuid::Uuid::new_v4().simple());
        let directory = env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let process = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "socket", "--save", ""])
            .arg("--dir")
            .arg(&directory)
            .current_dir(&directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Self { process, directory };
        in_time(async {
            while UnixStream::connect(redis.directory.join("socket"))
                .await
                .is_err()
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Some(redis)
    }

    /// Gateways that are exchanging, or have not put their token here yet.
    fn claims(&self) -> usize {
        let socket = self.directory.join("socket");
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(socket)
            .args(["--raw", "KEYS", "*:claim"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .split_whitespace()
            .count()
    }

    /// What a gateway needs to share it, with a key in a file.
    fn store(&self, key: &str) -> SharedStore {
        let file = self.directory.join("key");
        fs::write(&file, key).unwrap();
        SharedStore::new(self.url(), file)
    }

    fn url(&self) -> String {
        let socket = self.directory.join("socket");
        format!("redis+unix://{}", socket.display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

const KEY: &str = "an operator's key of at least 32 bytes\n";

#[tokio::test]
async fn a_token_is_exchanged_once_for_two_gateways() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let rig = Rig::new(
        PROTECTED,
        |_| ok(),
        |config| {
            config.shared_store = Some(redis.store(KEY));
        },
    )
    .await;
    let emulator = rig.emulator.as_ref().unwrap();
    let upstream = format!("http://{}", rig.upstream.address);
    let mut config = Rig::config(&upstream, emulator.url(), PROTECTED);
    config.shared_store = Some(redis.store(KEY));
    let second = obo_gateway::start(config).await.unwrap();
    // A gateway waits a tenth of a second for the store and no longer. Where a machine is so busy that this is too
    // short, both exchange, and the next token is to be shared.
    for _ in 0..10 {
        let before = emulator.count(Endpoint::Token);
        let token = rig.token("alice");
        let request =
            format!("GET / HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
        for address in [rig.gateway.local_addr(), second.local_addr()] {
            let mut client = Client::connect(address).await;
            client.send(&request).await;
            assert_eq!(client.answer().await.unwrap().status, 200);
        }
        if emulator.count(Endpoint::Token) == before + 1 {
            return;
        }
    }
    panic!("both exchanged, each time");
}

/// A gateway that is started as a user starts it, and ended with the test.
struct Process {
    child: Child,
    address: SocketAddr,
    _log: BufReader<ChildStderr>,
}

impl Process {
    /// It listens, and its Redis is there.
    fn start(emulator: &Emulator, upstream: &Upstream, url: &str, store: &SharedStore) -> Self {
        let mut child = gateway()
            .args(serving(emulator, upstream))
            .arg("--cache-redis-key-file")
            .arg(store.key_file.path())
            .env("OBO_CACHE_REDIS_URL", url)
            .env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut address, mut is_there) = (None, false);
        while address.is_none() || !is_there {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
            is_there |= line.contains("the shared store of tokens is there");
            if let Some((_, after)) = line.split_once("\"listen\":\"http://") {
                address = Some(after.split('"').next().unwrap().parse().unwrap());
            }
        }
        Self {
            child,
            address: address.unwrap(),
            _log: log,
        }
    }

    async fn serves(&self, token: &str) {
        let request =
            format!("GET / HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
        let mut client = Client::connect(self.address).await;
        client.send(&request).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One after the other, and at the same moment, where an exchange takes a third of the time that a gateway
/// waits for another.
#[tokio::test(flavor = "multi_thread")]
async fn ca_09_two_processes_exchange_a_token_once_between_them() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let emulator = Emulator::builder().start().await.unwrap();
    let upstream = Upstream::start(|_| ok()).await;
    let store = redis.store(KEY);
    let [one, other] = [(); 2].map(|()| Process::start(&emulator, &upstream, &redis.url(), &store));
    for (user, process) in [("alice", &one), ("bob", &other)] {
        process.serves(&emulator.user_token(user)).await;
    }
    let before = emulator.count(Endpoint::Token);
    let token = emulator.user_token("alice");
    one.serves(&token).await;
    other.serves(&token).await;
    assert_eq!(
        emulator.count(Endpoint::Token),
        before + 1,
        "one after the other"
    );

    // Rounds that took longer than the wait, on a machine that is busy, say nothing.
    let mut rounds = 0;
    for number in 0..100 {
        let token = emulator.token().expires_in(1_000 + number).sign();
        emulator.fail(Endpoint::Token, Fault::slow(Duration::from_millis(30)), 2);
        let before = emulator.count(Endpoint::Token);
        let begun = Instant::now();
        tokio::join!(one.serves(&token), other.serves(&token));
        let in_time = begun.elapsed() < Duration::from_millis(100);
        emulator.clear_faults();
        if in_time {
            rounds += 1;
            let exchanges = emulator.count(Endpoint::Token) - before;
            assert_eq!(exchanges, 1, "at the same moment, round {number}");
        }
        if rounds == 5 {
            return;
        }
    }
    panic!("this machine is too busy: {rounds} rounds in time");
}

/// What is sealed under the first line opens with that key alone; every line opens.
#[tokio::test]
async fn ca_08_the_first_line_of_the_key_file_seals_and_all_open() {
    const NEW: &str = "a newer operator's key of 32 bytes or more\n";
    let Some(redis) = Redis::start().await else {
        return;
    };
    let both = format!("{NEW}{KEY}");
    let rig = Rig::new(
        PROTECTED,
        |_| ok(),
        |config| {
            config.shared_store = Some(redis.store(KEY));
        },
    )
    .await;
    let emulator = rig.emulator.as_ref().unwrap();
    let upstream = format!("http://{}", rig.upstream.address);
    let serves = async |keys: &str, token: &str| {
        let mut config = Rig::config(&upstream, emulator.url(), PROTECTED);
        let mut store = redis.store(keys);
        store.wait = Duration::from_secs(2);
        config.shared_store = Some(store);
        let gateway = obo_gateway::start(config).await.unwrap();
        let request =
            format!("GET / HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
        let before = emulator.count(Endpoint::Token);
        let mut client = Client::connect(gateway.local_addr()).await;
        client.send(&request).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        // It may still be on its way to Redis.
        in_time(async {
            while redis.claims() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        emulator.count(Endpoint::Token) - before
    };
    let (alice, bob) = (rig.token("alice"), rig.token("bob"));
    assert_eq!(serves(KEY, &alice).await, 1);
    assert_eq!(serves(&both, &alice).await, 0, "the second line opens");
    assert_eq!(serves(&both, &bob).await, 1);
    assert_eq!(serves(NEW, &bob).await, 0, "the first line seals");
    assert_eq!(serves(KEY, &bob).await, 1, "the second does not");
}

/// A store that accepts connections and never answers delays a request by what is set.
#[tokio::test]
async fn ca_09_a_request_waits_for_a_store_as_long_as_is_set() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let key = crate::credentials::File::new();
    fs::write(&key.0, KEY).unwrap();
    let wait = Duration::from_millis(1_200);
    let rig = Rig::new(
        PROTECTED,
        |_| ok(),
        |config| {
            let mut store = SharedStore::new(url, key.0.clone());
            store.wait = wait;
            config.shared_store = Some(store);
        },
    )
    .await;
    let token = rig.token("alice");
    let begun = Instant::now();
    let answer = rig
        .exchange(format!(
            "GET / HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
        .await;
    assert_eq!(answer.status, 200);
    let took = begun.elapsed();
    assert!(took >= wait && took < wait * 4, "{took:?}");
}

#[tokio::test]
async fn whether_the_store_is_there_is_a_figure() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let rig = Rig::new(
        PROTECTED,
        |_| ok(),
        |config| {
            with_admin(config);
            config.shared_store = Some(redis.store(KEY));
        },
    )
    .await;
    let has = async |line: &str| {
        let said = admin(&rig).await.figures().await;
        said.lines().any(|said| said == line)
    };
    in_time(async { while !has("obo_shared_store_up 1").await {} }).await;
    for line in [
        "obo_shared_store_deletions_owed 0",
        "obo_shared_store_deletions_dropped_total 0",
        "obo_shared_store_lookups_total{result=\"busy\"} 0",
        "obo_shared_store_lookups_total{result=\"skipped\"} 0",
    ] {
        assert!(has(line).await, "{line}");
    }
    redis.process.kill().unwrap();
    let token = rig.token("alice");
    let request = format!("GET / HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(rig.exchange(request).await.status, 200);
    in_time(async { while !has("obo_shared_store_up 0").await {} }).await;
    // Where gateways share nothing there is nothing to be away.
    let rig = Rig::new(PROTECTED, |_| ok(), with_admin).await;
    let said = admin(&rig).await.figures().await;
    assert!(!said.contains("obo_shared_store_up"), "{said}");
}

#[tokio::test]
async fn a_gateway_does_not_start_with_a_key_that_is_none() {
    let Some(redis) = Redis::start().await else {
        return;
    };
    let mut config = Rig::config("http://127.0.0.1:9", "http://127.0.0.1:9", PROTECTED);
    config.shared_store = Some(redis.store("short\n"));
    let checked = config.clone();
    let checked = tokio::task::spawn_blocking(move || obo_gateway::check(&checked));
    let said = checked.await.unwrap().unwrap_err().to_string();
    assert!(said.contains("key 1 has 5 bytes"), "{said}");
    fs::remove_file(redis.directory.join("key")).unwrap();
    let said = obo_gateway::start(config).await.unwrap_err().to_string();
    assert!(said.contains("cannot be read"), "{said}");
}
