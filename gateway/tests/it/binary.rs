//! The binary as a user starts it.

use std::{
    io::{BufRead, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
};

use entra_emulator::{Emulator, demo as ids};

use crate::{
    client::Client,
    credentials::File,
    upstream::{Upstream, ok},
};

pub(crate) fn gateway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obo-gateway"));
    command.env_clear();
    command
}

/// What a gateway needs to serve in front of `upstream` with the emulator's demo registration.
pub(crate) fn serving(emulator: &Emulator, upstream: &Upstream) -> Vec<String> {
    let upstream = format!("http://{}", upstream.address);
    let arguments = [
        ["--listen", "127.0.0.1:0"],
        ["--workers", "2"],
        ["--upstream", &upstream],
        ["--authority", emulator.url()],
        ["--tenant", ids::CONTOSO],
        ["--client-id", ids::API_CLIENT_ID],
        ["--audience", ids::API_APP_ID_URI],
        ["--scope", ids::API_SCOPE],
        ["--log-format", "json"],
        [
            "--downstream-scope",
            "https://management.azure.com/.default",
        ],
    ];
    let mut arguments: Vec<String> = arguments.concat().into_iter().map(str::to_owned).collect();
    arguments.push("--allow-http-loopback".to_owned());
    arguments
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

#[test]
fn started_with_nothing_it_says_what_is_missing_and_ends_with_64() {
    let output = output(&mut gateway());
    assert_eq!(output.status.code(), Some(64));
    let said = text(&output.stderr);
    for word in [
        "--tenant",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "--upstream",
        "--scope",
        "--help",
    ] {
        assert!(said.contains(word), "{word} in\n{said}");
    }
}

#[test]
fn help_goes_to_standard_output_and_is_no_error() {
    let output = output(gateway().arg("--help"));
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("--downstream-scope"));
}

#[test]
fn a_file_without_its_flag_is_told_where_it_belongs() {
    let path = File::new();
    std::fs::write(&path.0, "").unwrap();
    let given = output(gateway().arg(&path.0));
    assert_eq!(given.status.code(), Some(64));
    let said = text(&given.stderr);
    let hint = format!(
        "A configuration file is given as `--config {}`.",
        path.0.display()
    );
    assert!(said.contains(&hint), "{said}");
    let absent = text(&output(gateway().arg("/nowhere/gateway.toml")).stderr);
    assert!(!absent.contains("A configuration file"), "{absent}");
}

#[test]
fn a_misspelt_variable_is_a_problem_of_check_and_named_where_something_is_missing() {
    for command in ["check", "run"] {
        let output = output(
            gateway()
                .arg(command)
                .env("OBO_UPSTREEM", "http://127.0.0.1:1"),
        );
        assert_eq!(output.status.code(), Some(64));
        let said = text(&output.stderr);
        let line = "environment variable OBO_UPSTREEM: no setting has this variable; OBO_UPSTREAM is meant?";
        assert!(said.lines().any(|said| said == line), "{command}: {said}");
    }
}

