//! Prometheus itself reads `/metrics`, and its own tool finds nothing wrong with it.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use obo_gateway::{AccessLog, AuditLog, Config};
use tokio::{sync::oneshot, time};

use crate::{
    admin::{admin, with_admin},
    client::{Client, in_time},
    collector::Collector,
    rig::Rig,
    upstream::ok,
};

const ROUTES: &str = "[[route]]\npath = '/a/*'\ndownstream = 'arm'\n";

/// Whether it is on this machine; where it is not, that is said aloud, and in CI it fails.
#[expect(clippy::print_stderr, reason = "what is skipped is said aloud")]
pub(crate) fn is_installed(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        assert!(env::var_os("CI").is_none(), "{program} is not installed");
        eprintln!("SKIPPED: {program} is not installed (scripts/install-test-tools)");
    }
    there
}

/// A gateway that has served one request and refused one.
async fn rig() -> Rig {
    let collector = Collector::start().await;
    let traces = format!("[traces]\nendpoint = 'http://{}'\n", collector.address);
    let change = |config: &mut Config| {
        with_admin(config);
        config.access_log = Some(AccessLog::text(io::sink()));
        config.audit_log = Some(AuditLog::text(io::sink()));
    };
    let rig = Rig::new(&format!("{traces}{ROUTES}"), |_| ok(), change).await;
    let authorization = format!("Authorization: Bearer {}\r\n", rig.token("alice"));
    for (authorization, status) in [(&*authorization, 200), ("", 401)] {
        let request = format!("GET /a/1 HTTP/1.1\r\nHost: gw\r\n{authorization}\r\n");
        assert_eq!(rig.exchange(request).await.status, status);
    }
    rig
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    if !is_installed("promtool") {
        return;
    }
    let metrics = admin(&rig().await).await.figures().await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(metrics.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{said}\n{metrics}"
    );
}

struct Prometheus {
    process: Child,
    folder: PathBuf,
}

impl Prometheus {
    /// It scrapes `target`, and answers at the address.
    async fn start(target: &str) -> (Self, SocketAddr) {
        let folder = env::temp_dir().join(format!("obo-prometheus-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n\
             - {{ job_name: gateway, static_configs: [{{ targets: ['{target}'] }}] }}\n"
        );
        fs::write(&config, text).unwrap();
        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .arg("--enable-feature=exemplar-storage")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (tell, told) = oneshot::channel();
        // Reads on until the process ends, so that it never waits for a reader.
        std::thread::spawn(move || {
            let mut tell = Some(tell);
            for line in stderr.lines().map_while(Result::ok) {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if line["msg"] == "Listening on"
                    && let Some(address) = line["address"].as_str()
                    && let Some(tell) = tell.take()
                {
                    let _ = tell.send(address.parse().unwrap());
                }
            }
        });
        let address = in_time(told).await.unwrap();
        (Self { process, folder }, address)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn prometheus_scrapes_what_was_sent_and_answers_a_query_about_it() {
    if !is_installed("prometheus") {
        return;
    }
    let rig = rig().await;
    let target = rig.gateway.admin_url().unwrap();
    let target = target.trim_start_matches("http://");
    let (_prometheus, address) = Prometheus::start(target).await;
    // What came of the request with a token, of the one without, and how long the first one took.
    for (query, value) in [
        ("obo_requests_total{route=\"/a/*\",outcome=\"2xx\"}", "1"),
        ("obo_refusals_total{problem=\"missing-token\"}", "1"),
        ("obo_build_info{version!=\"\",commit!=\"\"}", "1"),
        ("obo_upstream_duration_seconds_bucket{le=\"%2BInf\"}", "1"),
    ] {
        let query: String = query
            .replace('"', "%22")
            .replace('{', "%7B")
            .replace('}', "%7D");
        let path = format!("/api/v1/query?query={query}");
        in_time(async {
            loop {
                let answer = Client::connect(address).await.get(&path).await;
                // While it starts it says so in plain words.
                if let Ok(answer) = serde_json::from_str::<serde_json::Value>(&answer.body) {
                    assert_eq!(answer["status"], "success", "{answer}");
                    if answer["data"]["result"][0]["value"][1] == value {
                        return;
                    }
                }
                time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }
    // Each request is in a trace, and Prometheus knows which.
    let query = "query=obo_request_duration_seconds_bucket&start=0&end=9999999999";
    let path = format!("/api/v1/query_exemplars?{query}");
    let answer = Client::connect(address).await.get(&path).await;
    let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let trace = &answer["data"][0]["exemplars"][0]["labels"]["trace_id"];
    assert_eq!(trace.as_str().map(str::len), Some(32), "{answer}");
}
