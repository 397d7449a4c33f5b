//! LO-01: what a panic says, in a process of its own, since a hook is the whole process's.

use std::{
    io::{self, Read as _},
    process::{Command, Stdio},
};

const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";
const CHILD: &str = "OBO_TEST_PANICS";

#[test]
fn lo_01_a_panic_whose_message_holds_a_token_shows_it_nowhere() {
    if let Some(logs) = std::env::var_os(CHILD) {
        obo_gateway::hide_panic_messages();
        let level = match &*logs.to_string_lossy() {
            "log" => Some("info"),
            // As `log.level = "off"` has it, and as a level that is not ours.
            "off" => Some("off"),
            "others" => Some("error,obo_gateway=off"),
            _ => None,
        };
        if let Some(level) = level {
            let log = tracing_subscriber::fmt().with_writer(io::stderr);
            log.with_env_filter(level).init();
        }
        let panicked = std::thread::spawn(|| {
            let token = std::hint::black_box(TOKEN);
            panic!("{token} cannot be meant");
        });
        assert!(panicked.join().is_err());
        return;
    }
    for logs in ["log", "none", "off", "others"] {
        let child = child(logs).output().unwrap();
        let [out, err] = [&child.stdout, &child.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(child.status.success(), "{out}{err}");
        assert!(
            err.contains("a panic") && err.contains("panics.rs"),
            "{logs}: {err}"
        );
        for text in [out, err] {
            assert!(!text.contains("eyJ"), "{logs}: {text}");
        }
    }
}

/// Standard error may be a pipe whose reader has gone: a panic in the hook would be the end of the process.
#[test]
fn a_panic_that_cannot_be_said_anywhere_is_no_worse_for_it() {
    let (reader, writer) = io::pipe().unwrap();
    let mut child = child("off")
        .stdout(Stdio::piped())
        .stderr(writer)
        .spawn()
        .unwrap();
    drop(reader);
    let mut out = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_to_string(&mut out).unwrap();
    assert!(child.wait().unwrap().success(), "{out}");
}

fn child(logs: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["panics::lo_01", "--nocapture", "--test-threads=1"])
        .env(CHILD, logs);
    command
}
