//! Somebody's own tenant, users and applications, without any of the demo's.

use entra_emulator::directory::{Application, Permission, Scope, TokenVersion};
use entra_emulator::{Configuration, Directory, Emulator, demo};
use serde_json::{Value, json};

use crate::binary::{Running, text};
use crate::support::{Answer, claims_of, client, token_at};

const TENANT: &str = "11111111-2222-4333-8444-555555555555";
const ORDERS: &str = "0bde5000-0000-4000-8000-00000000000a";
const SHOP: &str = "5b090000-0000-4000-8000-00000000000b";

const FILE: &str = r#"
[[tenant]]
id = "11111111-2222-4333-8444-555555555555"
name = "Mine"
domain = "mine.example"

[[user]]
username = "zoe@mine.example"
subscriptions = [{ name = "Production" }]

[[application]]
client_id = "0bde5000-0000-4000-8000-00000000000a"
name = "Orders"
tenant = "mine.example"
app_id_uris = ["api://orders"]
secrets = ["orders-secret"]
scopes = [{ value = "read", consent = "Read your orders" }, { value = "write", consent = "Change them" }]
app_roles = ["Orders.Read.All"]
token_version = 1
permissions = [{ resource = "https://management.azure.com", scopes = ["user_impersonation"] }]

[[application]]
client_id = "5b090000-0000-4000-8000-00000000000b"
name = "Shop"
tenant = "mine.example"
permissions = [{ resource = "api://orders", scopes = ["read"] }]
"#;

/// The same once more, with an API beside it.
const SECOND_API: &str = r#"
[[application]]
client_id = "b1115000-0000-4000-8000-00000000000a"
name = "Bills"
tenant = "mine.example"
scopes = [{ value = "pay", consent = "Pay" }]
"#;

