//! What others have written to judge a server: run by `scripts/conformance`, which gets the tools.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Command, Stdio},
};

use obo_gateway::Tls;
use serde_json::Value;
use tokio::task;

use crate::{
    certificates::{Ca, Folder, Identity},
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

/// What sslyze says, in words and as data.
async fn sslyze(rig: &Rig, folder: &Folder) -> (String, Value) {
    let data = folder.path("sslyze.json");
    let mut command = Command::new(tool("SSLYZE"));
    command
        .args(["--sni", "localhost", "--mozilla_config", "intermediate"])
        .arg("--json_out")
        .arg(&data)
        .arg(rig.gateway.local_addr().to_string())
        .stdin(Stdio::null());
    let running = task::spawn_blocking(move || command.output());
    let output = running.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let data = std::fs::read_to_string(data).unwrap_or_else(|error| panic!("{error}: {said}"));
    (said, serde_json::from_str(&small(&data)).unwrap())
}

/// The same with 0 for numbers that no integer has room for: an RSA key is one.
fn small(json: &str) -> String {
    let mut text = String::new();
    for part in json.split_inclusive(|character: char| !character.is_ascii_digit()) {
        let digits = part.trim_end_matches(|character: char| !character.is_ascii_digit());
        text.push_str(if digits.len() > 18 { "0" } else { digits });
        text.push_str(&part[digits.len()..]);
    }
    text
}

#[tokio::test]
#[ignore = "needs sslyze; scripts/conformance/tls runs it"]
async fn sslyze_finds_tls_1_2_and_1_3_with_strong_ciphers_and_nothing_else() {
    judge("ECDSA", Ca::new().issue()).await;
}

#[tokio::test]
#[ignore = "needs sslyze; scripts/conformance/tls runs it"]
async fn sslyze_finds_nothing_else_with_an_rsa_certificate_either() {
    judge("RSA", Ca::new().issue_rsa()).await;
}

/// `key` is that of the certificate, as the names of TLS 1.2's suites have it.
async fn judge(key: &str, identity: Identity) {
    let folder = Folder::new();
    let rig = rig(Some(folder.put(&identity))).await;
    let (said, data) = sslyze(&rig, &folder).await;
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

    let found = &data["server_scan_results"][0]["scan_result"];
    let ciphers = |version: &str| {
        let result = &found[format!("{version}_cipher_suites")]["result"];
        let names = result["accepted_cipher_suites"]
            .as_array()
            .unwrap_or_else(|| panic!("{version}: {result}"))
            .iter()
            .map(|cipher| cipher["cipher_suite"]["name"].as_str().unwrap().to_owned());
        names.collect::<BTreeSet<_>>()
    };
    for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        assert_eq!(ciphers(old), BTreeSet::new(), "{old}");
    }
    let suites = [
        "AES_128_GCM_SHA256",
        "AES_256_GCM_SHA384",
        "CHACHA20_POLY1305_SHA256",
    ];
    let wanted = |before: &str| suites.map(|suite| format!("{before}{suite}")).into();
    let tls_1_2: BTreeSet<String> = wanted(&format!("TLS_ECDHE_{key}_WITH_"));
    assert_eq!(ciphers("tls_1_2"), tls_1_2);
    let tls_1_3: BTreeSet<String> = wanted("TLS_");
    assert_eq!(ciphers("tls_1_3"), tls_1_3);
}
