//! The built binaries, each a process of its own, put together as a user would.

use std::cell::RefCell;

use obo_tests::{
    api::{names, subscriptions},
    binaries::{self, Program},
};
use serde_json::Value;

#[tokio::test]
async fn the_four_binaries_work_together_as_separate_processes() {
    let mut emulator = Program::start(
        "entra-emulator",
        &["--listen", "127.0.0.1:0", "--arm-listen", "127.0.0.1:0"],
        &[],
    );
    let entra = RefCell::new(None);
    let arm = emulator.stdout(|line| {
        if entra.borrow().is_some() {
            return binaries::url(line);
        }
        entra.replace(binaries::url(line));
        None
    });
    let arm = arm.await;
    let entra = entra.into_inner().expect("Entra ID's address comes first");

    let mut backend = Program::start(
        "demo-backend",
        &["--listen", "127.0.0.1:0"],
        &[("ARM_URL", &arm), ("RUST_LOG", "info")],
    );
    let backend_url = backend.stderr(listening).await;

    // The file holds no secret; the environment does.
    let directory = tempdir();
    let file = directory.join("gateway.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\nupstream = \"{backend_url}\"\n\
         [entra]\nauthority = \"{entra}\"\nallow_http_loopback = true\n\
         tenant = \"{}\"\nclient_id = \"{}\"\n\
         [accept]\nscopes = [\"access_as_user\"]\n\
         [downstream.arm]\nscope = \"https://management.azure.com/user_impersonation\"\n\
         [[route]]\npath = \"/subscriptions\"\nmethods = [\"GET\"]\ndownstream = \"arm\"\n",
        entra_emulator::demo::CONTOSO,
        entra_emulator::demo::API_CLIENT_ID,
    );
    std::fs::write(&file, text).unwrap();
    let mut gateway = Program::start(
        "obo-gateway",
        &["--config", file.to_str().unwrap()],
        &[(
            "AZURE_CLIENT_SECRET",
            entra_emulator::demo::API_CLIENT_SECRET,
        )],
    );
    let gateway_url = gateway.stderr(listening).await;

    let mut ui = Program::start(
        "demo-ui",
        &["--listen", "127.0.0.1:0"],
        &[
            ("AZURE_AUTHORITY_HOST", &entra),
            ("AZURE_TENANT_ID", entra_emulator::demo::CONTOSO),
            ("DEMO_UI_CLIENT_ID", entra_emulator::demo::UI_CLIENT_ID),
            (
                "DEMO_UI_CLIENT_SECRET",
                entra_emulator::demo::UI_CLIENT_SECRET,
            ),
            ("DEMO_UI_API_URL", &format!("{gateway_url}/subscriptions")),
            ("DEMO_UI_API_SCOPE", entra_emulator::demo::API_DEFAULT_SCOPE),
            ("RUST_LOG", "info"),
        ],
    );
    let ui_url = ui.stderr(listening).await;

    let mut print_token = Program::start(
        "entra-emulator",
        &["token", "--user", "alice", "--url", &entra],
        &[],
    );
    let token = print_token
        .stdout(|line| line.starts_with("ey").then(|| line.to_owned()))
        .await;
    let answer = subscriptions(&gateway_url, Some(&token)).await;
    assert_eq!(answer.status(), 200);
    assert!(!names(&answer.json().await.unwrap()).is_empty());
    assert_eq!(subscriptions(&gateway_url, None).await.status(), 401);

    let page = obo_tests::api::client().get(&ui_url).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("Sign in"));

    for program in [ui, gateway, backend, emulator] {
        assert_eq!(program.terminate().await, Some(0));
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn the_demo_prints_one_line_of_json_and_ends_when_asked() {
    let mut demo = Program::start("obo-demo", &["--json", "--free-ports"], &[]);
    let summary: Value = demo
        .stdout(|line| Some(serde_json::from_str(line).expect("the first line is JSON")))
        .await;
    for part in ["demo_ui", "gateway", "demo_backend", "entra", "arm"] {
        let url = text(&summary[part]);
        let answer = obo_tests::api::client().get(&url).send().await;
        assert!(answer.is_ok(), "{part} answers at {url}");
    }
    let users = summary["users"].as_array().unwrap();
    assert!(
        users
            .iter()
            .any(|user| text(&user["username"]).starts_with("alice"))
    );
    assert!(
        users
            .iter()
            .all(|user| user["password"].is_string() && user["note"].is_string())
    );
    assert_eq!(demo.terminate().await, Some(0));
}

#[tokio::test]
async fn the_demo_says_what_to_open_and_the_command_it_prints_prints_a_token() {
    let mut demo = Program::start("obo-demo", &["--free-ports"], &[]);
    let said = RefCell::new(String::new());
    let command = demo.stdout(|line| {
        said.borrow_mut().push_str(line);
        said.borrow_mut().push('\n');
        line.trim()
            .strip_prefix("TOKEN=$(cargo demo ")
            .map(str::to_owned)
    });
    let command = command.await;
    let said = said.into_inner();
    assert!(said.contains("emulator: open it, too"), "{said}");

    let words: Vec<&str> = command.trim_end_matches(')').split(' ').collect();
    let run = async |words: &[&str]| {
        let mut command = tokio::process::Command::new(binaries::path("obo-demo"));
        command.args(words).output().await.unwrap()
    };
    let printed = run(&words).await;
    let token = String::from_utf8(printed.stdout).unwrap();
    assert!(
        printed.status.success() && token.starts_with("eyJ"),
        "{words:?}: {token}"
    );
    assert_eq!((token.lines().count(), token.split('.').count()), (1, 3));

    let Some((url, without)) = words.split_last() else {
        panic!("{command}");
    };
    let nobody = run(&["token", "--user", "nobody", "--url", url]).await;
    let refused = String::from_utf8(nobody.stderr).unwrap();
    assert!(
        !nobody.status.success() && refused.contains("there are alice, bob"),
        "{refused}"
    );
    assert_eq!(demo.terminate().await, Some(0));
    let nowhere = run(&[without, &[url]].concat()).await;
    let refused = String::from_utf8(nowhere.stderr).unwrap();
    assert!(
        !nowhere.status.success() && refused.contains("start it with `make demo`"),
        "{refused}"
    );
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The address in a line that says where something listens.
fn listening(line: &str) -> Option<String> {
    line.contains("listen")
        .then(|| binaries::url(line))
        .flatten()
}

fn tempdir() -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("obo-e2e-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}
