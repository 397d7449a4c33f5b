//! CF-07: `check --online` against the emulator. Each thing that is wrong is named by itself, and nothing
//! secret is in the report.

use std::process::{Command, Output};

use entra_emulator::{Emulator, Endpoint, Fault, demo as ids};
use obo_gateway::{Config, Outcome, Report, Secret, Sources, check_online};
use serde_json::json;

mod credentials;

use crate::{binary, client::in_time, credentials::File};

/// Two APIs for users; the emulator's administrator has consented to Microsoft Graph for everybody.
const TWO: &str = "[downstream.graph]\nscope = 'https://graph.microsoft.com/User.Read'\nheader = 'X-Graph'\n\
                   [[route]]\npath = '/*'\ndownstream = ['arm', 'graph']\n";

const OF_APPLICATION: &str = "[downstream.jobs]\ngrant = 'client_credentials'\nscope = 'https://graph.microsoft.com/.default'\n\
                              [[route]]\npath = '/*'\naccess = 'app-only'\nroles = ['r']\ndownstream = 'jobs'\n";

fn config(emulator: &Emulator, rest: &str) -> Config {
    with(emulator.url(), ids::CONTOSO, rest, |name| {
        (name == "AZURE_CLIENT_SECRET").then(|| ids::API_CLIENT_SECRET.to_owned())
    })
}

fn with(
    authority: &str,
    tenant: &str,
    rest: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Config {
    let text = format!(
        "upstream = 'http://127.0.0.1:9'\n[entra]\ntenant = '{tenant}'\nclient_id = '{}'\n\
         authority = '{authority}'\nallow_http_loopback = true\n[accept]\nscopes = ['{}']\n{rest}",
        ids::API_CLIENT_ID,
        ids::API_SCOPE,
    );
    let sources = Sources::new().file("test.toml", text);
    sources.environment(environment).load().unwrap()
}

async fn emulator() -> Emulator {
    Emulator::builder().start().await.unwrap()
}

async fn check(config: &Config, token: Option<&str>) -> Report {
    let token = token.map(Secret::new);
    in_time(check_online(config, token.as_ref())).await.unwrap()
}

/// Every finding as its subject's first words, without "downstream", and its outcome.
fn outcomes(report: &Report) -> Vec<String> {
    let findings = report.findings().iter();
    findings
        .map(|finding| {
            let words = finding.subject().split(' ');
            let words = words.take_while(|word| !word.starts_with('('));
            let subject = words.collect::<Vec<_>>().join(" ");
            let outcome = match finding.outcome() {
                Good => "ok",
                Failed => "failed",
                Unknown => "unknown",
                other => panic!("{other:?}"),
            };
            format!("{} {outcome}", subject.trim_start_matches("downstream "))
        })
        .collect()
}

#[track_caller]
fn assert_outcomes(report: &Report, expected: &str) {
    assert_eq!(outcomes(report).join(", "), expected, "{report}");
    assert!(!report.to_string().contains(ids::API_CLIENT_SECRET));
}

/// The message of the one finding about this, and what to do.
#[track_caller]
fn said(report: &Report, subject: &str) -> String {
    let mut found = report
        .findings()
        .iter()
        .filter(|finding| finding.subject().starts_with(subject));
    let finding = found.next().unwrap();
    assert!(found.next().is_none(), "{report}");
    let what_to_do = finding.advice().unwrap_or_default();
    if finding.outcome() == Failed {
        assert!(!what_to_do.is_empty(), "{report}");
    }
    format!("{}\n{what_to_do}", finding.message())
}

use Outcome::{Failed, Ok as Good, Unknown};

#[tokio::test]
async fn what_only_a_users_token_can_tell_is_not_known_without_one_and_said_with_one() {
    let emulator = emulator().await;
    let config = config(&emulator, TWO);
    let report = check(&config, None).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, credential ok, arm unknown, graph unknown",
    );
    assert!(!report.has_failures());
    assert!(said(&report, "downstream arm").contains("--token-file"));
    assert_eq!(emulator.exchanges(), 0);

    let token = emulator.user_token("alice");
    let report = check(&config, Some(&token)).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, token ok, credential ok, arm ok, graph ok",
    );
    assert!(!report.to_string().contains(&token));
    assert_eq!(emulator.exchanges(), 2);
}

