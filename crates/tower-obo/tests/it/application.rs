//! Downstreams that are called as the application itself: never for want of a user's token, and with
//! one token for all callers.

use std::{sync::Arc, time::Duration};

use entra_emulator::{Endpoint, demo};
use http::{HeaderName, HeaderValue, StatusCode, header::WWW_AUTHENTICATE};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_obo::{
    AccessPolicy, Clock as _, Downstream, DownstreamToken, Entra, Head, Policy, RejectionKind,
};

use crate::{
    answer::Answer,
    fixture::{World, policy, with_token},
    forge::{decoded, parts},
    script::{Line, Script, world_at},
};

const ARM_DEFAULT: &str = "https://management.azure.com/.default";
const JOBS: &str = "Jobs.Run";

pub(crate) fn own() -> Downstream {
    Downstream::client_credentials("own", [ARM_DEFAULT])
}

/// Users and applications, served with the application's own token.
pub(crate) fn anybody() -> Policy {
    let access = AccessPolicy::any_scope_or_role([demo::API_SCOPE], [JOBS]).allow_app_only();
    Policy::new(access).downstream(own())
}

fn job(world: &World) -> String {
    let token = world.entra.token().app_only();
    token.claim("roles", json!([JOBS])).sign()
}

fn claims(authorization: &str) -> Value {
    let token = authorization.strip_prefix("Bearer ").unwrap();
    serde_json::from_slice(&decoded(parts(token)[1])).unwrap()
}

/// What the token endpoint was asked: grant and tenant.
fn asked(world: &World) -> Vec<(String, String)> {
    let requests = world.entra.requests(Endpoint::Token);
    let asked = requests.iter().map(|request| {
        let tenant = request.path.split('/').nth(1).unwrap();
        (request.parameter("grant_type").unwrap(), tenant.to_owned())
    });
    asked.collect()
}

