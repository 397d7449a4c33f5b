//! The configuration file, and the commands, as a user has them.

use std::path::PathBuf;
use std::process::Command;

use entra_emulator::{Configuration, Emulator, demo};
use serde_json::Value;

use crate::binary::{BINARY, Running, text};
use crate::support::{claims_of, exchange};

/// A folder of the test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("entra-emulator-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn init_writes_the_default_and_the_emulator_starts_with_what_was_changed_in_it() {
    let folder = Folder::new("init");
    let path = folder.file("mine.toml");
    let init = |more: &[&str]| {
        Command::new(BINARY)
            .args(["init", &path])
            .args(more)
            .output()
            .unwrap()
    };
    let first = init(&[]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("entra-emulator --config"));
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        Configuration::DEFAULT
    );
    let again = init(&[]);
    assert!(!again.status.success() && text(&again.stderr).contains("--force"));
    assert!(init(&["--force"]).status.success());
    let printed = Command::new(BINARY).args(["init", "-"]).output().unwrap();
    assert_eq!(text(&printed.stdout), Configuration::DEFAULT);

    let changed = Configuration::DEFAULT.replace("alice@contoso.example", "ada@contoso.example");
    std::fs::write(&path, changed).unwrap();
    let running = Running::start_with(&["--no-https", "--config", &path]);
    assert!(running.offered.contains("ada-demo"), "{}", running.offered);
    let token = running.command(&["token", "--user", "ada"]);
    assert_eq!(
        claims_of(text(&token.stdout).trim())["oid"],
        demo::ALICE_OID
    );
}

#[test]
fn a_file_with_mistakes_ends_with_64_and_all_of_them() {
    let folder = Folder::new("mistakes");
    let path = folder.file("wrong.toml");
    std::fs::write(&path, "[[user]]\nusername = 'a@x.example'\noid = '7'\n").unwrap();
    let run = || {
        let mut command = Command::new(BINARY);
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--arm-listen",
            "127.0.0.1:0",
            "--config",
            &path,
        ]);
        command.output().unwrap()
    };
    let refused = run();
    assert_eq!(refused.status.code(), Some(64));
    let said = text(&refused.stderr);
    for problem in ["wrong.toml", "no [[tenant]]", "x.example", "no GUID"] {
        assert!(said.contains(problem), "{problem}: {said}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(run().status.code(), Some(64), "there is no such file");
}

#[test]
fn addresses_of_an_application_that_the_file_does_not_have_are_refused() {
    let folder = Folder::new("no-web-app");
    let path = folder.file("mine.toml");
    let tenant = "id = '11111111-2222-4333-8444-555555555555'\nname = 'X'\ndomain = 'x.example'\n";
    std::fs::write(&path, format!("[[tenant]]\n{tenant}")).unwrap();
    for flag in ["--redirect-uri", "--post-logout-redirect-uri"] {
        let mut command = Command::new(BINARY);
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--arm-listen",
            "127.0.0.1:0",
            "--no-https",
        ]);
        command.args(["--config", &path, flag, "http://localhost:1/"]);
        let refused = command.output().unwrap();
        assert_eq!(refused.status.code(), Some(64), "{flag}");
        let said = text(&refused.stderr);
        assert!(
            said.contains(flag) && said.contains(demo::UI_CLIENT_ID),
            "{said}"
        );
    }
}

#[test]
fn users_faults_and_keys_are_changed_from_the_command_line() {
    let running = Running::start_with(&["--no-https"]);
    let run = |arguments: &[&str]| {
        let output = running.command(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout).to_owned()
    };
    let users = run(&["user"]);
    assert!(
        users.lines().count() == 8 && users.contains("carol@contoso.example"),
        "{users}"
    );
    let alice = run(&[
        "user",
        "alice",
        "--disable",
        "--mfa",
        "required",
        "--revoke",
        "--consent",
    ]);
    assert!(
        alice.contains(" disabled ") && alice.contains("mfa required"),
        "{alice}"
    );
    let alice = run(&[
        "user",
        "alice",
        "--enable",
        "--mfa",
        "not-required",
        "--withdraw-consent",
    ]);
    assert!(
        alice.contains(" enabled ") && alice.contains("mfa not_required"),
        "{alice}"
    );
    assert!(run(&["rotate-keys"]).contains("signs now"));
    run(&[
        "fail",
        "arm",
        "--status",
        "429",
        "--retry-after",
        "9",
        "--times",
        "2",
    ]);
    run(&["fail", "token", "--reset"]);
    run(&["clear-faults"]);
    assert_eq!(run(&["requests"]), "");

    for wrong in [
        &["user", "nobody", "--disable"][..],
        &["user", "--disable"],
        &["fail", "nowhere", "--hang"],
        &["fail", "arm", "--hang", "--reset"],
    ] {
        let output = running.command(wrong);
        assert!(!output.status.success(), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[tokio::test]
async fn a_file_of_ones_own_is_enough_for_an_exchange() {
    let file = r#"
        token_lifetime = 120

        [[tenant]]
        id = "11111111-2222-4333-8444-555555555555"
        name = "Mine"
        domain = "mine.example"

        [[user]]
        username = "ann@mine.example"
        subscriptions = [{ name = "Production" }]

        [[application]]
        client_id = "b1e00000-0000-4000-8000-00000000000b"
        name = "Web"
        tenant = "mine.example"
        secrets = ["web"]
        permissions = [{ resource = "api://mine", scopes = ["read"] }]

        [[application]]
        client_id = "a9100000-0000-4000-8000-00000000000a"
        name = "API"
        tenant = "mine.example"
        app_id_uris = ["api://mine"]
        secrets = ["emulator-api-secret"]
        scopes = [{ value = "read", consent = "Read as you" }]
        permissions = [{ resource = "https://management.azure.com", scopes = ["user_impersonation"] }]

        [[consent]]
        tenant = "mine.example"
        user = "ann"
        client = "api://mine"
        resource = "https://management.azure.com"
        scopes = ["user_impersonation"]
    "#;
    let configuration = Configuration::parse(file, ".").unwrap();
    let emulator = Emulator::builder()
        .configuration(configuration)
        .start()
        .await
        .unwrap();
    let assertion = emulator.token().user("ann").sign();
    let tenant = "11111111-2222-4333-8444-555555555555";
    let answer = crate::support::exchange_at(&emulator, tenant, &assertion, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["expires_in"], 120);
    assert_eq!(
        claims_of(answer.text("access_token"))["tid"],
        Value::from(tenant)
    );
    // Contoso is nobody here.
    assert_eq!(exchange(&emulator, &assertion, &[]).await.status, 400);
}
