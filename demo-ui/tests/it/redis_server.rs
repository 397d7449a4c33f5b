//! A Redis of a test's own, and two machines that share it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use redis::Connection;
use tokio::time::sleep;

use crate::browser::Browser;
use crate::support::{World, config};

/// Debian's Redis on a socket in a folder of its own; both go when it is dropped.
pub(crate) struct Redis {
    pub(crate) process: Child,
    pub(crate) folder: PathBuf,
}

impl Redis {
    /// `None`, said aloud, where there is no Redis on this machine; in CI that fails.
    pub(crate) async fn start() -> Option<Self> {
        Self::with(|_| Vec::new()).await
    }

    /// With more options; what they name may be written to its folder first.
    #[expect(clippy::print_stderr, reason = "what is skipped is said aloud")]
    pub(crate) async fn with(options: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        if Command::new("redis-server")
            .arg("--version")
            .output()
            .is_err()
        {
            assert!(
                std::env::var_os("CI").is_none(),
                "redis-server is not installed"
            );
            eprintln!("SKIPPED: redis-server is not installed (scripts/install-test-tools)");
            return None;
        }
        let name = format!("demo-ui-redis-{}", uuid::Uuid::new_v4().simple());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let options = options(&folder);
        let redis = Self {
            process: spawn(&folder, &options),
            folder,
        };
        redis.until_it_answers().await;
        Some(redis)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}/socket", self.folder.display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    pub(crate) fn connection(&self) -> Option<Connection> {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection().ok()
    }

    pub(crate) async fn until_it_answers(&self) {
        for _ in 0..2_000 {
            let ping = |mut connection| redis::cmd("PING").query::<String>(&mut connection).ok();
            if self.connection().and_then(ping).is_some() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer");
    }

    /// What somebody says who has all rights.
    pub(crate) fn say(&self, words: &[&str]) {
        let mut connection = self.connection().unwrap();
        let (first, rest) = words.split_first().unwrap();
        let mut command = redis::cmd(first);
        command.arg(rest).exec(&mut connection).unwrap();
    }

    pub(crate) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Names and values of everything that is in it.
    pub(crate) fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let mut connection = self.connection().unwrap();
        let names: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        let mut value = |name: &String| {
            let value = redis::cmd("GET").arg(name).query(&mut connection);
            (name.clone(), value.unwrap())
        };
        names.iter().map(&mut value).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn spawn(folder: &Path, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket", "socket"])
        .args(options)
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Two machines behind one address, with one Redis; browsers of each.
pub(crate) async fn two(redis: &Redis) -> (World, demo_ui::Running, Browser, Browser) {
    let one = World::with(|config| config.redis_url = Some(redis.url().into())).await;
    let mut config = config(&one.entra.url(), &one.api.url);
    config.public_url = Some(one.ui.url().parse().unwrap());
    config.redis_url = Some(redis.url().into());
    let other = demo_ui::start(config).await.unwrap();
    let here = one.browser();
    let there = Browser::new(&format!("http://{}", other.local_addr()));
    (one, other, here, there)
}

/// Both browsers are one: the load balancer sent it elsewhere.
pub(crate) fn goes_on(from: &Browser, to: &Browser) {
    let (name, value) = from.cookie();
    to.set_cookie(&name, &value);
}

/// A port that is free now, and that the system gives to nobody who does not ask for it: until the server has it,
/// other tests listen on many, and connect from as many.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other processes that do the same begin elsewhere.
    let first = u16::try_from(std::process::id() % 12_000).unwrap();
    loop {
        let next = first + NEXT.fetch_add(1, Ordering::Relaxed) % 12_000;
        let port = 20_000 + next % 12_000;
        // The server listens on every address.
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
