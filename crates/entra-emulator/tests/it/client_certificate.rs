//! Applications that prove themselves with a certificate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use entra_emulator::directory::Application;
use entra_emulator::{Directory, Emulator, Signer, demo};
use serde_json::{Value, json};

use crate::support::{
    Answer, claims_of, exchange, exchange_at, obo_form, start_with, token, trusting,
};

pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[expect(
    clippy::disallowed_methods,
    reason = "a client dates its assertions by the system's clock"
)]
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs().try_into().unwrap()
}

/// The demo with a certificate of the API.
async fn certified() -> (Emulator, Signer) {
    let signer = Signer::generate().unwrap();
    let mut directory = Directory::demo();
    let api = directory.application_mut(demo::API_CLIENT_ID).unwrap();
    api.certificates.push(signer.certificate().clone());
    (start_with(directory).await, signer)
}

fn header(signer: &Signer) -> Value {
    let x5t = signer.certificate().thumbprint_sha256();
    json!({"alg": "PS256", "typ": "JWT", "x5t#S256": x5t})
}

fn claims(audience: &str) -> Value {
    json!({
        "aud": audience,
        "iss": demo::API_CLIENT_ID,
        "sub": demo::API_CLIENT_ID,
        "jti": "5d9c2c59-6b6b-4a0c-8d3b-3c0fbd1f5f11",
        "nbf": now(),
        "exp": now() + 600,
    })
}

fn with(mut value: Value, name: &str, member: impl Into<Value>) -> Value {
    match member.into() {
        Value::Null => {
            value.as_object_mut().unwrap().remove(name);
        }
        member => value[name] = member,
    }
    value
}

/// An exchange with this client assertion.
async fn present(emulator: &Emulator, assertion: &str) -> Answer {
    present_at(emulator, demo::CONTOSO, assertion).await
}

async fn present_at(emulator: &Emulator, tenant: &str, assertion: &str) -> Answer {
    let user = emulator.user_token("alice");
    let changes = [
        ("client_secret", ""),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ];
    exchange_at(emulator, tenant, &user, &changes).await
}

#[tokio::test]
async fn an_assertion_signed_with_a_registered_certificate_stands_for_the_application() {
    let (emulator, signer) = certified().await;
    let endpoint = emulator.token_url(demo::CONTOSO);
    let (x5t, x5t_s256) = (
        signer.certificate().thumbprint(),
        signer.certificate().thumbprint_sha256(),
    );
    for header in [
        json!({"alg": "PS256", "x5t#S256": x5t_s256}),
        json!({"alg": "RS256", "x5t": x5t}),
        // As msal-python writes them.
        json!({"alg": "PS256", "x5t#S256": format!("{x5t_s256}=")}),
        json!({"alg": "RS256", "x5t": format!("{x5t}=")}),
        json!({"alg": "RS256", "x5t": x5t, "x5t#S256": x5t_s256, "x5c": ["ignored"]}),
    ] {
        let answer = present(&emulator, &signer.sign(&header, &claims(&endpoint))).await;
        assert_eq!(answer.status, 200, "{header}: {}", answer.body);
        let token = claims_of(answer.text("access_token"));
        assert_eq!(token["appidacr"], "2", "a certificate");
    }
}

#[tokio::test]
async fn the_secret_is_still_good_beside_a_certificate() {
    let (emulator, _) = certified().await;
    let answer = exchange(&emulator, &emulator.user_token("alice"), &[]).await;
    assert_eq!(claims_of(answer.text("access_token"))["appidacr"], "1");
}

