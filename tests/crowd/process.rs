//! The gateway as a process of its own, and what it takes.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use entra_emulator::{Emulator, demo as ids};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Gateway {
    process: Child,
    pub(crate) address: SocketAddr,
}

/// What the process takes now, and has taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) mib: u64,
    pub(crate) peak_mib: u64,
    pub(crate) descriptors: usize,
    /// Seconds of processor time since the start.
    pub(crate) cpu: f64,
}

impl Gateway {
    pub(crate) async fn start(binary: &Path, emulator: &Emulator, upstream: SocketAddr) -> Self {
        let mut process = Command::new(binary)
            .args(["--listen", "127.0.0.1:0"])
            .args(["--upstream", &format!("http://{upstream}")])
            .args(["--authority", emulator.url(), "--allow-http-loopback"])
            .args(["--tenant", ids::CONTOSO, "--client-id", ids::API_CLIENT_ID])
            .args(["--scope", ids::API_SCOPE])
            .env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(url) = obo_tests::binaries::url(&line)
                    && line.contains("gateway listens")
                {
                    return url.trim_start_matches("http://").parse().unwrap();
                }
            }
            panic!("the gateway did not say where it listens");
        });
        let address = address.await.expect("it starts in time");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { process, address }
    }

    pub(crate) fn usage(&self) -> Usage {
        let folder = format!("/proc/{}", self.process.id().expect("it runs"));
        let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
        let mib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kib / 1024
        };
        let stat = std::fs::read_to_string(format!("{folder}/stat")).unwrap();
        // After the name, which is in brackets: utime and stime in ticks, a hundred a second.
        let (_, numbers) = stat.rsplit_once(')').unwrap();
        let ticks = numbers.split_whitespace().skip(11).take(2);
        let ticks: u32 = ticks.map(|ticks| ticks.parse::<u32>().unwrap()).sum();
        Usage {
            cpu: f64::from(ticks) / 100.0,
            mib: mib("VmRSS:"),
            peak_mib: mib("VmHWM:"),
            descriptors: std::fs::read_dir(format!("{folder}/fd")).unwrap().count(),
        }
    }

    pub(crate) async fn stop(mut self) {
        let pid = self.process.id().expect("it runs").to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(asked.unwrap().success());
        let ended = timeout(PATIENCE, self.process.wait()).await;
        assert!(ended.expect("it ends").unwrap().success());
    }
}
