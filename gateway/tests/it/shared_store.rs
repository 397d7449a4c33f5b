//! Gateways that share a Redis exchange a token once between them.

use std::{
    env, fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use entra_emulator::Endpoint;
use obo_gateway::SharedStore;
use tokio::net::UnixStream;

use crate::{
    client::{Client, in_time},
    rig::{PROTECTED, Rig},
    upstream::ok,
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

    /// What a gateway needs to share it, with a key in a file.
    fn store(&self, key: &str) -> SharedStore {
        let file = self.directory.join("key");
        fs::write(&file, key).unwrap();
        let socket = self.directory.join("socket");
        SharedStore::new(format!("redis+unix://{}", socket.display()), file)
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