#[test]
fn who_asks_for_health_without_an_admin_listener_is_told_of_that_alone() {
    let output = output(gateway().arg("health"));
    assert_eq!(output.status.code(), Some(64));
    let said = text(&output.stderr);
    assert!(said.starts_with("admin.listen: is not set"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn schema_prints_it_and_reads_no_configuration() {
    let output = output(gateway().arg("schema").env("OBO_CONFIG", "/nowhere"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema, obo_gateway::schema());
}

#[test]
fn an_unknown_flag_ends_with_64() {
    assert_eq!(
        output(gateway().arg("--client-secret=x")).status.code(),
        Some(64)
    );
}

#[test]
fn check_names_every_problem_of_the_file_with_its_line() {
    let path = std::env::temp_dir().join(format!("obo-gateway-check-{}.toml", std::process::id()));
    std::fs::write(
        &path,
        "listen = 'x'\nupstreem = 'http://127.0.0.1:1'\n[entra]\ntenant = 'common'\n",
    )
    .unwrap();
    let output = output(gateway().arg("check").arg("--config").arg(&path));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = text(&output.stderr);
    let file = path.display();
    for line in [
        format!("{file}:1: listen"),
        format!("{file}:2: upstreem: unknown key; `upstream` is meant?"),
        format!("{file}:4: entra.tenant"),
    ] {
        assert!(said.contains(&line), "{line} in\n{said}");
    }
}

/// What each line of the file has wrong, in a text, in a file that it names, or for the library.
const FAULTS: &str = "\
upstream = 'https://127.0.0.1:9'
[entra]
credential = { secret_file = '/nowhere/secret' }
[tls]
certificate = '/nowhere/certificate'
key = '/nowhere/key'
[accept]
deny_file = '/nowhere/denied'
clock_skew = '10m'
[cache]
max_bytes = 1
[log]
level = 'tower_obo=loud'
[upstreams.b]
url = 'https://b.example'
ca_file = '/nowhere/ca'
[upstreams.c]
url = 'https://c.example'
ca_file = '/nowhere/ca'
[[route]]
path = '/x'
[[route]]
path = '/x'
";

#[test]
fn cf_01_check_and_run_name_at_once_what_is_wrong_in_texts_in_files_and_for_the_library() {
    let path = File::new();
    let run = |file: String, command: &str| {
        std::fs::write(&path.0, file).unwrap();
        let mut gateway = gateway();
        gateway.args([
            command,
            "--scope",
            "s",
            "--listen",
            "127.0.0.1:0",
            "--config",
        ]);
        let output = output(
            gateway
                .arg(&path.0)
                .env("AZURE_TENANT_ID", ids::CONTOSO)
                .env("AZURE_CLIENT_ID", ids::API_CLIENT_ID),
        );
        assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let named = |said: &str, line: usize, key: &str| {
        let place = format!("{}:{line}: {key}: ", path.0.display());
        let times = said.lines().filter(|line| line.starts_with(&place)).count();
        assert_eq!(times, 1, "{place}in\n{said}");
    };
    let said = run(FAULTS.to_owned(), "check");
    for (line, key) in [
        (3, "entra.credential.secret_file"),
        (5, "tls.certificate"),
        (6, "tls.key"),
        (8, "accept.deny_file"),
        (9, "accept.clock_skew"),
        (11, "cache.max_bytes"),
        (13, "log.level"),
        (16, "upstreams.b.ca_file"),
        (19, "upstreams.c.ca_file"),
        (22, "route.path"),
    ] {
        named(&said, line, key);
    }

    // It starts without the secret's file, and looks at the other files only once the texts are right.
    let right = FAULTS.replace("10m", "1m").replace("loud", "debug");
    let said = run(right.replacen("path = '/x'", "path = '/y'", 1), "run");
    for (line, key) in [
        (5, "tls.certificate"),
        (6, "tls.key"),
        (8, "accept.deny_file"),
        (11, "cache.max_bytes"),
        (16, "upstreams.b.ca_file"),
        (19, "upstreams.c.ca_file"),
    ] {
        named(&said, line, key);
    }
}

#[test]
fn check_of_a_right_configuration_runs_nothing_and_ends_with_0() {
    let output = output(
        gateway()
            .args(["check", "--upstream", "http://127.0.0.1:9", "--scope", "s"])
            .env("AZURE_TENANT_ID", ids::CONTOSO)
            .env("AZURE_CLIENT_ID", ids::API_CLIENT_ID)
            .env("AZURE_CLIENT_SECRET", "x"),
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// Runs `check` with a file whose third line names the file of the client secret.
fn check_with_secret_file(secret: &std::path::Path) -> (Output, String) {
    let path = secret.with_extension("toml");
    let file = format!(
        "upstream = 'http://127.0.0.1:9'\n[entra]\ncredential = {{ secret_file = '{}' }}\n",
        secret.display()
    );
    std::fs::write(&path, file).unwrap();
    let output = output(
        gateway()
            .args(["check", "--scope", "s", "--config"])
            .arg(&path)
            .env("AZURE_TENANT_ID", ids::CONTOSO)
            .env("AZURE_CLIENT_ID", ids::API_CLIENT_ID),
    );
    std::fs::remove_file(&path).unwrap();
    let place = format!("{}:3: entra.credential.secret_file: ", path.display());
    (output, place)
}

#[test]
fn check_names_a_secret_file_that_is_missing_or_empty_or_open_to_all() {
    let secret = std::env::temp_dir().join(format!("obo-gateway-secret-{}", std::process::id()));
    let (missing, place) = check_with_secret_file(&secret);
    std::fs::write(&secret, " \n").unwrap();
    let (empty, _) = check_with_secret_file(&secret);
    std::fs::write(&secret, "hunter2\n").unwrap();
    set_mode(&secret, 0o644);
    let (open, _) = check_with_secret_file(&secret);
    set_mode(&secret, 0o600);
    let (right, _) = check_with_secret_file(&secret);
    std::fs::remove_file(&secret).unwrap();

    for (output, what) in [(&missing, "cannot be read"), (&empty, "is empty")] {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.starts_with(&place) && said.contains(what), "{said}");
    }
    let said = text(&open.stderr);
    assert_eq!(open.status.code(), Some(0), "{said}");
    #[cfg(unix)]
    assert!(said.starts_with(&format!("warning: {place}")), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(right.status.code(), Some(0));
    assert_eq!(text(&right.stderr), "");
}

#[cfg(unix)]
fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &std::path::Path, _: u32) {}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn li_07_it_serves_by_flags_alone_and_ends_with_0_when_it_is_asked_to() {
    let emulator = Emulator::builder().start().await.unwrap();
    let upstream = Upstream::start(|_| ok()).await;
    let mut child = gateway()
        .args(serving(&emulator, &upstream))
        .env("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let address = listen_address(&mut log);

    let token = emulator.user_token("alice");
    let mut client = Client::connect(address).await;
    let status = loop {
        client
            .send(format!(
                "GET /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n"
            ))
            .await;
        let status = client.answer().await.unwrap().status;
        if status != 503 {
            break status;
        }
    };
    assert_eq!(status, 200);
    assert_eq!(upstream.seen().len(), 1);

    let signal = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(signal.unwrap().success());
    assert_eq!(client.rest().await, "");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(
        !rest.contains(&token) && !rest.contains(ids::API_CLIENT_SECRET),
        "{rest}"
    );
}

/// From the log, in JSON.
fn listen_address(log: &mut impl BufRead) -> SocketAddr {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
        if let Some((_, after)) = line.split_once("\"listen\":\"http://") {
            return after.split('"').next().unwrap().parse().unwrap();
        }
    }
}

/// Starts it with that one variable for the credential, and waits until it listens; what it said until then.
fn started(mut command: Command, variable: &str, value: &str) -> (Child, String) {
    let mut child = command
        .env_clear()
        .env("AZURE_TENANT_ID", ids::CONTOSO)
        .env("AZURE_CLIENT_ID", ids::API_CLIENT_ID)
        .env(variable, value)
        .env("OBO_LISTEN", "127.0.0.1:0")
        .env("OBO_UPSTREAM", "http://127.0.0.1:9")
        .env("OBO_AUTHORITY", "http://127.0.0.1:9")
        .env("OBO_ALLOW_HTTP_LOOPBACK", "true")
        .env("OBO_SCOPE", "s")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("gateway listens") {
        assert!(log.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    (child, said)
}

#[test]
fn the_log_says_at_the_start_which_credential_was_taken_and_what_told_of_it() {
    for (variable, value, expected) in [
        ("AZURE_CLIENT_SECRET", "s3cret", "client secret"),
        ("OBO_CLIENT_SECRET", "s3cret", "client secret"),
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            "/nowhere/token",
            "federated token in /nowhere/token",
        ),
    ] {
        let command = Command::new(env!("CARGO_BIN_EXE_obo-gateway"));
        let (mut child, said) = started(command, variable, value);
        child.kill().unwrap();
        child.wait().unwrap();
        let line = said
            .lines()
            .find(|line| line.contains("gateway listens"))
            .unwrap();
        let expected = format!("credential=\"{expected} ({variable})\"");
        assert!(line.contains(&expected), "{line}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

/// Starts it with these limits of open files, soft and hard, and says what it made of them, and what
/// it said before it listened.
#[cfg(target_os = "linux")]
fn open_files_of_a_gateway(soft: u32, hard: u32) -> (String, String) {
    let run = format!(
        "ulimit -Sn {soft} && ulimit -Hn {hard} && exec {}",
        env!("CARGO_BIN_EXE_obo-gateway")
    );
    let mut command = Command::new("sh");
    command.args(["-c", &run]);
    let (mut child, said) = started(command, "AZURE_CLIENT_SECRET", "x");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    (files.unwrap().to_owned(), said)
}

#[cfg(target_os = "linux")]
#[test]
fn it_raises_its_own_limit_of_open_files_and_says_where_that_is_not_enough() {
    // 10,000 connections, 1,024 requests and a few more.
    let (limits, said) = open_files_of_a_gateway(256, 11_280);
    assert_eq!(limits.split_whitespace().nth(3), Some("11280"), "{limits}");
    assert!(!said.contains("fewer files"), "{said}");
    let (limits, said) = open_files_of_a_gateway(256, 11_279);
    assert_eq!(limits.split_whitespace().nth(3), Some("11279"), "{limits}");
    assert!(said.contains("fewer files"), "{said}");
}
