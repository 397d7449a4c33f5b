//! The home page: what it lists, and its buttons.

use entra_emulator::{Emulator, Endpoint, Fault, demo};
use reqwest::StatusCode;

use crate::support::{client, exchange, start};

async fn home(emulator: &Emulator) -> String {
    let response = client().get(emulator.url()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.text().await.unwrap()
}

fn page_token(page: &str) -> String {
    let (_, rest) = page.split_once(r#"name="token" value=""#).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

async fn press(emulator: &Emulator, fields: &[(&str, &str)]) -> StatusCode {
    let url = format!("{}/control", emulator.url());
    let response = client().post(url).form(fields).send().await.unwrap();
    response.status()
}

#[tokio::test]
async fn it_lists_endpoints_users_applications_and_token_requests_opened_up() {
    let emulator = start().await;
    assert!(home(&emulator).await.contains("None yet"));
    exchange(&emulator, &emulator.user_token("alice"), &[]).await;
    exchange(&emulator, &emulator.user_token("carol"), &[]).await;
    let page = home(&emulator).await;
    for text in [
        emulator.arm_url(),
        demo::CONTOSO,
        "erin@fabrikam.example",
        "alice-demo",
        demo::API_CLIENT_SECRET,
        "Subscriptions.Read.All",
        "on_behalf_of · Subscriptions API",
        "is for Subscriptions API, who presents it",
        "A token was issued",
        "<strong>AADSTS50076</strong>",
        "With a claims challenge",
        &emulator.current_kid(),
        "No faults queued.",
        "Clear all faults",
        "Signing key: <code>",
        "Require second factor",
        "Don&#39;t require second factor",
        "<li>Subscriptions web app → Subscriptions API: access_as_user</li>",
        "<li>Subscriptions API → Azure Resource Manager: user_impersonation</li>",
        "for everybody here: Subscriptions API → Microsoft Graph: User.Read.",
        &format!(
            "entra-emulator token --user alice --url {}<",
            emulator.url()
        ),
        "Emulator</strong> This is not Microsoft",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(
        !page.contains("https</dt>") && !page.contains("ca.pem"),
        "{page}"
    );
    // The newest is first.
    assert!(page.find("AADSTS50076").unwrap() < page.find("A token was issued").unwrap());
}

#[tokio::test]
async fn its_buttons_change_users_keys_and_what_goes_wrong() {
    let emulator = start().await;
    let token = page_token(&home(&emulator).await);
    let press = |fields: Vec<(&'static str, &'static str)>| {
        let (emulator, token) = (&emulator, &*token);
        async move {
            let mut fields = fields;
            let token: &'static str = Box::leak(token.to_owned().into_boxed_str());
            fields.push(("token", token));
            press(emulator, &fields).await
        }
    };
    let user = |name: &str| emulator.directory().user(name).unwrap().clone();
    for (action, changed) in [("disable", true), ("enable", false)] {
        assert_eq!(
            press(vec![("action", action), ("user", "alice")]).await,
            303
        );
        assert_eq!(user("alice").disabled, changed);
    }
    press(vec![("action", "mfa"), ("user", "alice")]).await;
    assert_eq!(user("alice").mfa, entra_emulator::directory::Mfa::Required);
    press(vec![("action", "no-mfa"), ("user", "alice")]).await;
    assert_eq!(
        user("alice").mfa,
        entra_emulator::directory::Mfa::NotRequired
    );
    press(vec![("action", "revoke"), ("user", "alice")]).await;
    assert_eq!(user("alice").revocations, 1);
    emulator.grant_consent("alice");
    let consents = || emulator.directory().consents.len();
    let before = consents();
    press(vec![("action", "withdraw"), ("user", "alice")]).await;
    assert_eq!(consents(), before - 2);
    let kid = emulator.current_kid();
    press(vec![("action", "rotate-keys")]).await;
    assert_ne!(emulator.current_kid(), kid);

    for fault in [
        "token-429",
        "token-503",
        "token-reset",
        "keys-503",
        "arm-429",
        "arm-503",
    ] {
        assert_eq!(
            press(vec![("action", "fail"), ("fault", fault)]).await,
            303,
            "{fault}"
        );
    }
    let page = home(&emulator).await;
    assert!(page.contains(
        "Queued: 1 at <code>keys</code>, 3 at <code>token</code>, 2 at <code>arm</code>."
    ));
    let throttled = exchange(&emulator, &emulator.user_token("alice"), &[]).await;
    assert_eq!(
        (throttled.status, throttled.header("retry-after")),
        (429, "5")
    );
    press(vec![("action", "clear-faults")]).await;
    assert!(home(&emulator).await.contains("No faults queued."));

    for nonsense in [
        vec![("action", "x"), ("user", "alice")],
        vec![("action", "disable"), ("user", "zoe")],
        vec![("action", "fail"), ("fault", "x")],
        vec![],
    ] {
        assert_eq!(press(nonsense).await, 400);
    }
}

#[tokio::test]
async fn no_other_page_can_press_them() {
    let emulator = start().await;
    emulator.fail(Endpoint::Arm, Fault::status(503), 1);
    let token = page_token(&home(&emulator).await);
    let disable = [("action", "disable"), ("user", "alice")];
    assert_eq!(
        press(&emulator, &disable).await,
        403,
        "without the page's token"
    );
    let other = start().await;
    let foreign = page_token(&home(&other).await);
    let mut fields = disable.to_vec();
    fields.push(("token", &foreign));
    assert_eq!(press(&emulator, &fields).await, 403, "with another's");
    // A name that was made to point here.
    fields[2].1 = &token;
    let rebound = client()
        .post(format!("{}/control", emulator.url()))
        .header("host", "attacker.example")
        .form(&fields)
        .send()
        .await
        .unwrap();
    assert_eq!(rebound.status(), 403);
    for page in ["/", "/error", "/nothing"] {
        let read = client()
            .get(format!("{}{page}", emulator.url()))
            .header("host", "attacker.example");
        assert_eq!(read.send().await.unwrap().status(), 403, "{page}");
    }
    assert!(!emulator.directory().user("alice").unwrap().disabled);
    assert_eq!(press(&emulator, &fields).await, 303);
}

#[tokio::test]
async fn it_lists_https_and_hands_out_the_certificate_to_trust() {
    let emulator = Emulator::builder().https().start().await.unwrap();
    let page = home(&emulator).await;
    for there in [
        emulator.https_url().unwrap(),
        emulator.arm_https_url().unwrap(),
        r#"<a href="/ca.pem">"#,
    ] {
        assert!(page.contains(there), "{there}: {page}");
    }
    let get = async |emulator: &Emulator| {
        let url = format!("{}/ca.pem", emulator.url());
        client().get(url).send().await.unwrap()
    };
    let pem = get(&emulator).await.text().await.unwrap();
    assert_eq!(Some(&*pem), emulator.ca_pem());
    let url = format!("{}/", emulator.https_url().unwrap());
    let trusted = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([trusted]);
    let over_https = client.build().unwrap().get(url).send().await.unwrap();
    assert!(over_https.text().await.unwrap().contains("/ca.pem"));
    let none = get(&start().await).await;
    assert_eq!(none.status(), 404);
    assert!(none.text().await.unwrap().contains("without https"));
}

/// On a phone the passwords stand below the names; there is nothing else to sign in with by typing.
#[tokio::test]
async fn no_width_hides_the_passwords() {
    let emulator = start().await;
    let url = format!("{}/style.css", emulator.url());
    let style = client()
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let rules: Vec<&str> = style.split(".password").skip(1).collect();
    assert!(rules.len() > 1);
    for rule in rules {
        let (rule, _) = rule.split_once('}').unwrap();
        assert!(!rule.contains("display"), "{rule}");
    }
}
