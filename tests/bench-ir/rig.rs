//! What stands around the gateway while it is measured: Entra ID, an upstream, a client.

use std::{path::Path, process::Stdio, time::Duration};

use entra_emulator::{Emulator, demo as ids};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::timeout,
};

use super::callgrind::{self, Cost};

/// Under callgrind everything takes fifty times as long.
const PATIENCE: Duration = Duration::from_secs(120);

const USERS: [&str; 2] = ["alice", "bob"];

/// Whether a request's token has been seen before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    Before,
    First,
}

pub(crate) struct Rig {
    emulator: Emulator,
    upstream: String,
    tokens: Vec<String>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let emulator = Emulator::builder().start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(answer_all(listener));
        let tokens = USERS.map(|user| emulator.user_token(user)).into();
        Self {
            emulator,
            upstream,
            tokens,
        }
    }

    pub(crate) fn token_bytes(&self) -> usize {
        self.tokens[0].len()
    }

    /// What the gateway costs from its start to its end, with that many requests in between: of tokens that it
    /// knows, or each with one of its own.
    pub(crate) async fn cost(&self, gateway: &Path, requests: usize, seen: Seen) -> Cost {
        let out = std::env::temp_dir().join(format!("callgrind-{}", std::process::id()));
        let (mut process, address) = self.gateway(gateway, &out).await;
        self.until_ready(&address).await;
        let mut connection = TcpStream::connect(&address).await.unwrap();
        for number in 0..requests {
            let known = &self.tokens[number % self.tokens.len()];
            let token = match seen {
                Seen::Before => known.clone(),
                Seen::First => self.emulator.user_token(USERS[0]),
            };
            get(&mut connection, &token).await;
        }
        let pid = process.id().expect("it runs").to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(asked.unwrap().success());
        let ended = timeout(PATIENCE, process.wait()).await.expect("it ends");
        assert!(ended.unwrap().success());
        let cost = callgrind::read(&std::fs::read_to_string(&out).unwrap());
        std::fs::remove_file(out).unwrap();
        cost
    }

    /// Until every token has been exchanged: the requests that are counted are cached ones.
    async fn until_ready(&self, address: &str) {
        let client = obo_tests::api::client();
        for token in &self.tokens {
            let ready = timeout(PATIENCE, async {
                loop {
                    let url = format!("http://{address}/");
                    let answer = client.get(url).bearer_auth(token).send().await.unwrap();
                    if answer.status() == 200 {
                        return;
                    }
                    assert_eq!(answer.status(), 503, "the keys are not there yet");
                }
            });
            ready.await.expect("the gateway becomes ready");
        }
    }

    async fn gateway(&self, gateway: &Path, out: &Path) -> (Child, String) {
        let mut process = Command::new("valgrind")
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(gateway)
            .args(["--listen", "127.0.0.1:0", "--workers", "1"])
            .args([
                "--upstream",
                &self.upstream,
                "--authority",
                self.emulator.url(),
            ])
            .args(["--allow-http-loopback", "--tenant", ids::CONTOSO])
            .args(["--client-id", ids::API_CLIENT_ID, "--scope", ids::API_SCOPE])
            .args([
                "--downstream-scope",
                "https://management.azure.com/user_impersonation",
            ])
            .env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("valgrind is installed");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(url) = obo_tests::binaries::url(&line)
                    && line.contains("gateway listens")
                {
                    return url.trim_start_matches("http://").to_owned();
                }
            }
            panic!("the gateway did not say where it listens");
        });
        let address = address.await.expect("it starts in time");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (process, address)
    }
}

/// One request on a connection that stays, and its answer.
async fn get(connection: &mut TcpStream, token: &str) {
    let request = format!(
        "GET /api/items/1 HTTP/1.1\r\nHost: gateway.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(BODY) {
        let read = timeout(PATIENCE, connection.read(&mut buffer)).await;
        let read = read.expect("an answer in time").unwrap();
        answer.extend_from_slice(&buffer[..read]);
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        assert!(
            answer.len() < 16 || answer.starts_with(b"HTTP/1.1 200 OK\r"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
}

const BODY: &[u8] = b"{\"id\":1,\"name\":\"an item of two hundred bytes or so\"}";

/// The upstream: the same answer to everything that ends like a request head.
async fn answer_all(listener: TcpListener) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
        BODY.len(),
        String::from_utf8_lossy(BODY)
    );
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = answer.clone();
        tokio::spawn(async move {
            let mut head = Vec::new();
            let mut buffer = [0; 8192];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                head.extend_from_slice(&buffer[..read]);
                if head.ends_with(b"\r\n\r\n") {
                    head.clear();
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}