#[tokio::test]
async fn the_audience_is_the_token_endpoint_or_an_issuer_of_the_tenant_that_is_asked() {
    let (emulator, signer) = certified().await;
    let (url, contoso) = (emulator.url(), demo::CONTOSO);
    let at = async |tenant: &str, audience: Value| {
        let claims = with(claims(""), "aud", audience);
        present_at(&emulator, tenant, &signer.sign(&header(&signer), &claims)).await
    };
    for audience in [
        format!("{url}/{contoso}/oauth2/v2.0/token"),
        format!("{url}/{contoso}/oauth2/token"),
        format!("{url}/{contoso}/v2.0"),
        format!("{url}/{contoso}/"),
        format!("{url}/contoso.example/oauth2/v2.0/token"),
    ] {
        for tenant in [contoso, "contoso.example"] {
            let answer = at(tenant, audience.clone().into()).await;
            assert_eq!(
                answer.status, 200,
                "{audience} at {tenant}: {}",
                answer.body
            );
        }
    }
    let endpoint = emulator.token_url(contoso);
    for audience in [
        json!(emulator.token_url(demo::FABRIKAM)),
        json!(emulator.token_url("common")),
        json!(format!("{endpoint}/")),
        json!(endpoint.to_uppercase()),
        json!(endpoint.replace("http:", "https:")),
        json!("https://login.microsoftonline.com"),
        json!([endpoint, "somebody else"]),
        json!([]),
        json!(7),
        Value::Null,
    ] {
        at(contoso, audience)
            .await
            .assert_refused(401, "invalid_client", 700_023);
    }
}

#[tokio::test]
async fn an_assertion_for_another_tenant_is_refused() {
    let (emulator, signer) = certified().await;
    let contosos = signer.sign(
        &header(&signer),
        &claims(&emulator.token_url(demo::CONTOSO)),
    );
    present_at(&emulator, demo::FABRIKAM, &contosos)
        .await
        .assert_refused(401, "invalid_client", 700_023);
}

#[tokio::test]
async fn an_assertion_of_another_application_is_refused() {
    let (emulator, signer) = certified().await;
    let good = claims(&emulator.token_url(demo::CONTOSO));
    for name in ["iss", "sub"] {
        let claims = with(good.clone(), name, demo::UI_CLIENT_ID);
        present(&emulator, &signer.sign(&header(&signer), &claims))
            .await
            .assert_refused(401, "invalid_client", 700_021);
    }
}

#[tokio::test]
async fn an_assertion_holds_from_its_nbf_to_its_exp() {
    let (emulator, signer) = certified().await;
    let good = claims(&emulator.token_url(demo::CONTOSO));
    let at =
        async |claims: Value| present(&emulator, &signer.sign(&header(&signer), &claims)).await;
    for (name, value) in [
        ("exp", json!(now() - 1)),
        ("exp", json!(0)),
        ("exp", json!(1.5)),
        ("exp", json!(-1e300)),
        ("exp", json!(i64::MIN)),
        ("nbf", json!(now() + 400)),
        ("nbf", json!(i64::MAX)),
    ] {
        let answer = at(with(good.clone(), name, value)).await;
        answer.assert_refused(401, "invalid_client", 700_024);
        let description = answer.text("error_description");
        assert!(
            description.contains("expiry time of assertion"),
            "{description}"
        );
    }
    // A client's clock may run ahead, and an `nbf` may be missing. msal-python writes fractions of
    // seconds, MSAL.NET writes text.
    let fraction = f64::from(i32::try_from(now()).unwrap()) + 600.5;
    let text = with(
        with(good.clone(), "nbf", now().to_string()),
        "exp",
        (now() + 600).to_string(),
    );
    for claims in [
        with(good.clone(), "nbf", now() + 200),
        with(good.clone(), "nbf", Value::Null),
        with(good.clone(), "exp", fraction),
        text,
    ] {
        assert_eq!(at(claims.clone()).await.status, 200, "{claims}");
    }
    emulator.advance(Duration::from_secs(700));
    at(good)
        .await
        .assert_refused(401, "invalid_client", 700_024);
}

