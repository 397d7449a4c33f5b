//! CF-07: each kind of credential is shown, and named where it is refused.

use entra_emulator::{Emulator, Endpoint, Signer, demo as ids, directory::Certificate};
use obo_gateway::Report;
use serde_json::json;

use super::{OF_APPLICATION, assert_outcomes, check, emulator, outcomes, said, with};
use crate::credentials::File;

/// A certificate of these days, and the file that has it with its key.
fn certificate(from: i32, to: i32) -> (File, Certificate) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(to, 1, 1);
    let certificate = parameters.self_signed(&key).unwrap().pem();
    let file = File::new();
    std::fs::write(&file.0, key.serialize_pem() + &certificate).unwrap();
    (file, Certificate::from_pem(&certificate).unwrap())
}

async fn check_with(emulator: &Emulator, variable: &str, value: &str) -> Report {
    let config = with(emulator.url(), ids::CONTOSO, OF_APPLICATION, |name| {
        (name == variable).then(|| value.to_owned())
    });
    check(&config, None).await
}

#[tokio::test]
async fn cf_07_a_certificate_is_shown_and_one_that_has_expired_or_is_not_registered_is_named() {
    let emulator = emulator().await;
    let (file, registered) = certificate(2020, 2100);
    let (expired, _) = certificate(2019, 2020);
    let (other, _) = certificate(2020, 2100);
    emulator.update_directory(|directory| {
        let api = directory.application_mut(ids::API_CLIENT_ID).unwrap();
        api.certificates.push(registered);
    });
    let with_file = async |file: &File| {
        let path = file.0.display().to_string();
        check_with(&emulator, "OBO_CLIENT_CERTIFICATE", &path).await
    };
    let report = with_file(&file).await;
    assert!(!report.has_failures(), "{report}");
    assert_eq!(outcomes(&report)[2], "credential ok", "{report}");

    let asked = emulator.count(Endpoint::Token);
    let report = with_file(&expired).await;
    assert_eq!(outcomes(&report)[2], "credential failed", "{report}");
    let told = said(&report, "credential");
    assert!(told.contains("expired"), "{told}");
    assert!(told.contains(&expired.0.display().to_string()), "{told}");
    assert_eq!(
        emulator.count(Endpoint::Token),
        asked,
        "it is not even shown"
    );

    let report = with_file(&other).await;
    let told = said(&report, "credential");
    assert!(told.contains("AADSTS700027"), "{told}");
    assert!(told.contains("upload the certificate"), "{told}");
}

#[tokio::test]
async fn a_federated_token_is_shown_and_a_managed_identity_that_is_not_there_is_named() {
    let emulator = emulator().await;
    let signer = Signer::generate().unwrap();
    let (file, _) = certificate(2020, 2100);
    let now = tower_obo::Clock::now(&tower_obo::SystemClock).as_unix();
    let token = signer.sign(
        &json!({"alg": "RS256", "kid": signer.kid()}),
        &json!({"aud": "api://AzureADTokenExchange", "iss": "https://cluster.example/", "sub": "other",
                "iat": now, "exp": now + 3600}),
    );
    std::fs::write(&file.0, token).unwrap();
    emulator.update_directory(|directory| {
        let api = directory.application_mut(ids::API_CLIENT_ID).unwrap();
        let federated = entra_emulator::directory::FederatedCredential::new(
            "cluster",
            "https://cluster.example/",
            "api",
        );
        api.set_federated(federated.jwks(signer.jwks()));
    });
    let path = file.0.display().to_string();
    let report = check_with(&emulator, "AZURE_FEDERATED_TOKEN_FILE", &path).await;
    let told = said(&report, "credential");
    assert!(told.contains("AADSTS700213"), "{told}");
    assert!(told.contains("issuer, subject and audience"), "{told}");

    let config = with(
        emulator.url(),
        ids::CONTOSO,
        OF_APPLICATION,
        |name| match name {
            "OBO_MANAGED_IDENTITY" => Some("true".to_owned()),
            "IDENTITY_ENDPOINT" => Some("http://127.0.0.1:9/token".to_owned()),
            "IDENTITY_HEADER" => Some("header-secret".to_owned()),
            _ => None,
        },
    );
    let report = check(&config, None).await;
    assert_outcomes(
        &report,
        "discovery ok, keys ok, credential failed, jobs unknown",
    );
    assert!(
        said(&report, "credential").contains("the connection failed"),
        "{report}"
    );
    assert!(!report.to_string().contains("header-secret"), "{report}");
}
