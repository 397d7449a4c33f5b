//! A certificate: what Entra ID is sent, refusals of the assertion, and rotation.

use std::{sync::Arc, time::Duration};

use entra_emulator::{Endpoint, Fault, Signer, demo};
use http::StatusCode;
use serde_json::json;
use tower_obo::{Credential, Entra};

use super::kit::{Load, Volume, assertions, claims, header, register_api, world_with};
use crate::fixture::World;

fn pem(signer: &Signer) -> String {
    signer.private_key_pem() + &signer.certificate_pem()
}

async fn certified(signer: &Signer, volume: &Volume) -> World {
    let credential = Credential::certificate(volume.path());
    world_with(credential, |api| {
        api.certificates.push(signer.certificate().clone());
    })
    .await
}

fn refused(code: u32) -> Fault {
    Fault::status(401).json(&json!({"error": "invalid_client", "error_codes": [code]}))
}

#[tokio::test]
async fn tokens_are_asked_for_with_the_assertion_of_a_certificate() {
    let signer = Signer::generate().unwrap();
    let volume = Volume::with("api.pem", pem(&signer));
    let world = certified(&signer, &volume).await;
    for user in ["alice", "bob"] {
        let token = world.entra.user_token(user);
        world.accepted(user, &token).await;
    }
    let sent = assertions(&world);
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], sent[1], "one assertion for all of a tenant");
    let claims = claims(&sent[0]);
    assert_eq!(claims["aud"], world.entra.token_url(demo::CONTOSO));
    assert_eq!(claims["iss"], demo::API_CLIENT_ID);
    assert_eq!(claims["sub"], demo::API_CLIENT_ID);
}

#[tokio::test]
async fn each_tenant_gets_an_assertion_of_its_own() {
    let signer = Signer::generate().unwrap();
    let volume = Volume::with("api.pem", pem(&signer));
    let tenants = Entra::tenants([demo::CONTOSO, demo::FABRIKAM]);
    let world = World::of(tenants, |builder| {
        builder.client(demo::API_CLIENT_ID, Credential::certificate(volume.path()))
    })
    .await;
    register_api(&world.entra, |api| {
        api.certificates.push(signer.certificate().clone());
    });
    for user in ["alice", "erin", "bob"] {
        let token = world.entra.user_token(user);
        world.get(&token).await;
    }
    let audiences: Vec<_> = assertions(&world)
        .iter()
        .map(|jwt| claims(jwt)["aud"].take())
        .collect();
    let [contoso, fabrikam] = [demo::CONTOSO, demo::FABRIKAM].map(|t| world.entra.token_url(t));
    for audience in [&contoso, &fabrikam] {
        assert!(audiences.iter().any(|aud| aud == audience), "{audiences:?}");
    }
}

#[tokio::test]
async fn ex_05_a_refused_assertion_is_made_anew_and_sent_once_more() {
    let signer = Signer::generate().unwrap();
    let volume = Volume::with("api.pem", pem(&signer));
    let world = certified(&signer, &volume).await;
    for code in [700_027, 700_024, 7_000_214, 1_000_502, 7_000_274, 7_000_277] {
        let before = assertions(&world).len();
        world.entra.fail(Endpoint::Token, refused(code), 1);
        let token = world.entra.user_token("alice");
        world.accepted(&code.to_string(), &token).await;
        let sent = assertions(&world);
        assert_eq!(sent.len(), before + 2, "{code}");
        assert_ne!(sent[before], sent[before + 1], "{code}: the same again");
    }
    for code in [7_000_215, 700_016] {
        let before = assertions(&world).len();
        world.entra.fail(Endpoint::Token, refused(code), 1);
        let answer = world.get(&world.entra.user_token("alice")).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{code}");
        assert_eq!(assertions(&world).len(), before + 1, "{code}");
        // Nobody asks meanwhile.
        world.clock.advance(Duration::from_secs(5));
    }
}

/// What we have signed is a JWT: the code is about the caller's token, and nobody else's affair.
#[tokio::test]
async fn ex_05_an_assertion_that_is_no_jwt_is_the_callers_where_we_sign_ours() {
    let signer = Signer::generate().unwrap();
    let volume = Volume::with("api.pem", pem(&signer));
    let world = certified(&signer, &volume).await;
    world.entra.fail(Endpoint::Token, refused(50027), 1);
    let answer = world.get(&world.entra.user_token("alice")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    assert_eq!(answer.problem_type(), "assertion-refused");
    world.accepted("bob", &world.entra.user_token("bob")).await;
}

#[tokio::test]
async fn ex_05_without_a_good_certificate_there_is_no_exchange() {
    let volume = Volume::with("api.pem", "nothing of use");
    let world = world_with(Credential::certificate(volume.path()), |_| {}).await;
    let answer = world.get(&world.entra.user_token("alice")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.problem_type(), "gateway-misconfigured");
    answer.does_not_hold("api.pem", "the path");
    assert_eq!(world.exchanges_asked(), 0);

    let signer = Signer::generate().unwrap();
    register_api(&world.entra, |api| {
        api.certificates.push(signer.certificate().clone());
    });
    volume.put(pem(&signer));
    let token = world.entra.user_token("alice");
    world.accepted("once it is mended", &token).await;
}

/// The worst order: the old certificate is gone from the registration while its assertions are
/// still used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cf_06_certificates_rotate_while_requests_flow_and_none_fails() {
    let mut signer = Signer::generate().unwrap();
    let volume = Volume::with("api.pem", pem(&signer));
    let world = Arc::new(certified(&signer, &volume).await);
    let load = Load::on(&world);
    for _ in 0..4 {
        load.goes_on().await;
        let next = Signer::generate().unwrap();
        register_api(&world.entra, |api| {
            api.certificates.push(next.certificate().clone());
        });
        load.goes_on().await;
        volume.put(pem(&next));
        register_api(&world.entra, |api| {
            let thumbprint = next.certificate().thumbprint_sha256();
            api.certificates
                .retain(|own| own.thumbprint_sha256() == thumbprint);
        });
        signer = next;
    }
    load.goes_on().await;
    let requests = load.end().await;
    assert!(requests >= 4 * 8, "{requests}");
    let last = assertions(&world).pop().unwrap();
    let used = header(&last)["x5t#S256"].take();
    assert_eq!(used, signer.certificate().thumbprint_sha256());
}
