//! The built binary, as a user runs it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use entra_emulator::demo;

use crate::support::claims_of;

const BINARY: &str = env!("CARGO_BIN_EXE_entra-emulator");

/// A running emulator that is killed when a test fails.
struct Running {
    child: Child,
    offered: String,
}

impl Running {
    fn start() -> Self {
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0", "--arm-listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut offered = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            offered += &line;
            offered.push('\n');
            if line.starts_with("A token for curl") {
                break;
            }
        }
        Self { child, offered }
    }

    fn url(&self) -> &str {
        self.offered
            .lines()
            .find_map(|line| line.trim().strip_prefix("Entra ID "))
            .unwrap()
            .trim()
    }

    fn token(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(["token", "--url", self.url()]).args(arguments);
        command.output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(output: &[u8]) -> &str {
    std::str::from_utf8(output).unwrap()
}

#[test]
fn it_says_what_it_offers_hands_out_tokens_and_ends_cleanly() {
    let mut running = Running::start();
    for part in [
        "not Microsoft",
        demo::CONTOSO,
        demo::API_CLIENT_ID,
        "alice-demo",
    ] {
        assert!(
            running.offered.contains(part),
            "{part}: {}",
            running.offered
        );
    }

    let alice = running.token(&["--user", "alice"]);
    assert!(alice.status.success(), "{}", text(&alice.stderr));
    assert_eq!(text(&alice.stdout).lines().count(), 1);
    let claims = claims_of(text(&alice.stdout).trim());
    assert_eq!(claims["oid"], demo::ALICE_OID);
    assert_eq!(claims["scp"], demo::API_SCOPE);
    let app = running.token(&["--app-only"]);
    assert_eq!(claims_of(text(&app.stdout).trim())["idtyp"], "app");
    let expired = running.token(&["--expired"]);
    let expired = claims_of(text(&expired.stdout).trim());
    assert!(expired["exp"].as_i64() < claims["nbf"].as_i64());

    let nobody = running.token(&["--user", "nobody"]);
    assert!(!nobody.status.success());
    assert!(nobody.stdout.is_empty());
    assert!(text(&nobody.stderr).contains("there are alice, bob"));

    #[cfg(unix)]
    {
        let id = running.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        assert!(running.child.wait().unwrap().success());
    }
}

#[test]
fn without_an_emulator_it_says_how_to_start_one() {
    // A port that was free a moment ago, and that nobody was told of.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let output = Command::new(BINARY)
        .args(["token", "--url", &format!("http://127.0.0.1:{port}")])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("start one with `entra-emulator`"), "{said}");
    assert!(said.contains("--url"), "{said}");
}

#[test]
fn an_address_that_others_reach_needs_a_flag() {
    let output = Command::new(BINARY)
        .args(["--listen", "0.0.0.0:0", "--arm-listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "EX_USAGE");
    let said = text(&output.stderr);
    assert!(said.contains("not a loopback address"), "{said}");
    assert!(said.contains("--expose"), "{said}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for arguments in [
        ["--token-lifetime", "0"],
        ["--redirect-uri", "foo"],
        ["--public-url", "localhost:9400"],
        ["--listen", "nowhere"],
    ] {
        let output = Command::new(BINARY).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(text(&output.stderr).contains(arguments[0]), "{arguments:?}");
    }
}
