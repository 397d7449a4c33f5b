//! `[oidc]`: the emulator's issuer of one tenant, taken for a provider that knows nothing of Entra ID.

use entra_emulator::{Emulator, Endpoint, demo as ids};
use obo_gateway::{Config, Sources};

use crate::{
    admin::{admin, with_admin},
    client::{Answer, in_time},
    rig::Rig,
    upstream::{Upstream, ok},
};

async fn rig() -> Rig {
    rig_with(|_| {}).await
}

async fn rig_with(change: impl FnOnce(&mut Config)) -> Rig {
    let upstream = Upstream::start(|_| ok()).await;
    let emulator = Emulator::builder().start().await.unwrap();
    let issuer = format!("{}/{}/v2.0", emulator.url(), ids::CONTOSO);
    let text = format!(
        "listen = '127.0.0.1:0'\nworkers = 1\nupstream = 'http://{}'\npublic_url = 'https://api.example.com'\n\
         [oidc]\nissuer = '{issuer}'\nclient_id = '{}'\nallow_http_loopback = true\n\
         [accept]\nscopes = ['{}']\n\
         [downstream.own]\ngrant = 'client_credentials'\nscope = 'https://graph.microsoft.com/.default'\n\
         [downstream.exchanged]\ngrant = 'token_exchange'\naudience = 'a'\nresource = 'https://c'\n\
         [[route]]\npath = '/own'\ndownstream = 'own'\nidentity_headers = {{ iss = 'X-Iss', sub = 'X-Sub', tid = 'X-Tid' }}\n\
         [[route]]\npath = '/exchanged'\ndownstream = 'exchanged'\n",
        upstream.address,
        ids::API_CLIENT_ID,
        ids::API_SCOPE,
    );
    let sources = Sources::new().file("test.toml", text);
    let mut config = sources
        .environment(|name| {
            (name == "OBO_CLIENT_SECRET").then(|| ids::API_CLIENT_SECRET.to_owned())
        })
        .load()
        .unwrap();
    change(&mut config);
    let gateway = obo_gateway::start(config).await.unwrap();
    in_time(async {
        while !gateway.is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Rig {
        gateway,
        upstream,
        emulator: Some(emulator),
    }
}

async fn get(rig: &Rig, path: &str, token: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    rig.exchange(head).await
}

/// From the start on, and with no file.
#[tokio::test]
async fn users_of_another_provider_are_cut_off_by_their_sub() {
    let rig = rig_with(with_admin).await;
    let alice = rig.token("alice");
    assert_eq!(get(&rig, "/own", &alice).await.status, 200);
    let subject = rig.only_seen().all("x-sub")[0].to_owned();
    let mut admin = admin(&rig).await;
    let mut deny = async |words: &str| {
        let head = format!("POST /deny?{words} HTTP/1.1\r\nHost: localhost\r\nX-Obo-Admin: 1\r\n");
        admin.send(head + "Content-Length: 0\r\n\r\n").await;
        admin.answer().await.unwrap().status
    };
    // Words of Entra ID, which would be about nobody here.
    let words = format!("tid={}&oid={}", ids::CONTOSO, ids::ALICE_OID);
    assert_eq!(deny(&words).await, 400);
    assert_eq!(deny(&format!("sub={subject}")).await, 200);
    assert_eq!(get(&rig, "/own", &alice).await.status, 403);
}

#[tokio::test]
async fn users_of_another_provider_are_let_in_by_its_issuer_and_known_by_sub() {
    let rig = rig().await;
    let emulator = rig.emulator.as_ref().unwrap();
    let alice = emulator.user_token("alice");
    assert_eq!(get(&rig, "/own", &alice).await.status, 200);
    let seen = rig.only_seen();
    let issuer = format!("{}/{}/v2.0", emulator.url(), ids::CONTOSO);
    assert_eq!(seen.all("x-iss"), [issuer.as_str()]);
    assert_eq!(seen.all("x-sub").len(), 1);
    assert!(seen.all("x-tid").is_empty(), "no tenant is known");
    let asked = emulator.requests(Endpoint::Token);
    assert_eq!(
        asked[0].parameter("grant_type").as_deref(),
        Some("client_credentials")
    );

    let foreign = emulator.token().tenant(ids::FABRIKAM).sign();
    let v1 = emulator.token().v1().sign();
    for token in [foreign, v1] {
        assert_eq!(get(&rig, "/own", &token).await.status, 401);
    }
    let document = rig
        .exchange("GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let document: serde_json::Value = serde_json::from_str(&document.body).unwrap();
    assert_eq!(
        document["authorization_servers"],
        serde_json::json!([issuer])
    );
    assert_eq!(
        document["scopes_supported"],
        serde_json::json!([ids::API_SCOPE])
    );
}

#[tokio::test]
async fn a_token_is_exchanged_as_rfc_8693_has_it_and_a_refusal_is_ours() {
    let rig = rig().await;
    let emulator = rig.emulator.as_ref().unwrap();
    let alice = emulator.user_token("alice");
    // Entra ID has no such grant, and says so.
    let answer = get(&rig, "/exchanged", &alice).await;
    assert_eq!(answer.status, 502);
    rig.assert_nothing_reached_the_upstream();
    let asked = emulator.requests(Endpoint::Token);
    let form = asked[0].form();
    for (name, values) in [
        (
            "grant_type",
            &["urn:ietf:params:oauth:grant-type:token-exchange"][..],
        ),
        ("subject_token", &[&*alice]),
        ("audience", &["a"]),
        ("resource", &["https://c"]),
        ("scope", &[]),
    ] {
        let said = form.iter().filter(|(field, _)| field == name);
        let said: Vec<_> = said.map(|(_, value)| value.as_str()).collect();
        assert_eq!(said, values, "{name}");
    }
}
