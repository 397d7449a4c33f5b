//! The application's own tokens where nobody calls.

use entra_emulator::{Endpoint, demo};
use http::StatusCode;
use serde_json::json;
use tower_obo::{Clock as _, Downstream, Entra, RejectionKind};

use crate::{
    application::{anybody, own},
    downstreams::challenge,
    fixture::{World, with_token},
    oidc::provider::{Provider, field, secret},
};

#[tokio::test]
async fn a_job_has_the_applications_token_without_a_caller_and_the_one_that_requests_have() {
    let world = World::without_keys(Entra::tenant(demo::CONTOSO), |core| core).await;
    let application = world.core.application([own()]).unwrap();
    let token = application.get("own").await.unwrap();
    assert_eq!(world.exchanges_asked(), 1);
    let request = world.entra.requests(Endpoint::Token).remove(0);
    let grant = request.parameter("grant_type");
    assert_eq!(grant.as_deref(), Some("client_credentials"));
    assert!(request.path.contains(demo::CONTOSO), "{}", request.path);
    assert!(!world.core.is_ready(), "keys are for callers");
    let elsewhere = world.core.application_in(demo::FABRIKAM, [own()]);
    assert!(elsewhere.is_err(), "the core has one tenant");

    let user = world.entra.user_token("alice");
    let answer = world.send_by(anybody(), with_token(&user)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(
        world.upstream.last().authorization(),
        token.header().to_str().unwrap()
    );
    assert_eq!(
        application.get("own").await.unwrap().header(),
        token.header()
    );
    assert_eq!(world.exchanges_asked(), 1);

    // The last fifth of its life: it serves, and is renewed.
    let lifetime = token.expires_at().saturating_since(world.clock.now());
    world.clock.advance(lifetime.mul_f64(0.85));
    let hold = world.entra.hold(Endpoint::Token);
    application.get("own").await.unwrap();
    hold.arrived(1).await;
    hold.release();
}

#[tokio::test]
async fn a_job_does_not_get_the_token_that_its_downstream_has_refused() {
    let world = World::start().await;
    let application = world.core.application([own()]).unwrap();
    let token = application.get("own").await.unwrap();
    let rejection = token.challenged(&challenge()).unwrap();
    assert_eq!(rejection.kind(), RejectionKind::Misconfigured);
    let another = application.get("own").await.unwrap();
    assert_ne!(another.header(), token.header());
    let unknown = application.get("other").await.unwrap_err();
    assert_eq!(unknown.kind(), RejectionKind::Misconfigured);
}

#[tokio::test]
async fn a_job_says_in_which_of_several_tenants_it_runs() {
    let tenants = [demo::CONTOSO, demo::FABRIKAM];
    let world = World::of(Entra::tenants(tenants), |core| core).await;
    for tenant in tenants {
        let application = world.core.application_in(&tenant.to_uppercase(), [own()]);
        application.unwrap().get("own").await.unwrap();
    }
    let asked = world.entra.requests(Endpoint::Token);
    for (request, tenant) in asked.iter().zip(tenants) {
        assert!(request.path.contains(tenant), "{}", request.path);
    }
    assert_eq!(asked.len(), 2);

    let core = &world.core;
    let stranger = "99999999-2222-3333-4444-555555555555";
    let user = Downstream::azure_resource_manager;
    for (application, wrong) in [
        (core.application([own()]), &["tenant"][..]),
        (core.application_in(stranger, [own()]), &["tenant"]),
        (
            core.application_in(demo::CONTOSO, [user()]),
            &["downstream"],
        ),
        (
            core.application([user(), own(), own()]),
            &["tenant", "downstream", "downstream"],
        ),
    ] {
        let errors = application.unwrap_err();
        let said: Vec<_> = errors.iter().map(|error| error.setting).collect();
        assert_eq!(said, wrong, "{errors}");
    }
    let any = World::of(Entra::any_tenant(), |core| core).await;
    assert!(any.core.application_in(stranger, [own()]).is_ok());
    assert!(any.core.application_in("common", [own()]).is_err());
}

#[tokio::test]
async fn what_a_job_is_refused_says_who_has_to_act() {
    let world = World::start().await;
    let fault = entra_emulator::Fault::status(400).json(&json!({
        "error": "unauthorized_client", "error_codes": [700_016],
    }));
    world.entra.fail(Endpoint::Token, fault, 1);
    let application = world.core.application([own()]).unwrap();
    let refused = application.get("own").await.unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::Misconfigured);
    assert_eq!(refused.aadsts(), Some(700_016));
}

/// The token endpoint stands in the document that names the keys, which nobody has asked for yet.
#[tokio::test]
async fn a_job_at_another_provider_finds_the_token_endpoint_by_itself() {
    let provider = Provider::start().await;
    let core = provider.cold(provider.oidc(), secret(), |core| core);
    let own = || Downstream::client_credentials("own", ["orders"]);
    provider.will(
        200,
        json!({"access_token": "own", "token_type": "Bearer", "expires_in": 300}),
    );
    let token = core.application([own()]).unwrap().get("own").await;
    assert_eq!(token.unwrap().expose(), "own");
    let (_, form) = provider.asked().remove(0);
    assert_eq!(field(&form, "grant_type"), Some("client_credentials"));
    let errors = core.application_in("shop", [own()]).unwrap_err();
    assert!(errors.to_string().starts_with("tenant"), "{errors}");
}