#[tokio::test]
async fn cf_07_a_wrong_secret_is_named_with_its_code_and_shown_once_only() {
    let emulator = emulator().await;
    let config = with(emulator.url(), ids::CONTOSO, TWO, |name| {
        (name == "AZURE_CLIENT_SECRET").then(|| "not-the-secret".to_owned())
    });
    let token = emulator.user_token("alice");
    let report = check(&config, Some(&token)).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, token ok, credential failed, arm unknown, graph unknown",
    );
    let said = said(&report, "credential");
    assert!(
        said.contains("AADSTS7000215: the client secret is wrong"),
        "{said}"
    );
    assert!(said.contains("the secret's value"), "{said}");
    let text = report.to_string();
    assert!(
        text.contains("(AZURE_CLIENT_SECRET)"),
        "where it was given: {text}"
    );
    assert!(!text.contains("not-the-secret"), "{text}");
    assert!(text.contains("correlation id: "), "{text}");
    assert_eq!(emulator.count(Endpoint::Token), 1);
}

#[tokio::test]
async fn cf_07_an_unknown_tenant_is_named_and_nothing_else_is_blamed() {
    let emulator = emulator().await;
    let tenant = "11111111-2222-3333-4444-555555555555";
    let config = with(emulator.url(), tenant, "", |name| {
        (name == "AZURE_CLIENT_SECRET").then(|| ids::API_CLIENT_SECRET.to_owned())
    });
    let report = check(&config, None).await;
    assert_outcomes(
        &report,
        "discovery failed, keys unknown, credential unknown, arm unknown",
    );
    let said = said(&report, "discovery");
    assert!(
        said.contains("AADSTS90002: the tenant is not known"),
        "{said}"
    );
    assert!(said.contains("`entra.tenant`"), "{said}");
}

#[tokio::test]
async fn cf_07_an_authority_out_of_reach_is_named_and_nothing_else_is_blamed() {
    let config = with("http://127.0.0.1:9", ids::CONTOSO, "", |name| {
        (name == "AZURE_CLIENT_SECRET").then(|| ids::API_CLIENT_SECRET.to_owned())
    });
    let report = check(&config, Some("a.b.c")).await;
    assert_outcomes(
        &report,
        "discovery failed, keys unknown, token unknown, credential unknown, arm unknown",
    );
    let said = said(&report, "discovery");
    assert!(said.starts_with("http://127.0.0.1:9/"), "{said}");
    assert!(said.contains("HTTPS_PROXY"), "{said}");
}

#[tokio::test]
async fn cf_07_keys_that_are_none_and_a_token_endpoint_that_fails_are_told_apart() {
    let emulator = emulator().await;
    emulator.set_jwks(json!({"keys": []}));
    let report = check(&config(&emulator, OF_APPLICATION), None).await;
    assert_outcomes(&report, "discovery ok, keys failed, credential ok, jobs ok");
    assert!(said(&report, "keys").starts_with("key set: the set has no key"));

    emulator.reset_jwks();
    emulator.fail(Endpoint::Token, Fault::status(503), 2);
    let report = check(&config(&emulator, OF_APPLICATION), None).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, credential failed, jobs unknown",
    );
    assert!(said(&report, "credential").contains("the token endpoint has a fault"));
}

