//! How long the gateway takes from its start until it says that it is ready, keys fetched.

use std::{io, path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{self, Instant},
};

use super::{
    proxies::Proxy,
    rig::{Rig, free_port},
};

/// So many are measured.
pub(crate) const STARTS: usize = 25;

/// Between two questions: as exactly it is known.
const PAUSE: Duration = Duration::from_micros(500);

/// The median of some starts.
pub(crate) async fn median(rig: &Rig, binary: &Path) -> Duration {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(once(rig, binary).await);
    }
    times.sort_unstable();
    times[STARTS / 2]
}

async fn once(rig: &Rig, binary: &Path) -> Duration {
    let admin = free_port();
    let upstream = format!("http://127.0.0.1:{}", rig.upstream);
    let listen = ["--admin-listen", &format!("127.0.0.1:{admin}")];
    let gateway = Proxy::gateway(rig, binary, &upstream, 2, &listen);
    let began = Instant::now();
    let _server = gateway.spawn(rig);
    let ready = async {
        while !is_ready(admin).await.unwrap_or(false) {
            time::sleep(PAUSE).await;
        }
    };
    let waited = time::timeout(Duration::from_secs(30), ready).await;
    waited.expect("the gateway becomes ready");
    began.elapsed()
}

async fn is_ready(admin: u16) -> io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", admin)).await?;
    let question = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(question.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
