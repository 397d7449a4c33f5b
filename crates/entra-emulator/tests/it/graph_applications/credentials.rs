//! Secrets, certificates and federated credentials of registered applications, and that all of it outlives a restart.

use entra_emulator::{Directory, Emulator, Signer, demo};
use serde_json::{Value, json};

use super::{Administrator, text};
use crate::support::token;

#[tokio::test]
async fn secrets_are_shown_once_end_and_are_taken_away() {
    let administrator = Administrator::start().await;
    let api = administrator.api().await;
    let path = format!("/applications/{}", text(&api, "id"));
    let order = json!({"passwordCredential": {
        "displayName": "first",
        "startDateTime": "2020-01-01T00:00:00Z",
        "endDateTime": "2099-01-01T00:00:00Z",
    }});
    let added = administrator
        .send("POST", &format!("{path}/addPassword"), order)
        .await;
    let (secret, key) = (
        added.text("secretText").to_owned(),
        added.text("keyId").to_owned(),
    );
    assert_eq!(secret.len(), 40);
    let shown = administrator.get(&path).await;
    let credential = &shown.body["passwordCredentials"][0];
    assert_eq!(credential["keyId"], key.as_str());
    assert_eq!(credential["displayName"], "first");
    assert_eq!(credential["endDateTime"], "2099-01-01T00:00:00Z");
    assert_eq!(credential["hint"], secret[..3]);
    assert!(!shown.body.to_string().contains(&secret));

    let id = text(&api, "appId").to_owned();
    let emulator = &administrator.emulator;
    let sign_in = |secret: String| {
        let id = id.clone();
        async move {
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", &id),
                ("client_secret", &secret),
                ("scope", "https://management.azure.com/.default"),
            ];
            token(emulator, &form).await
        }
    };
    assert_eq!(sign_in(secret.clone()).await.status, 200);
    let short = json!({"passwordCredential": {"startDateTime": "2020-01-01T00:00:00Z", "endDateTime": "2020-01-02T00:00:00Z"}});
    let ended = administrator
        .send("POST", &format!("{path}/addPassword"), short)
        .await;
    let ended = ended.text("secretText").to_owned();
    sign_in(ended)
        .await
        .assert_refused(401, "invalid_client", 7_000_222);
    // As Python and .NET write a time.
    let later = json!({"passwordCredential": {"startDateTime": "2090-01-01T02:00:00+02:00"}});
    let later = administrator
        .send("POST", &format!("{path}/addPassword"), later)
        .await;
    assert_eq!(later.body["startDateTime"], "2090-01-01T00:00:00Z");
    sign_in(later.text("secretText").to_owned())
        .await
        .assert_refused(401, "invalid_client", 7_000_215);

    let removed = administrator
        .send(
            "POST",
            &format!("{path}/removePassword"),
            json!({"keyId": key}),
        )
        .await;
    assert_eq!(removed.status, 204, "{}", removed.body);
    sign_in(secret)
        .await
        .assert_refused(401, "invalid_client", 7_000_215);
    let again = administrator
        .send(
            "POST",
            &format!("{path}/removePassword"),
            json!({"keyId": key}),
        )
        .await;
    assert_eq!(
        (again.status, &again.body["error"]["code"]),
        (400, &json!("Request_BadRequest"))
    );
}