#[tokio::test]
async fn cf_07_missing_and_withdrawn_consent_are_named_for_each_downstream() {
    let emulator = emulator().await;
    let config = config(&emulator, TWO);
    let never = emulator.user_token_without_consent("alice");
    let given = emulator.user_token("bob");
    emulator.revoke_consent("bob");
    for token in [never, given] {
        let report = check(&config, Some(&token)).await;
        assert_outcomes(
            &report,
            "discovery ok, keys ok, token ok, credential ok, arm failed, graph ok",
        );
        let said = said(&report, "downstream arm");
        assert!(
            said.contains("AADSTS65001: consent has not been given"),
            "{said}"
        );
        assert!(said.contains("Grant admin consent"), "{said}");
        assert!(!report.to_string().contains(&token));
    }
}

#[tokio::test]
async fn an_api_that_the_tenant_does_not_have_is_named_without_a_users_token() {
    let emulator = emulator().await;
    let rest = "[downstream.vault]\nscope = 'https://vault.azure.net/user_impersonation'\n\
                [[route]]\npath = '/*'\ndownstream = 'vault'\n[[route]]\npath = '/arm'\ndownstream = 'arm'\n";
    let report = check(&config(&emulator, rest), None).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, credential ok, vault failed, arm unknown",
    );
    assert!(said(&report, "downstream vault").contains("AADSTS500011"));

    let jobs = OF_APPLICATION.replace("https://graph.microsoft.com", "https://vault.azure.net");
    let report = check(&config(&emulator, &jobs), None).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, credential unknown, jobs failed",
    );
}

#[tokio::test]
async fn a_client_that_is_not_in_the_tenant_is_named_in_each_of_several() {
    let emulator = emulator().await;
    emulator.update_directory(|directory| {
        let api = directory.application_mut(ids::API_CLIENT_ID).unwrap();
        api.multi_tenant = false;
    });
    let several = format!("tenants = ['{}', '{}']\n", ids::CONTOSO, ids::FABRIKAM);
    let report = check(&config(&emulator, &several), None).await;
    let (own, other) = (
        format!("credential in tenant {}", ids::CONTOSO),
        format!("credential in tenant {}", ids::FABRIKAM),
    );
    let arm = |tenant| {
        format!(
            "downstream arm (https://management.azure.com/user_impersonation) in tenant {tenant}"
        )
    };
    let found: Vec<_> = report
        .findings()
        .iter()
        .map(|f| (f.subject(), f.outcome()))
        .collect();
    assert_eq!(
        found,
        [
            ("discovery", Good),
            ("keys", Good),
            (&own, Good),
            (&arm(ids::CONTOSO), Unknown),
            (
                &format!("{other} (client secret (AZURE_CLIENT_SECRET))"),
                Failed
            ),
            (&arm(ids::FABRIKAM), Unknown),
        ],
        "{report}"
    );
    assert!(said(&report, &other).contains("AADSTS700016"));
}

#[tokio::test]
async fn where_any_tenant_will_do_it_is_asked_in_that_of_the_token() {
    let emulator = emulator().await;
    let text = format!(
        "upstream = 'http://127.0.0.1:9'\n[entra]\nclient_id = '{}'\nauthority = '{}'\nallow_http_loopback = true\n\
         [accept]\nscopes = ['{}']\nany_tenant = true\n",
        ids::API_CLIENT_ID,
        emulator.url(),
        ids::API_SCOPE,
    );
    let secret =
        |name: &str| (name == "AZURE_CLIENT_SECRET").then(|| ids::API_CLIENT_SECRET.to_owned());
    let sources = Sources::new().file("test.toml", text).environment(secret);
    let config = sources.load().unwrap();
    let report = check(&config, None).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, credential unknown, arm unknown",
    );
    assert_eq!(emulator.count(Endpoint::Token), 0);
    let erin = emulator.user_token("erin");
    let report = check(&config, Some(&erin)).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, token ok, credential ok, arm ok",
    );
}

