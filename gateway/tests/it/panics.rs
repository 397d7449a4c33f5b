//! LO-01: what a panic says, in a process of its own, since a hook is the whole process's.

use std::process::Command;

const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";
const CHILD: &str = "OBO_TEST_PANICS";

#[test]
fn lo_01_a_panic_whose_message_holds_a_token_shows_it_nowhere() {
    if let Some(logs) = std::env::var_os(CHILD) {
        obo_gateway::hide_panic_messages();
        if logs == "log" {
            let log = tracing_subscriber::fmt().with_writer(std::io::stderr);
            log.init();
        }
        let panicked = std::thread::spawn(|| {
            let token = std::hint::black_box(TOKEN);
            panic!("{token} cannot be meant");
        });
        assert!(panicked.join().is_err());
        return;
    }
    for logs in ["log", "none"] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["panics::lo_01", "--nocapture", "--test-threads=1"])
            .env(CHILD, logs)
            .output()
            .unwrap();
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
