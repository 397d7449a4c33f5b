//! Discovery documents and published keys.

use entra_emulator::{Emulator, Endpoint, demo};
use serde_json::{Value, json};

use crate::support::{Answer, client, start};

async fn get(emulator: &Emulator, path: &str) -> Value {
    let response = client()
        .get(format!("{}{path}", emulator.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn each_base_advertises_its_own_issuer() {
    let emulator = start().await;
    let url = emulator.url();
    let contoso = demo::CONTOSO;
    for (path, issuer) in [
        (format!("/{contoso}/v2.0"), format!("{url}/{contoso}/v2.0")),
        (format!("/{contoso}"), format!("{url}/{contoso}/")),
        (
            "/common/v2.0".to_owned(),
            format!("{url}/{{tenantid}}/v2.0"),
        ),
        (
            "/organizations/v2.0".to_owned(),
            format!("{url}/{{tenantid}}/v2.0"),
        ),
        ("/common".to_owned(), format!("{url}/{{tenantid}}/")),
        (
            "/contoso.example/v2.0".to_owned(),
            format!("{url}/{contoso}/v2.0"),
        ),
    ] {
        let document = get(
            &emulator,
            &format!("{path}/.well-known/openid-configuration"),
        )
        .await;
        assert_eq!(document["issuer"], issuer, "{path}");
        let tenant = path.split('/').nth(1).unwrap();
        assert_eq!(
            document["token_endpoint"],
            format!("{url}/{tenant}/oauth2/v2.0/token")
        );
        for name in ["authorization_endpoint", "end_session_endpoint", "jwks_uri"] {
            let endpoint = document[name].as_str().unwrap();
            assert!(
                endpoint.starts_with(&format!("{url}/{tenant}/")),
                "{endpoint}"
            );
        }
        let keys = document["jwks_uri"].as_str().unwrap();
        let keys = get(&emulator, keys.strip_prefix(url).unwrap()).await;
        assert!(!keys["keys"].as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_advertised_base_may_differ_from_the_address() {
    let emulator = Emulator::builder()
        .url("http://localhost:12345/")
        .start()
        .await
        .unwrap();
    assert_eq!(emulator.url(), "http://localhost:12345");
    let document: Value = client()
        .get(format!(
            "http://{}/common/v2.0/.well-known/openid-configuration",
            emulator.address()
        ))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(document["issuer"], "http://localhost:12345/{tenantid}/v2.0");
}

#[tokio::test]
async fn a_v2_key_names_whom_it_vouches_for_and_a_v1_key_does_not() {
    let emulator = Emulator::builder().keys(2).start().await.unwrap();
    let own = emulator.add_key(Some(demo::FABRIKAM)).unwrap();
    let (url, contoso, fabrikam) = (emulator.url(), demo::CONTOSO, demo::FABRIKAM);
    let template = format!("{url}/{{tenantid}}/v2.0");
    let of_contoso = format!("{url}/{contoso}/v2.0");
    let of_fabrikam = format!("{url}/{fabrikam}/v2.0");
    for (tenant, shared) in [("common", &template), (contoso, &of_contoso)] {
        let keys = get(&emulator, &format!("/{tenant}/discovery/v2.0/keys")).await;
        let keys = keys["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 3);
        for key in keys {
            let expected = if key["kid"] == own.as_str() {
                &of_fabrikam
            } else {
                shared
            };
            assert_eq!(&key["issuer"], expected);
            assert_eq!(key["kty"], "RSA");
            assert_eq!(key["use"], "sig");
            assert_eq!(key["x5t"], key["kid"]);
            assert!(key["x5c"][0].as_str().unwrap().starts_with("MII"));
            assert_eq!(key["e"], "AQAB");
        }
    }
    let v1 = get(&emulator, "/common/discovery/keys").await;
    for key in v1["keys"].as_array().unwrap() {
        assert!(key.get("issuer").is_none());
    }
}

#[tokio::test]
async fn rotation_publishes_a_key_only_when_it_signs() {
    let emulator = Emulator::builder().keys(2).start().await.unwrap();
    let kids = |document: &Value| -> Vec<String> {
        document["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = emulator.current_kid();
    let known = kids(&emulator.jwks(None));
    assert_eq!(known.len(), 2);
    let after = emulator.rotate_keys();
    assert!(!known.contains(&after));
    assert_eq!(emulator.current_kid(), after);
    let served = get(&emulator, "/common/discovery/v2.0/keys").await;
    assert_eq!(kids(&served).len(), 3);

    assert!(emulator.withdraw_key(&before));
    assert!(!emulator.withdraw_key(&before));
    assert!(!kids(&emulator.jwks(None)).contains(&before));

    emulator.set_jwks(json!({"keys": []}));
    assert_eq!(
        get(&emulator, "/common/discovery/keys").await,
        json!({"keys": []})
    );
    emulator.reset_jwks();
    assert_eq!(kids(&emulator.jwks(None)).len(), 2);
}

#[tokio::test]
async fn a_tenant_nobody_knows_has_no_documents() {
    let emulator = start().await;
    for path in [
        "/nowhere.example/v2.0/.well-known/openid-configuration",
        "/nowhere.example/discovery/v2.0/keys",
    ] {
        let url = format!("{}{path}", emulator.url());
        Answer::of(client().get(url).send().await.unwrap())
            .await
            .assert_refused(400, "invalid_request", 90_002);
    }
}

async fn instance(emulator: &Emulator, query: &[(&str, &str)]) -> Answer {
    let request = client()
        .get(format!("{}/common/discovery/instance", emulator.url()))
        .query(query);
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_host_that_is_ours_is_a_known_instance() {
    let emulator = start().await;
    let network = emulator.url().strip_prefix("http://").unwrap();
    for (endpoint, tenant, version) in [
        (
            "https://127.0.0.1/common/oauth2/v2.0/authorize",
            "common",
            "/v2.0",
        ),
        (
            "https://127.0.0.1:1/contoso.example/oauth2/v2.0/authorize",
            "contoso.example",
            "/v2.0",
        ),
        (
            "http://127.0.0.1/organizations/oauth2/authorize",
            "organizations",
            "",
        ),
    ] {
        let query = [("api-version", "1.1"), ("authorization_endpoint", endpoint)];
        let answer = instance(&emulator, &query).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            answer.body,
            json!({
                "tenant_discovery_endpoint": format!(
                    "{}/{tenant}{version}/.well-known/openid-configuration",
                    emulator.url()
                ),
                "api-version": "1.1",
                "metadata": [{
                    "preferred_network": network,
                    "preferred_cache": network,
                    "aliases": [network, "127.0.0.1"],
                }],
            })
        );
    }
    assert_eq!(emulator.count(Endpoint::Instance), 3);
}

#[tokio::test]
async fn another_host_is_no_known_instance() {
    let emulator = start().await;
    for endpoint in [
        "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        "https://127.0.0.1.example/common/oauth2/v2.0/authorize",
        "127.0.0.1",
    ] {
        let query = [("api-version", "1.1"), ("authorization_endpoint", endpoint)];
        instance(&emulator, &query)
            .await
            .assert_refused(400, "invalid_instance", 50_049);
    }
    let unknown = "https://127.0.0.1/nowhere.example/oauth2/v2.0/authorize";
    let query = [("api-version", "1.1"), ("authorization_endpoint", unknown)];
    instance(&emulator, &query)
        .await
        .assert_refused(400, "invalid_request", 90_002);
    for missing in [
        [("api-version", "1.1")],
        [("authorization_endpoint", unknown)],
    ] {
        instance(&emulator, &missing)
            .await
            .assert_refused(400, "invalid_request", 900_144);
    }
}

#[tokio::test]
async fn discovery_names_the_resources_and_every_way_to_authenticate() {
    let emulator = start().await;
    let document = get(&emulator, "/common/v2.0/.well-known/openid-configuration").await;
    let resources = emulator.arm_url().strip_prefix("http://").unwrap();
    assert_eq!(document["msgraph_host"], resources);
    assert_eq!(document["rbac_url"], emulator.arm_url());
    assert_eq!(
        document["token_endpoint_auth_methods_supported"],
        json!([
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic"
        ])
    );
    let grants = document["grant_types_supported"].as_array().unwrap();
    assert!(grants.contains(&json!("client_credentials")));
}

#[tokio::test]
async fn an_application_s_own_key_signs_its_tokens_and_is_only_where_its_id_is_asked_for() {
    let emulator = start().await;
    emulator.update_directory(|directory| {
        let mut applications = directory.applications.iter_mut();
        let api = applications.find(|app| app.client_id == demo::API_CLIENT_ID);
        api.unwrap().own_signing_key = true;
    });
    let header = |token: &str| {
        let part = token.split('.').next().unwrap();
        let bytes = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, part);
        serde_json::from_slice::<Value>(&bytes.unwrap()).unwrap()["kid"].clone()
    };
    let own = header(&emulator.user_token("alice"));
    assert_ne!(own, emulator.current_kid());
    assert_eq!(header(&emulator.arm_token("alice")), emulator.current_kid());
    for version in ["", "/v2.0"] {
        let path = format!(
            "/{}{version}/.well-known/openid-configuration",
            demo::CONTOSO
        );
        for (query, is_own) in [
            (String::new(), false),
            (format!("?appid={}", demo::API_CLIENT_ID), true),
            (format!("?appid={}", demo::UI_CLIENT_ID), false),
            ("?appid=x%26y".to_owned(), false),
        ] {
            let document = get(&emulator, &format!("{path}{query}")).await;
            let uri = document["jwks_uri"].as_str().unwrap();
            assert_eq!(uri.ends_with(&query), !query.contains('%'), "{uri}");
            let keys = get(&emulator, uri.strip_prefix(emulator.url()).unwrap()).await;
            let keys = keys["keys"].as_array().unwrap().clone();
            assert_eq!(keys.iter().any(|key| key["kid"] == own), is_own, "{query}");
            let usual = emulator.current_kid();
            assert_eq!(
                keys.iter().any(|key| key["kid"] == usual),
                !is_own,
                "{query}"
            );
        }
    }
}
