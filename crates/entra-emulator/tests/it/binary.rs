//! The built binary, as a user runs it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use entra_emulator::demo;

use crate::support::claims_of;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_entra-emulator");

/// A running emulator that is killed when a test fails.
pub(crate) struct Running {
    child: Child,
    pub(crate) offered: String,
}

impl Running {
    fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    fn start_in(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0", "--arm-listen", "127.0.0.1:0"])
            .args(arguments)
            .envs(environment.iter().copied())
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

    pub(crate) fn url(&self) -> &str {
        self.offer("Entra ID ")
    }

    fn offer(&self, what: &str) -> &str {
        self.offered
            .lines()
            .find_map(|line| line.trim().strip_prefix(what))
            .unwrap()
            .trim()
    }

    /// Gives the running emulator a command.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).args(["--url", self.url()]);
        command.output().unwrap()
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

pub(crate) fn text(output: &[u8]) -> &str {
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
fn over_https_a_client_trusts_the_file_it_was_given() {
    let folder = std::env::temp_dir().join(format!("entra-emulator-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ca.pem");
    let running = Running::start_with(&["--ca-file", file.to_str().unwrap()]);
    let url = running.offer("Entra ID, https ").to_owned();
    assert!(
        running
            .offer("Resource Manager, https ")
            .starts_with("https://")
    );
    let token = |more: &[&str]| {
        Command::new(BINARY)
            .args(["token", "--url", &url])
            .args(more)
            .output()
            .unwrap()
    };
    let trusting = token(&["--ca-file", file.to_str().unwrap()]);
    let distrusting = token(&[]);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(trusting.status.success(), "{}", text(&trusting.stderr));
    let claims = claims_of(text(&trusting.stdout).trim());
    let issuer = claims["iss"].as_str().unwrap();
    assert!(issuer.starts_with(&url), "{issuer}");
    assert!(!distrusting.status.success());
}

#[test]
fn the_variable_that_names_what_a_client_trusts_is_never_written_to() {
    let folder = std::env::temp_dir().join(format!("entra-emulator-ca-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (trusted, written) = (file("trusted.pem"), file("written.pem"));
    std::fs::write(&trusted, "of another emulator").unwrap();
    let running = Running::start_in(
        &[],
        &[
            ("ENTRA_EMULATOR_CA_FILE", &trusted),
            ("ENTRA_EMULATOR_WRITE_CA_FILE", &written),
        ],
    );
    assert!(running.offered.contains("https"));
    let contents = [&trusted, &written].map(|path| std::fs::read_to_string(path).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(contents[0], "of another emulator");
    assert!(
        contents[1].starts_with("-----BEGIN CERTIFICATE-----"),
        "{}",
        contents[1]
    );
}

#[test]
fn it_says_that_a_token_changes_who_has_consented() {
    let help = Command::new(BINARY)
        .args(["token", "--help"])
        .output()
        .unwrap();
    let help = text(&help.stdout);
    let (about, flags) = help.split_once("Usage:").unwrap();
    assert!(
        about.contains("records what the user would have consented to"),
        "{help}"
    );
    assert!(
        flags.contains("Take back all that the user has consented to"),
        "{help}"
    );
}

#[test]
fn https_can_be_left_out() {
    let running = Running::start_with(&["--no-https"]);
    assert!(!running.offered.contains("https:"), "{}", running.offered);
    let both = Command::new(BINARY)
        .args(["--no-https", "--ca-file", "ca.pem"])
        .output()
        .unwrap();
    assert_eq!(both.status.code(), Some(64), "EX_USAGE");
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
