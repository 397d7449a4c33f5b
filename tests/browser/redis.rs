//! A Redis of a test's own.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::sleep,
};

/// Debian's Redis on a socket in a folder of its own; both go when it is dropped.
pub(crate) struct Redis {
    process: Child,
    folder: PathBuf,
}

impl Redis {
    /// `None`, said aloud, where there is no Redis on this machine; in CI that fails.
    #[expect(clippy::print_stderr, reason = "what is skipped is said aloud")]
    pub(crate) async fn start() -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("obo-browser-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket", "socket"])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            assert!(
                std::env::var_os("CI").is_none(),
                "redis-server is not installed"
            );
            eprintln!("SKIPPED: redis-server is not installed (scripts/install-test-tools)");
            return None;
        };
        let redis = Self { process, folder };
        for _ in 0..2_000 {
            if redis.say("PING").await.is_some_and(|said| said == "+PONG") {
                return Some(redis);
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}/socket", self.folder.display())
    }

    /// What it answers to a line, if it is there.
    pub(crate) async fn say(&self, line: &str) -> Option<String> {
        let mut socket = UnixStream::connect(self.folder.join("socket")).await.ok()?;
        socket
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .ok()?;
        let mut said = [0; 256];
        let length = socket.read(&mut said).await.ok()?;
        let said = String::from_utf8_lossy(&said[..length]);
        Some(said.trim_end().to_owned())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
