//! RFC 9728: what the API says of itself, and how a client that has been refused finds it.

use entra_emulator::demo as ids;
use obo_gateway::Resource;
use serde_json::{Value, json};

use crate::{
    client::{Answer, Client},
    rig::Rig,
    upstream::ok,
};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

async fn rig(public_url: &str, file: &str) -> Rig {
    let url = public_url.parse().unwrap();
    Rig::new(
        file,
        |_| ok(),
        |config| config.resource = Some(Resource::new(url)),
    )
    .await
}

async fn get(rig: &Rig, path: &str, host: &str) -> Answer {
    rig.exchange(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .await
}

fn document(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.all("content-type"), ["application/json"]);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn ad_08_the_metadata_name_the_configured_address_whatever_the_host_is() {
    for (url, paths) in [
        ("https://API.example.com", vec![WELL_KNOWN.to_owned()]),
        ("https://api.example.com/", vec![WELL_KNOWN.to_owned()]),
        (
            "https://api.example.com:8443/base/v1",
            vec![WELL_KNOWN.to_owned(), format!("{WELL_KNOWN}/base/v1")],
        ),
    ] {
        let rig = rig(url, "").await;
        let tenant = format!(
            "{}/{}/v2.0",
            rig.emulator.as_ref().unwrap().url(),
            ids::CONTOSO
        );
        for path in &paths {
            for host in ["api.example.com", "evil.example", "127.0.0.1:1"] {
                let answer = get(&rig, path, host).await;
                assert_eq!(
                    document(&answer),
                    json!({
                        "resource": url,
                        "authorization_servers": [tenant],
                        "scopes_supported":
                            [format!("api://{}/{}", ids::API_CLIENT_ID, ids::API_SCOPE)],
                        "bearer_methods_supported": ["header"],
                    }),
                    "{path} {host}"
                );
                assert!(answer.body.contains(&format!("{url:?}")), "byte for byte");
                assert!(!answer.body.contains(host) || url.contains(host));
                // Public: a page of any origin may read it.
                assert_eq!(answer.all("access-control-allow-origin"), ["*"]);
            }
        }
        rig.assert_nothing_reached_the_upstream();
    }
}

#[tokio::test]
async fn ad_08_only_the_paths_of_the_document_need_no_token() {
    let rig = rig("https://api.example.com/base", "").await;
    for (path, status) in [
        (format!("{WELL_KNOWN}/other"), 401),
        (format!("{WELL_KNOWN}/"), 401),
        (format!("{WELL_KNOWN}x"), 401),
        (format!("{WELL_KNOWN}/base/x"), 401),
        ("/.well-known/openid-configuration".to_owned(), 401),
        // What others may read as its path, or what is read as another's.
        ("/.well-known/oauth%2dprotected-resource".to_owned(), 400),
        ("/.well-known//oauth-protected-resource".to_owned(), 400),
        (format!("{WELL_KNOWN};x"), 400),
        (format!("{WELL_KNOWN}/../x"), 400),
        (format!("{WELL_KNOWN}?x=/other"), 200),
    ] {
        assert_eq!(get(&rig, &path, "gw").await.status, status, "{path}");
    }
    for (method, status) in [
        ("POST", 405),
        ("DELETE", 405),
        ("OPTIONS", 204),
        ("HEAD", 200),
    ] {
        let mut client = rig.client().await;
        client
            .send(format!(
                "{method} {WELL_KNOWN} HTTP/1.1\r\nHost: gw\r\nOrigin: https://x\r\n\
                 Access-Control-Request-Method: GET\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
        let answer = client.answer_to(method).await.unwrap();
        assert_eq!(answer.status, status, "{method}");
        if status == 405 {
            assert_eq!(answer.all("allow"), ["GET, HEAD, OPTIONS"]);
        }
        if method != "OPTIONS" {
            let reader = answer.all("access-control-allow-origin");
            assert_eq!(reader, ["*"], "{method}");
        }
    }
    rig.assert_nothing_reached_the_upstream();
}

#[tokio::test]
async fn without_a_public_address_there_are_no_metadata_and_no_challenge_names_any() {
    let rig = Rig::protected().await;
    let answer = get(&rig, WELL_KNOWN, "gw").await;
    assert_eq!(answer.status, 401);
    assert!(!answer.all("www-authenticate")[0].contains("resource_metadata"));
}

#[tokio::test]
async fn scopes_of_all_routes_are_named_once_behind_the_application_s_identifier() {
    let url = "https://api.example.com/mcp";
    let routes = format!(
        "audiences = ['plain', 'api://other', '{url}']\n\
         [[route]]\npath = '/a'\nscopes = ['Read', 'Write']\n[[route]]\npath = '/b'\nscopes = ['Read']\n\
         [[route]]\npath = '/c'\naccess = 'public'\n\
         [[route]]\npath = '/d'\naccess = 'app-only'\nroles = ['Jobs']"
    );
    let rig = rig(url, &routes).await;
    let scopes = &document(&get(&rig, WELL_KNOWN, "gw").await)["scopes_supported"];
    assert_eq!(
        *scopes,
        json!([format!("{url}/Read"), format!("{url}/Write")])
    );
}

/// The steps of a client of the Model Context Protocol (its specification's "Authorization").
#[tokio::test]
async fn a_client_that_knows_only_the_address_finds_whom_to_ask_for_a_token() {
    let rig = rig("https://api.example.com/mcp", "").await;
    // 1: it asks without a token, and with a bad one.
    for authorization in [
        "",
        "Authorization: Bearer x\r\n",
        "Authorization: Bearer\r\n",
    ] {
        let refused = rig
            .exchange(format!(
                "POST /mcp HTTP/1.1\r\nHost: api.example.com\r\n{authorization}Content-Length: 0\r\n\r\n"
            ))
            .await;
        let challenge = refused.all("www-authenticate")[0].to_owned();
        assert!(
            challenge.contains(
                "resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource/mcp\""
            ),
            "{challenge}"
        );
    }
    // 2: it reads what it was pointed at; the resource has to be the one that it asked.
    let found = document(&get(&rig, &format!("{WELL_KNOWN}/mcp"), "api.example.com").await);
    assert_eq!(found["resource"], "https://api.example.com/mcp");
    // 3: it reads the metadata of the authorization server, whose issuer has to be the one named.
    let issuer = found["authorization_servers"][0].as_str().unwrap();
    let (authority, path) = issuer
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap();
    let mut server = Client::connect(authority.parse().unwrap()).await;
    let answer = server
        .get(&format!("/{path}/.well-known/openid-configuration"))
        .await;
    let server: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(server["issuer"], issuer);
    assert!(server["authorization_endpoint"].is_string() && server["token_endpoint"].is_string());
}