async fn token_of(world: &World, policy: Policy, caller: &str) -> DownstreamToken {
    let answer = world.send_by(policy, with_token(caller)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let admitted = world.upstream.last().admitted.unwrap();
    admitted.first_downstream().unwrap()
}

#[tokio::test]
async fn one_token_of_the_application_serves_all_callers_of_a_tenant() {
    let world = Arc::new(World::start().await);
    let callers = [
        world.entra.user_token("alice"),
        world.entra.user_token("bob"),
        job(&world),
    ];
    let hold = world.entra.hold(Endpoint::Token);
    let mut waiting = tokio::task::JoinSet::new();
    for caller in callers.iter().cloned().cycle().take(30) {
        let service = world
            .core
            .layer(anybody())
            .unwrap()
            .layer(world.upstream.clone());
        waiting.spawn(async move { service.oneshot(with_token(&caller)).await.unwrap().status() });
    }
    hold.arrived(1).await;
    hold.release();
    assert!(waiting.join_all().await.iter().all(|status| *status == 200));

    let seen = world.upstream.seen();
    let first = seen[0].authorization();
    assert!(seen.iter().all(|seen| seen.authorization() == first));
    let claims = claims(&first);
    assert_eq!(claims["appid"], demo::API_CLIENT_ID);
    assert!(claims.get("scp").is_none(), "{claims}");
    assert_eq!(world.exchanges_asked(), 1);

    let request = world.entra.requests(Endpoint::Token).remove(0);
    let mut form = request.form();
    form.sort();
    let expected = [
        ("client_id", demo::API_CLIENT_ID),
        ("client_secret", demo::API_CLIENT_SECRET),
        ("grant_type", "client_credentials"),
        ("scope", ARM_DEFAULT),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form, expected, "nothing of a caller");
}

#[tokio::test]
async fn the_applications_tokens_of_two_tenants_are_two() {
    let tenants = Entra::tenants([demo::CONTOSO, demo::FABRIKAM]);
    let world = World::of(tenants, |builder| builder).await;
    let here = world.entra.user_token("alice");
    let there = world.entra.token().tenant(demo::FABRIKAM).sign();
    let ours = token_of(&world, anybody(), &here).await;
    let theirs = token_of(&world, anybody(), &there).await;
    let tenant = |token: &DownstreamToken| claims(&format!("Bearer {}", token.expose()));
    assert_eq!(tenant(&ours)["tid"], demo::CONTOSO);
    assert_eq!(tenant(&theirs)["tid"], demo::FABRIKAM);
    let grant = || "client_credentials".to_owned();
    assert_eq!(
        asked(&world),
        [
            (grant(), demo::CONTOSO.to_owned()),
            (grant(), demo::FABRIKAM.to_owned())
        ]
    );
}

/// A failed exchange never falls back to the application's own identity. Here there even is a token of
/// it, for the very same scope.
#[tokio::test]
async fn a_user_who_is_refused_does_not_get_the_applications_token() {
    let world = World::start().await;
    let user = world.entra.user_token_without_consent("bob");
    token_of(&world, anybody(), &user).await;
    let access = || AccessPolicy::any_scope([demo::API_SCOPE]);
    let same_scope = Policy::new(access()).downstream(Downstream::new("own", [ARM_DEFAULT]));
    let on_demand =
        Policy::new(access()).downstream_on_demand(Downstream::new("own", [ARM_DEFAULT]));

    for policy in [policy(), same_scope] {
        let calls = world.upstream.calls();
        let answer = world.send_by(policy, with_token(&user)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.problem_type(), "consent-required");
        assert_eq!(world.upstream.calls(), calls);
    }
    let answer = world.send_by(on_demand, with_token(&user)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let admitted = world.upstream.last().admitted.unwrap();
    let refused = admitted.downstreams().get("own").await.unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::ConsentRequired);

    let application = asked(&world);
    let application = application
        .iter()
        .filter(|(grant, _)| grant == "client_credentials");
    assert_eq!(application.count(), 1, "only for the route that says so");
}

#[tokio::test]
async fn an_application_gets_the_applications_token_and_never_a_users() {
    let world = World::start().await;
    let job = job(&world);
    token_of(&world, anybody(), &job).await;
    let both = anybody().downstream_in(
        Downstream::azure_resource_manager(),
        HeaderName::from_static("x-arm"),
    );
    let answer = world
        .refused_by(both, "one is a user's", with_token(&job))
        .await;
    assert_eq!(answer.problem_type(), "app-only-not-allowed");

    let users = Downstream::azure_resource_manager();
    let on_demand = AccessPolicy::any_role([JOBS]).require_app_only();
    let on_demand = Policy::new(on_demand)
        .downstream_on_demand(own())
        .downstream_on_demand(users);
    let answer = world.send_by(on_demand, with_token(&job)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let downstreams = world.upstream.last().admitted.unwrap().downstreams();
    assert_eq!(downstreams.get("own").await.unwrap().name(), "own");
    let refused = downstreams.get("arm").await.unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::AppOnlyNotAllowed);
    assert_eq!(world.exchanges_asked(), 1);
}

#[tokio::test]
async fn the_applications_token_outlives_the_caller_who_came_first_and_is_renewed_ahead() {
    let world = World::start().await;
    let until = |seconds: i64| {
        let token = world.entra.token();
        token.expires_in(seconds).sign()
    };
    let (short, long) = (until(120), until(20 * 3600));
    let first = token_of(&world, anybody(), &short).await;
    world.clock.advance(Duration::from_secs(600));
    let answer = world.send_by(anybody(), with_token(&short)).await;
    assert_eq!(
        answer.status,
        StatusCode::UNAUTHORIZED,
        "the caller's own has ended"
    );
    let second = token_of(&world, anybody(), &long).await;
    assert_eq!(first.expose(), second.expose());
    assert_eq!(world.exchanges_asked(), 1);

    // Most of its life is over: this caller still gets it, and sets the renewal off.
    let life = first.expires_at().saturating_since(world.clock.now());
    world.clock.advance(life.mul_f64(0.85));
    let hold = world.entra.hold(Endpoint::Token);
    let third = token_of(&world, anybody(), &long).await;
    assert_eq!(first.expose(), third.expose());
    hold.arrived(1).await;
    hold.release();
    // Each is a caller who has not been seen before, and has no token at hand.
    let renewed = async {
        let callers = || until(20 * 3600);
        while token_of(&world, anybody(), &callers()).await.expose() == first.expose() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), renewed)
        .await
        .unwrap();
    assert_eq!(world.exchanges_asked(), 2);
}