#[tokio::test]
async fn a_token_that_is_no_users_or_not_for_this_api_is_said_to_be_no_good() {
    let emulator = emulator().await;
    let config = config(&emulator, "");
    for token in [
        emulator.token().app_only().sign(),
        emulator.arm_token("alice"),
        emulator.token().expired().sign(),
        "no token\n".to_owned(),
    ] {
        let report = check(&config, Some(&token)).await;
        assert_outcomes(
            &report,
            "discovery ok, keys ok, token failed, credential ok, arm unknown",
        );
    }
    assert_eq!(emulator.exchanges(), 0);
}

#[tokio::test]
async fn of_another_provider_it_is_the_same() {
    let emulator = emulator().await;
    let issuer = format!("{}/{}/v2.0", emulator.url(), ids::CONTOSO);
    let text = format!(
        "upstream = 'http://127.0.0.1:9'\n[oidc]\nissuer = '{issuer}'\nclient_id = '{}'\nallow_http_loopback = true\n\
         [accept]\nscopes = ['{}']\n\
         [downstream.own]\ngrant = 'client_credentials'\nscope = 'https://graph.microsoft.com/.default'\n\
         [downstream.exchanged]\ngrant = 'token_exchange'\naudience = 'a'\n\
         [[route]]\npath = '/own'\ndownstream = 'own'\n[[route]]\npath = '/exchanged'\ndownstream = 'exchanged'\n",
        ids::API_CLIENT_ID,
        ids::API_SCOPE,
    );
    let config = |secret: &'static str| {
        let sources = Sources::new().file("test.toml", text.clone());
        let sources = sources
            .environment(move |name| (name == "OBO_CLIENT_SECRET").then(|| secret.to_owned()));
        sources.load().unwrap()
    };
    let report = check(&config(ids::API_CLIENT_SECRET), None).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, credential ok, own ok, exchanged unknown",
    );
    // Entra ID, as which the emulator answers, has no such grant.
    let alice = emulator.user_token("alice");
    let report = check(&config(ids::API_CLIENT_SECRET), Some(&alice)).await;
    assert_eq!(
        outcomes(&report)[4..],
        ["own ok", "exchanged failed"],
        "{report}"
    );
    let report = check(&config("wrong"), None).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, credential failed, own unknown, exchanged unknown",
    );
}

fn run(emulator: &Emulator, secret: &str, more: &[&str]) -> Output {
    let mut command: Command = binary::gateway();
    command
        .args([
            "check",
            "--upstream",
            "http://127.0.0.1:9",
            "--scope",
            ids::API_SCOPE,
        ])
        .args(["--tenant", ids::CONTOSO, "--client-id", ids::API_CLIENT_ID])
        .args(["--authority", emulator.url(), "--allow-http-loopback"])
        .args(more)
        .env("AZURE_CLIENT_SECRET", secret);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn cf_07_the_binary_says_it_on_standard_output_and_by_its_exit_code() {
    let emulator = emulator().await;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let token = File::new();
    std::fs::write(&token.0, emulator.user_token("alice") + "\n").unwrap();
    let path = token.0.display().to_string();
    let secret = ids::API_CLIENT_SECRET;

    let output = run(&emulator, secret, &["--online", "--token-file", &path]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.starts_with("The configuration is right: 1 route(s).\nok         discovery: "),
        "{said}"
    );
    assert!(said.ends_with("\n5 ok, 0 failed, 0 not known\n"), "{said}");

    let output = run(&emulator, "hunter2", &["--online"]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("failed     credential (client secret (AZURE_CLIENT_SECRET)): AADSTS7000215"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");

    let nowhere = run(&emulator, secret, &["--online", "--token-file", "/nowhere"]);
    assert_eq!(nowhere.status.code(), Some(64));
    assert!(text(&nowhere.stderr).starts_with("--token-file: /nowhere cannot be read"));
    let offline = run(&emulator, secret, &["--token-file", &path]);
    assert_eq!(offline.status.code(), Some(64), "it goes with --online");
    let wrong = run(&emulator, secret, &["--online", "--workers", "0"]);
    assert_eq!(
        wrong.status.code(),
        Some(64),
        "the configuration comes first"
    );
}
