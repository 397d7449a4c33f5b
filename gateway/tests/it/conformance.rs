//! What others have written to judge a server: run by `scripts/conformance`, which gets the tools.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use obo_gateway::Tls;
use tokio::task;

use crate::{
    certificates::{Ca, Folder},
    rig::Rig,
    upstream::Reply,
};

/// Where a tool is, as the script says.
fn tool(name: &str) -> PathBuf {
    std::env::var_os(name).map_or_else(|| panic!("{name} is not set"), PathBuf::from)
}

/// What h2spec says. It has 146 cases, each of which may take two seconds.
async fn h2spec(port: u16, more: &[&str]) -> String {
    let mut command = Command::new(tool("H2SPEC"));
    command
        .args(["-h", "127.0.0.1", "-o", "2", "-S", "-p", &port.to_string()])
        .args(more)
        .stdin(Stdio::null());
    let running = task::spawn_blocking(move || command.output());
    let output = running.await.unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything is allowed and answered, by more than a few bytes: there are cases about windows.
async fn rig(tls: Option<Tls>) -> Rig {
    let body = "a".repeat(4096);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n{body}");
    Rig::public_with(
        move |_| Reply::Keep(answer.clone()),
        |config| config.tls = tls,
    )
    .await
}

#[tokio::test]
#[ignore = "needs h2spec; scripts/conformance/h2spec runs it"]
async fn h2spec_finds_nothing_without_tls() {
    let rig = rig(None).await;
    let said = h2spec(rig.gateway.local_addr().port(), &[]).await;
    // A line that is neither the preface nor a request gets HTTP/1's 400 on a port where both are
    // spoken, and its connection ends. h2spec wants the end alone.
    let failures: Vec<_> = said.lines().filter(|line| line.contains('×')).collect();
    let other = failures
        .iter()
        .find(|line| !line.contains("Sends invalid connection preface"));
    assert_eq!(other, None, "{said}");
    assert!(
        said.contains("146 tests, 145 passed, 0 skipped, 1 failed"),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "needs h2spec; scripts/conformance/h2spec runs it"]
async fn h2spec_finds_nothing_over_tls() {
    let folder = Folder::new();
    let rig = rig(Some(folder.put(&Ca::new().issue()))).await;
    let said = h2spec(rig.gateway.local_addr().port(), &["-t", "-k"]).await;
    assert!(
        said.contains("146 tests, 146 passed, 0 skipped, 0 failed"),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "needs sslyze; scripts/conformance/tls runs it"]
async fn sslyze_finds_nothing() {
    let folder = Folder::new();
    let rig = rig(Some(folder.put(&Ca::new().issue()))).await;
    let mut command = Command::new(tool("SSLYZE"));
    command
        .args(["--sni", "localhost", "--mozilla_config", "intermediate"])
        .arg(rig.gateway.local_addr().to_string())
        .stdin(Stdio::null());
    let running = task::spawn_blocking(move || command.output());
    let output = running.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let (_, compliance) = said.split_once("COMPLIANCE AGAINST").unwrap();
    // Of the test's certificate, which is nobody's and lasts for ever.
    let of_the_test = [
        "certificate_path_validation",
        "maximum_certificate_lifespan",
    ];
    let findings: Vec<_> = compliance
        .lines()
        .filter_map(|line| line.trim().strip_prefix("* "))
        .filter(|finding| !of_the_test.iter().any(|own| finding.starts_with(own)))
        .collect();
    assert!(findings.is_empty(), "{findings:#?}\n{said}");
    assert!(said.contains("OK - Not vulnerable to Heartbleed"), "{said}");
    assert!(!said.contains("ERROR: "), "{said}");
}