#[tokio::test]
async fn who_forgets_the_credential_is_told_so() {
    let administrator = Administrator::start().await;
    let callback = "http://localhost:7000/callback";
    let web = json!({"displayName": "Made", "web": {"redirectUris": [callback]}});
    let public = json!({"displayName": "Made", "publicClient": {"redirectUris": [callback]}});
    let fallback = json!({"displayName": "Made", "isFallbackPublicClient": true});
    for (body, refused) in [(web, 7_000_218), (public, 70_000), (fallback, 70_000)] {
        let app = administrator.made("/applications", body.clone()).await;
        let id = text(&app, "appId");
        administrator
            .made("/servicePrincipals", json!({"appId": id}))
            .await;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", id),
            ("code", "x"),
            ("redirect_uri", callback),
            ("code_verifier", "y"),
        ];
        let answer = token(&administrator.emulator, &form).await;
        let codes = answer.body["error_codes"].to_string();
        assert_eq!(codes, format!("[{refused}]"), "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn certificates_are_kept_by_their_id_and_replaced_as_a_whole() {
    use base64::Engine as _;

    let administrator = Administrator::start().await;
    let api = administrator.api().await;
    let path = format!("/applications/{}", text(&api, "id"));
    let (first, second) = (Signer::generate().unwrap(), Signer::generate().unwrap());
    let key = |signer: &Signer| {
        let pem = signer.certificate_pem();
        let lines = pem.lines().filter(|line| !line.starts_with('-'));
        json!({"type": "AsymmetricX509Cert", "usage": "Verify", "displayName": "one", "key": lines.collect::<String>()})
    };
    administrator
        .change(&api, json!({"keyCredentials": [key(&first)]}))
        .await;
    let shown = administrator.get(&path).await.body["keyCredentials"].clone();
    assert_eq!(
        shown[0]["customKeyIdentifier"],
        first.certificate().thumbprint_hex()
    );
    assert_eq!(shown[0]["key"], Value::Null);
    // What is there is sent back without its key, as Azure CLI does to add another. A PEM in base64 does as well.
    let pem = base64::engine::general_purpose::STANDARD.encode(second.certificate_pem());
    let other = json!({"type": "AsymmetricX509Cert", "usage": "Verify", "key": pem});
    administrator
        .change(&api, json!({"keyCredentials": [shown[0], other]}))
        .await;
    let directory = administrator.emulator.directory();
    let made = directory.application(text(&api, "appId")).unwrap();
    assert_eq!(
        made.certificates,
        [first.certificate().clone(), second.certificate().clone()]
    );
    for (wrong, said) in [
        (
            json!({"type": "AsymmetricX509Cert", "usage": "Verify"}),
            "needs its key",
        ),
        (
            json!({"type": "AsymmetricX509Cert", "usage": "Verify", "key": "!"}),
            "not base64",
        ),
        (
            json!({"type": "AsymmetricX509Cert", "usage": "Verify", "key": "AAAA"}),
            "no X.509",
        ),
        (
            json!({"type": "Symmetric", "usage": "Verify", "key": "AAAA"}),
            "AsymmetricX509Cert",
        ),
    ] {
        let body = json!({"keyCredentials": [wrong]});
        administrator
            .refused(&path, body, 400, "Request_BadRequest", said)
            .await;
    }
    administrator
        .change(&api, json!({"keyCredentials": []}))
        .await;
    let directory = administrator.emulator.directory();
    assert!(
        directory
            .application(text(&api, "appId"))
            .unwrap()
            .certificates
            .is_empty()
    );
}

#[tokio::test]
async fn federated_credentials_are_read_changed_and_removed() {
    let administrator = Administrator::start().await;
    let api = administrator.api().await;
    let path = format!(
        "/applications/{}/federatedIdentityCredentials",
        text(&api, "id")
    );
    let order = |name: &str, subject: &str| {
        json!({
            "name": name,
            "issuer": "https://issuer.example",
            "subject": subject,
            "audiences": ["api://AzureADTokenExchange"],
        })
    };
    let subject = "system:serviceaccount:shop:api";
    let made = administrator.made(&path, order("cluster", subject)).await;
    for name in ["cluster", text(&made, "id")] {
        let read = administrator.get(&format!("{path}/{name}")).await;
        assert_eq!(read.body["subject"], subject);
    }
    for (order, status, said) in [
        (order("cluster", "another"), 409, "same name"),
        (
            order("other", subject),
            409,
            "combination of issuer and subject",
        ),
        (
            json!({"name": "other", "issuer": "https://issuer.example", "subject": "x"}),
            400,
            "one audience",
        ),
        (
            json!({"name": "other", "subject": "x", "audiences": ["a"]}),
            400,
            "issuer",
        ),
    ] {
        let answer = administrator.send("POST", &path, order).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(
            answer.body["error"]["message"]
                .as_str()
                .unwrap()
                .contains(said),
            "{}",
            answer.body
        );
    }
    // Its name, said again, changes nothing.
    for change in [
        json!({"subject": "system:serviceaccount:shop:another"}),
        json!({"name": "cluster", "subject": "system:serviceaccount:shop:other"}),
    ] {
        let changed = administrator
            .send("PATCH", &format!("{path}/cluster"), change)
            .await;
        assert_eq!(changed.status, 204, "{}", changed.body);
    }
    let directory = administrator.emulator.directory();
    let made = directory.application(text(&api, "appId")).unwrap();
    assert_eq!(
        made.federated_credentials[0].subject,
        "system:serviceaccount:shop:other"
    );
    assert_eq!(
        made.federated_credentials[0].audience,
        "api://AzureADTokenExchange"
    );
    let removed = administrator
        .send("DELETE", &format!("{path}/cluster"), Value::Null)
        .await;
    assert_eq!(removed.status, 204);
    assert_eq!(administrator.get(&path).await.body["value"], json!([]));
    assert_eq!(
        administrator.get(&format!("{path}/cluster")).await.status,
        404
    );
}

#[tokio::test]
async fn what_was_made_outlives_a_restart() {
    let file =
        std::env::temp_dir().join(format!("emulator-registered-{}.json", std::process::id()));
    let start = || {
        let builder = Emulator::builder().directory(Directory::demo().with_administrator());
        builder.state_file(&file).start()
    };
    let administrator = Administrator::of(start().await.unwrap()).await;
    let api = administrator.api().await;
    administrator.secret(&api).await;
    let signer = Signer::generate().unwrap();
    let pem = signer.certificate_pem();
    let key: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = json!({"type": "AsymmetricX509Cert", "usage": "Verify", "key": key});
    administrator
        .change(&api, json!({"keyCredentials": [key]}))
        .await;
    let path = format!(
        "/applications/{}/federatedIdentityCredentials",
        text(&api, "id")
    );
    let federated = json!({"name": "cluster", "issuer": "https://issuer.example", "subject": "s", "audiences": ["a"]});
    administrator.made(&path, federated).await;
    let principal = |name: &str| {
        let path = format!("/servicePrincipals(appId='{name}')");
        let administrator = &administrator;
        async move { administrator.get(&path).await.body["id"].clone() }
    };
    let grant = json!({
        "clientId": principal(text(&api, "appId")).await,
        "consentType": "AllPrincipals",
        "resourceId": principal(demo::ARM_CLIENT_ID).await,
        "scope": "user_impersonation",
    });
    administrator.made("/oauth2PermissionGrants", grant).await;
    let before = administrator.emulator.directory();
    administrator.emulator.shutdown().await;

    let again = start().await.unwrap();
    let after = again.directory();
    std::fs::remove_file(&file).unwrap();
    let id = text(&api, "appId");
    assert_eq!(
        after.application(id).unwrap(),
        before.application(id).unwrap()
    );
    assert_eq!(after.consents, before.consents);
}
