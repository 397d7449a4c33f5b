//! Debian's Redis, started for one test.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use redis::Connection;
use tokio::time::sleep;

/// What the names begin with of the marks of the keys in use.
const MARKS: &str = "obo:1:keys:";

/// How long it may take until a server answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis of one's own, in a directory of its own; both go when it is dropped.
pub(super) struct RedisServer {
    process: Child,
    directory: PathBuf,
    arguments: Vec<String>,
}

impl RedisServer {
    /// On a Unix socket. `None`, said aloud, where there is no Redis on this machine; in CI that
    /// fails.
    pub(super) async fn start() -> Option<Self> {
        Self::with(|_| Vec::new()).await
    }

    /// With further arguments, which may name files of its directory.
    #[expect(clippy::print_stderr, reason = "what is skipped is said aloud")]
    pub(super) async fn with(
        arguments: impl FnOnce(&std::path::Path) -> Vec<String>,
    ) -> Option<Self> {
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
        let arguments = arguments(&directory);
        let process = spawn(&directory, &arguments);
        let server = Self {
            process,
            directory,
            arguments,
        };
        server.until_it_answers().await;
        Some(server)
    }

    pub(super) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// A connection to look into it.
    pub(super) fn look(&self) -> Connection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection().unwrap()
    }

    /// Entries and claims: names, values as they are, and as `DUMP` has them.
    pub(super) fn contents(&self) -> Vec<(String, Vec<u8>, Vec<u8>)> {
        self.contents_of(self.names())
    }

    /// Everything that is in it.
    pub(super) fn all_contents(&self) -> Vec<(String, Vec<u8>, Vec<u8>)> {
        self.contents_of(self.all_names())
    }

    fn contents_of(&self, names: Vec<String>) -> Vec<(String, Vec<u8>, Vec<u8>)> {
        let mut connection = self.look();
        names
            .into_iter()
            .map(|name| {
                let mut ask = |command: &str| -> Option<Vec<u8>> {
                    redis::cmd(command)
                        .arg(&name)
                        .query(&mut connection)
                        .unwrap()
                };
                let (value, dump) = (ask("GET"), ask("DUMP"));
                (name, value.unwrap_or_default(), dump.unwrap_or_default())
            })
            .collect()
    }

    /// Of entries and claims; the marks of the keys in use stand there beside them.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.all_names();
        names.retain(|name| !name.starts_with(MARKS));
        names
    }

    pub(super) fn has_marks(&self) -> bool {
        self.all_names().iter().any(|name| name.starts_with(MARKS))
    }

    fn all_names(&self) -> Vec<String> {
        let mut names: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut self.look()).unwrap();
        names.sort();
        names
    }

    pub(super) fn configure(&self, name: &str, value: &str) {
        redis::cmd("CONFIG")
            .arg(&["SET", name, value])
            .exec(&mut self.look())
            .unwrap();
    }

    /// The one token that it holds, once it is there and nobody is at it any more.
    pub(super) async fn one_token(&self) -> (String, Vec<u8>) {
        for _ in 0..1_000 {
            let contents = self.contents();
            if let [(name, value, _)] = &contents[..]
                && !name.ends_with(":claim")
            {
                return (name.clone(), value.clone());
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("one token: {:?}", self.names());
    }

    pub(super) async fn until_empty(&self) {
        for _ in 0..1_000 {
            if self.names().is_empty() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("empty: {:?}", self.names());
    }

    pub(super) fn set(&self, name: &str, value: &[u8]) {
        redis::cmd("SET")
            .arg(name)
            .arg(value)
            .exec(&mut self.look())
            .unwrap();
    }

    /// Ends all connections, as a server does that ends what is idle.
    pub(super) fn end_connections(&self) {
        redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal"])
            .exec(&mut self.look())
            .unwrap();
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(super) async fn start_again(&mut self) {
        self.process = spawn(&self.directory, &self.arguments);
        self.until_it_answers().await;
    }

    /// Stops it where it stands: connections stay open, and nothing is answered.
    pub(super) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(super) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    async fn until_it_answers(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            let ready = client
                .get_connection()
                .is_ok_and(|mut connection| redis::cmd("PING").exec(&mut connection).is_ok());
            if ready {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn spawn(directory: &std::path::Path, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--unixsocket", "socket", "--save", ""])
        .arg("--dir")
        .arg(directory)
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A port that is free now, and that the system gives to nobody who does not ask for it: until the server has it,
/// other tests listen on many, and connect from as many.
pub(super) fn free_port() -> u16 {
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
