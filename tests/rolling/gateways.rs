//! Gateways as processes of their own behind one listening socket, which outlives each of them, as a
//! service manager's does.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a gateway may take to be ready, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The socket, and what every gateway behind it is started with.
pub(crate) struct Fleet {
    binary: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    socket: TcpListener,
    pub(crate) address: SocketAddr,
}

/// One of them.
pub(crate) struct Gateway {
    process: Child,
    pub(crate) admin: String,
}

impl Fleet {
    pub(crate) fn new(
        binary: &Path,
        arguments: Vec<String>,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            address: socket.local_addr().unwrap(),
            binary: binary.into(),
            arguments,
            environment,
            socket,
        }
    }

    /// One more, once it is ready.
    pub(crate) async fn start(&self) -> Gateway {
        let socket = OwnedFd::from(self.socket.try_clone().unwrap());
        // The descriptor that the protocol means is the third; only the process itself knows its id.
        let mut process = Command::new("/bin/sh")
            .args([
                "-c",
                r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" 3<&0 </dev/null"#,
            ])
            .arg(&self.binary)
            .args(&self.arguments)
            .args(["--admin-listen", "127.0.0.1:0"])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let admin = timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("gateway listens") {
                    let rest = line.split("admin=").nth(1).unwrap_or_default();
                    let url = obo_tests::binaries::url(rest).expect("it says where probes go");
                    return url;
                }
            }
            panic!("the gateway ended before it listened");
        });
        let admin = admin.await.expect("it starts in time");
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("ERROR") {
                    println!("a gateway says: {line}");
                }
            }
        });
        let gateway = Gateway { process, admin };
        let ready = timeout(PATIENCE, async {
            while gateway.get("/readyz").await.0 != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        ready.await.expect("it becomes ready");
        gateway
    }
}

impl Gateway {
    pub(crate) fn id(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    /// A page of its admin listener; status 0 where there was no answer.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        match reqwest::get(format!("{}{path}", self.admin)).await {
            Ok(answer) => (
                answer.status().as_u16(),
                answer.text().await.unwrap_or_default(),
            ),
            Err(_) => (0, String::new()),
        }
    }

    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await;
        assert!(sent.unwrap().success());
    }

    /// Ends it as a service manager does, and sees it end well.
    pub(crate) async fn stop(mut self) {
        self.signal("-TERM").await;
        let ended = timeout(PATIENCE, self.process.wait()).await;
        let status = ended.expect("it ends in time").unwrap();
        assert!(status.success(), "the gateway ended with {status}");
    }
}