/// Nobody who calls could satisfy claims that are about the application.
#[tokio::test]
async fn a_claims_challenge_of_the_applications_token_is_nothing_for_the_caller() {
    let world = World::start().await;
    let alice = world.entra.user_token("alice");
    let token = token_of(&world, anybody(), &alice).await;
    let mut said = http::HeaderMap::new();
    let challenge = "Bearer error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnt9fQ==\"";
    said.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));

    // No exchange of the user's token is made for it.
    let request = with_token(&alice);
    let admitted = world.upstream.last().admitted.unwrap();
    let head = Head::from(&request);
    let exchange =
        world
            .core
            .exchange_for_claims(&head, &admitted, std::slice::from_ref(&token), &said);
    assert!(exchange.is_none());

    let rejection = token.challenged(&said).unwrap();
    assert_eq!(rejection.status(), StatusCode::BAD_GATEWAY);
    let answer = Answer::of(rejection.to_response::<crate::fixture::Body>()).await;
    assert_eq!(answer.problem_type(), "gateway-misconfigured");
    assert!(answer.challenge().is_none(), "{}", answer.body);

    // It is dropped, once a minute; no user is held back for it.
    let next = token_of(&world, anybody(), &alice).await;
    assert_eq!(world.exchanges_asked(), 2);
    assert!(next.challenged(&said).is_some());
    let same = token_of(&world, anybody(), &alice).await;
    assert_eq!(same.expose(), next.expose());
    assert_eq!(world.exchanges_asked(), 2);
    world.accepted("the user's own token", &alice).await;
}

#[tokio::test]
async fn what_the_token_endpoint_would_ask_of_a_user_is_a_fault_of_ours() {
    let script = Script::start().await;
    let world = world_at(script.url()).await;
    let alice = world.entra.user_token("alice");
    for body in [
        r#"{"error":"interaction_required","claims":"{\"access_token\":{}}"}"#,
        r#"{"error":"interaction_required","error_codes":[50076]}"#,
        r#"{"error":"invalid_grant","error_codes":[65001],"suberror":"consent_required"}"#,
        r#"{"error":"invalid_grant","error_codes":[50057]}"#,
        r#"{"error":"invalid_grant","error_codes":[7000114]}"#,
        r#"{"error":"invalid_grant"}"#,
    ] {
        script.will(Line::json(400, body));
        let answer = world.send_by(anybody(), with_token(&alice)).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{body}");
        assert_eq!(answer.problem_type(), "gateway-misconfigured", "{body}");
        assert!(answer.challenge().is_none(), "{body}");
        answer.does_not_hold("access_token", body);
        // Whatever is remembered of it ends.
        world.clock.advance(Duration::from_secs(31));
    }
    assert_eq!(script.requests().len(), 6);
}

#[tokio::test]
async fn a_scope_that_client_credentials_do_not_take_is_an_error() {
    let world = World::start().await;
    for scopes in [
        &["https://management.azure.com/user_impersonation"][..],
        &[ARM_DEFAULT, "https://graph.microsoft.com/.default"],
        &[],
    ] {
        let downstream = Downstream::client_credentials("own", scopes.iter().copied());
        let policy = Policy::new(AccessPolicy::any_scope([demo::API_SCOPE])).downstream(downstream);
        let errors = world.core.bind(policy).unwrap_err();
        assert_eq!(errors.iter().count(), 1, "{scopes:?}: {errors}");
        assert!(errors.to_string().contains("scope"), "{scopes:?}: {errors}");
    }
}