fn running(name: &str, file: &str) -> Running {
    let path =
        std::env::temp_dir().join(format!("entra-emulator-{name}-{}.toml", std::process::id()));
    std::fs::write(&path, file).unwrap();
    let running = Running::start_with(&["--no-https", "--config", path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    running
}

async fn library(file: &str) -> Emulator {
    let configuration = Configuration::parse(file, ".").unwrap();
    let builder = Emulator::builder().configuration(configuration);
    builder.start().await.unwrap()
}

async fn order(emulator: &Emulator, order: Value) -> Answer {
    let url = format!("{}/emulator/token", emulator.url());
    Answer::of(client().post(url).json(&order).send().await.unwrap()).await
}

#[test]
fn the_program_offers_what_the_file_has_and_its_command_prints_a_token() {
    let running = running("offer", FILE);
    let offered = &running.offered;
    for there in [
        TENANT,
        "mine.example",
        ORDERS,
        "secret orders-secret",
        SHOP,
        "public client",
        "zoe@mine.example",
        &format!("/{TENANT}/v2.0/.well-known/openid-configuration"),
    ] {
        assert!(offered.contains(there), "{there}: {offered}");
    }
    for absent in [
        demo::CONTOSO,
        demo::API_CLIENT_ID,
        demo::API_CLIENT_SECRET,
        demo::UI_CLIENT_ID,
        "alice",
        demo::ARM_CLIENT_ID,
    ] {
        assert!(!offered.contains(absent), "{absent}: {offered}");
    }
    let (_, command) = offered
        .split_once("A token for curl: entra-emulator ")
        .unwrap();
    let (words, url) = command.trim().split_once(" --url ").unwrap();
    assert_eq!((words, url), ("token --user zoe", running.url()));
    let printed = running.command(&words.split(' ').collect::<Vec<_>>());
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    let claims = claims_of(text(&printed.stdout).trim());
    for (name, value) in [
        ("aud", "api://orders"),
        ("ver", "1.0"),
        ("appid", SHOP),
        ("appidacr", "0"),
        ("scp", "read"),
        ("tid", TENANT),
    ] {
        assert_eq!(claims[name], value, "{name}: {claims}");
    }
}

#[test]
fn which_api_and_which_client_can_be_said_and_have_to_be_there() {
    let running = running("which", &format!("{FILE}{SECOND_API}"));
    assert!(
        running
            .offered
            .contains("token --user zoe --api b1115000-0000-4000-8000-00000000000a --client "),
        "{}",
        running.offered
    );
    let token = |more: &[&str]| running.command(&[&["token", "--user", "zoe"], more].concat());
    let claims = |more: &[&str]| {
        let printed = token(more);
        assert!(
            printed.status.success(),
            "{more:?}: {}",
            text(&printed.stderr)
        );
        claims_of(text(&printed.stdout).trim())
    };
    for name in ["api://orders", ORDERS] {
        let all = claims(&["--api", name, "--scope", "read", "--scope", "write"]);
        assert_eq!(
            (&all["aud"], &all["scp"]),
            (&json!("api://orders"), &json!("read write"))
        );
    }
    let bills = claims(&[
        "--api",
        "b1115000-0000-4000-8000-00000000000a",
        "--client",
        ORDERS,
    ]);
    assert_eq!(bills["aud"], "b1115000-0000-4000-8000-00000000000a");
    assert_eq!(
        (&bills["azp"], &bills["azpacr"]),
        (&json!(ORDERS), &json!("1"))
    );
    assert_eq!(bills["scp"], "pay", "all of them, as it needs none");
    let app = claims(&["--api", ORDERS, "--app-only"]);
    assert_eq!(app["roles"], json!(["Orders.Read.All"]));
    let arm = claims(&["--api", ORDERS, "--arm"]);
    assert_eq!(
        (&arm["aud"], &arm["appid"]),
        (&json!(demo::ARM_RESOURCE), &json!(ORDERS))
    );

    for (arguments, says) in [
        (
            vec![],
            "say which API: there is Bills (b1115000-0000-4000-8000-00000000000a), Orders (",
        ),
        (
            vec!["--api", "api://nothing"],
            "no API is called \"api://nothing\"",
        ),
        (
            vec!["--api", "b1115000-0000-4000-8000-00000000000a"],
            "say which client: there is Orders (",
        ),
        (
            vec!["--api", ORDERS, "--client", "x"],
            "no client is called \"x\"",
        ),
    ] {
        let refused = token(&arguments);
        assert!(
            !refused.status.success() && refused.stdout.is_empty(),
            "{arguments:?}"
        );
        let said = text(&refused.stderr);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_token_of_ones_own_api_can_be_exchanged_where_consent_was_recorded() {
    let emulator = library(FILE).await;
    let exchange = async |assertion: &str| {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("client_id", ORDERS),
            ("client_secret", "orders-secret"),
            ("assertion", assertion),
            ("scope", "https://management.azure.com/.default"),
            ("requested_token_use", "on_behalf_of"),
        ];
        token_at(&emulator, TENANT, &form).await
    };
    let without = order(&emulator, json!({"user": "zoe", "consent": false})).await;
    let refused = exchange(without.text("token")).await;
    refused.assert_refused(400, "invalid_grant", 65_001);
    let with = order(
        &emulator,
        json!({"user": "zoe", "api": "api://orders", "scopes": ["write"]}),
    )
    .await;
    let exchanged = exchange(with.text("token")).await;
    assert_eq!(exchanged.status, 200, "{}", exchanged.body);
    assert_eq!(claims_of(exchanged.text("access_token"))["appid"], ORDERS);
    let directory = emulator.directory();
    let zoe = directory.user("zoe").unwrap();
    let consented = |client, resource| {
        let scopes = directory.consented(TENANT, &zoe.oid, client, resource);
        scopes.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(consented(SHOP, ORDERS), ["write"]);
    assert_eq!(
        consented(ORDERS, demo::ARM_CLIENT_ID),
        ["user_impersonation"]
    );
    assert_eq!(exchange(&emulator.user_token("zoe")).await.status, 200);
}

#[tokio::test]
async fn the_builder_takes_an_api_and_a_client_that_need_not_exist() {
    let mut orders = Application::new(demo::CONTOSO, ORDERS, "Orders");
    orders.app_id_uris = vec!["api://orders".to_owned()];
    orders.scopes = vec![Scope::new("read", "Read"), Scope::new("write", "Write")];
    orders.token_version = TokenVersion::V1;
    orders.own_signing_key = true;
    let mut shop = Application::new(demo::CONTOSO, SHOP, "Shop").secret("shop");
    shop.required = vec![Permission::new(ORDERS, ["write", "gone"])];
    let directory = Directory::demo()
        .with_application(orders)
        .with_application(shop);
    let emulator = crate::support::start_with(directory).await;
    let of_demo = claims_of(&emulator.token().sign());
    assert_eq!(of_demo["aud"], demo::API_CLIENT_ID);
    let own = emulator.token().api("api://orders").sign();
    assert_ne!(
        crate::support::header_of(&own)["kid"],
        emulator.current_kid()
    );
    let own = claims_of(&own);
    assert_eq!(
        (&own["aud"], &own["appid"]),
        (&json!("api://orders"), &json!(SHOP))
    );
    assert_eq!(
        (&own["scp"], &own["appidacr"]),
        (&json!("write"), &json!("1"))
    );
    let strange = claims_of(
        &emulator
            .token()
            .api("api://x")
            .client("y")
            .scopes(["z"])
            .sign(),
    );
    assert_eq!(
        (&strange["aud"], &strange["azp"], &strange["scp"]),
        (&json!("api://x"), &json!("y"), &json!("z"))
    );
}