#[tokio::test]
async fn an_assertion_is_checked_against_the_certificate_it_names() {
    let (emulator, signer) = certified().await;
    let other = Signer::generate().unwrap();
    let good = claims(&emulator.token_url(demo::CONTOSO));
    let refused = async |assertion: String, reason: &str| {
        let answer = present(&emulator, &assertion).await;
        answer.assert_refused(401, "invalid_client", 700_027);
        let description = answer.text("error_description");
        assert!(description.contains(reason), "{description}");
    };
    refused(other.sign(&header(&other), &good), "The key was not found").await;
    refused(
        other.sign(&header(&signer), &good),
        "did not match the expected",
    )
    .await;
    // Both thumbprints are there, and only one of them fits.
    for (name, thumbprint) in [
        ("x5t", other.certificate().thumbprint()),
        ("x5t#S256", signer.certificate().thumbprint()),
    ] {
        let header = with(header(&signer), name, thumbprint);
        refused(signer.sign(&header, &good), "The key was not found").await;
    }
    // Said to be one algorithm, signed with the other.
    let lying = signer.sign(&header(&signer), &good);
    let (_, rest) = lying.split_once('.').unwrap();
    let honest = signer.sign(&with(header(&signer), "alg", "RS256"), &good);
    let (head, _) = honest.split_once('.').unwrap();
    refused(format!("{head}.{rest}"), "did not match the expected").await;
    for algorithm in [json!("none"), json!("HS256"), json!("RS384"), Value::Null] {
        let header = with(header(&signer), "alg", algorithm);
        refused(signer.sign(&header, &good), "is not supported").await;
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_no_longer_good() {
    let (emulator, signer) = certified().await;
    let years = 6 * 365 * 86_400;
    emulator.advance(Duration::from_secs(years));
    let later = now() + i64::try_from(years).unwrap();
    let claims = with(
        with(
            claims(&emulator.token_url(demo::CONTOSO)),
            "exp",
            later + 600,
        ),
        "nbf",
        later,
    );
    let answer = present(&emulator, &signer.sign(&header(&signer), &claims)).await;
    answer.assert_refused(401, "invalid_client", 700_027);
    let description = answer.text("error_description");
    assert!(
        description.contains("The key used is expired"),
        "{description}"
    );
}

#[tokio::test]
async fn what_is_no_client_assertion_is_malformed() {
    let (emulator, signer) = certified().await;
    let good = claims(&emulator.token_url(demo::CONTOSO));
    let sign = |header: Value, claims: Value| signer.sign(&header, &claims);
    let plain = header(&signer);
    for assertion in [
        "x".to_owned(),
        "a.b.c".to_owned(),
        sign(json!([]), good.clone()),
        sign(plain.clone(), json!("text")),
        sign(with(plain.clone(), "crit", json!(["exp"])), good.clone()),
        sign(with(plain.clone(), "x5t#S256", Value::Null), good.clone()),
        sign(plain.clone(), with(good.clone(), "iss", Value::Null)),
        sign(plain.clone(), with(good.clone(), "sub", json!(["x"]))),
        sign(plain.clone(), with(good.clone(), "exp", Value::Null)),
        sign(plain.clone(), with(good.clone(), "exp", "tomorrow")),
        sign(plain.clone(), with(good.clone(), "nbf", json!({}))),
    ] {
        present(&emulator, &assertion)
            .await
            .assert_refused(400, "invalid_request", 50_027);
    }
}

#[tokio::test]
async fn the_parameters_around_an_assertion_must_fit() {
    let (emulator, signer) = certified().await;
    let user = emulator.user_token("alice");
    let assertion = signer.sign(
        &header(&signer),
        &claims(&emulator.token_url(demo::CONTOSO)),
    );
    let assertion = ("client_assertion", assertion.as_str());
    let kind = ("client_assertion_type", JWT_BEARER);
    let no_secret = ("client_secret", "");
    let saml = (
        "client_assertion_type",
        "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
    );
    for (changes, code) in [
        (vec![no_secret, assertion], 900_144),
        (vec![no_secret, kind], 900_144),
        (vec![no_secret, assertion, saml], 90_023),
        (vec![assertion, kind], 90_023),
    ] {
        exchange(&emulator, &user, &changes)
            .await
            .assert_refused(400, "invalid_request", code);
    }
}

#[tokio::test]
async fn an_application_without_the_certificate_or_any_credential_is_refused() {
    let (emulator, signer) = certified().await;
    let public = "00000000-0000-4000-8000-0000000000b1";
    emulator.update_directory(|directory| {
        let app = Application::new(demo::CONTOSO, public, "Public");
        directory.applications.push(app);
        let api = directory.application_mut(demo::API_CLIENT_ID).unwrap();
        api.secrets.clear();
    });
    // The certificate is all the API has now, and a secret isn't it.
    exchange(&emulator, &emulator.user_token("alice"), &[])
        .await
        .assert_refused(401, "invalid_client", 7_000_215);
    exchange(
        &emulator,
        &emulator.user_token("alice"),
        &[("client_secret", "")],
    )
    .await
    .assert_refused(401, "invalid_client", 7_000_218);
    let endpoint = emulator.token_url(demo::CONTOSO);
    for (app, code) in [(demo::UI_CLIENT_ID, 700_027), (public, 700_025)] {
        let claims = with(with(claims(&endpoint), "iss", app), "sub", app);
        let assertion = signer.sign(&header(&signer), &claims);
        let answer = token(
            &emulator,
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", "x"),
                ("client_id", app),
                ("client_assertion_type", JWT_BEARER),
                ("client_assertion", &assertion),
            ],
        )
        .await;
        answer.assert_refused(401, "invalid_client", code);
    }
}

#[tokio::test]
async fn certificates_rotate_while_it_runs() {
    let (emulator, old) = certified().await;
    let new = Signer::generate().unwrap();
    let endpoint = emulator.token_url(demo::CONTOSO);
    let status = async |signer: &Signer| {
        let assertion = signer.sign(&header(signer), &claims(&endpoint));
        present(&emulator, &assertion).await.status
    };
    assert_eq!((status(&old).await, status(&new).await), (200, 401));
    emulator.update_directory(|directory| {
        let api = directory.application_mut(demo::API_CLIENT_ID).unwrap();
        api.certificates.push(new.certificate().clone());
    });
    assert_eq!((status(&old).await, status(&new).await), (200, 200));
    emulator.update_directory(|directory| {
        let api = directory.application_mut(demo::API_CLIENT_ID).unwrap();
        api.certificates.remove(0);
    });
    assert_eq!((status(&old).await, status(&new).await), (401, 200));
}

#[tokio::test]
async fn an_assertion_over_https_is_addressed_to_the_https_base() {
    let signer = Signer::generate().unwrap();
    let mut directory = Directory::demo();
    let api = directory.application_mut(demo::API_CLIENT_ID).unwrap();
    api.certificates.push(signer.certificate().clone());
    let emulator = Emulator::builder().directory(directory).https();
    let emulator = emulator.start().await.unwrap();
    let path = format!("/{}/oauth2/v2.0/token", demo::CONTOSO);
    let at = |base: &str| format!("{base}{path}");
    let (http, https) = (at(emulator.url()), at(emulator.https_url().unwrap()));
    for (audience, code) in [(&https, 65_001), (&http, 700_023)] {
        let assertion = signer.sign(&header(&signer), &claims(audience));
        let user = emulator.token().https().sign();
        let mut form = obo_form(&user);
        form.retain(|(name, _)| *name != "client_secret");
        form.push(("client_assertion_type", JWT_BEARER));
        form.push(("client_assertion", &assertion));
        let request = trusting(&emulator).post(&https).form(&form);
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.body["error_codes"], json!([code]), "{}", answer.body);
    }
}
