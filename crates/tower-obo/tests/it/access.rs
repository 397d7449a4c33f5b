//! AZ-01 … AZ-04: who may call.

use entra_emulator::demo;
use http::StatusCode;
use serde_json::json;
use tower_obo::{AccessPolicy, Downstream, Policy, TokenDefect};

use crate::fixture::{World, policy, with_token};

#[tokio::test]
async fn az_01_a_scope_counts_whole_and_in_its_own_letter_case() {
    let world = World::start().await;
    world.entra.grant_consent("alice");
    for scopes in [
        "access_as_user2",
        "access_as",
        "Access_As_User",
        "ACCESS_AS_USER",
        "",
        " ",
        "User.Read",
        "User.Read Files.Read",
        "access_as_user.all",
        "x/access_as_user",
        "access_as_user,User.Read",
        "access_as_user\tUser.Read",
        "access_as_user\u{a0}User.Read",
    ] {
        let case = format!("scp {scopes:?}");
        let token = world.entra.token().claim("scp", scopes).sign();
        let answer = world.refused(&case, with_token(&token)).await;
        answer.lacks_scope(&case, demo::API_SCOPE);
    }
    let without = world.entra.token().without_claim("scp").sign();
    let answer = world.refused("no scp", with_token(&without)).await;
    answer.lacks_scope("no scp", demo::API_SCOPE);
    // A list is no list of scopes: the token is not one of Entra ID's (CL-14).
    let list = world.entra.token().claim("scp", json!([demo::API_SCOPE]));
    world
        .invalid("scp as a list", TokenDefect::Claims, &list.sign())
        .await;
    let several = world.entra.token().claim("scp", "User.Read access_as_user");
    world.accepted("several", &several.sign()).await;
}

#[tokio::test]
async fn az_01_a_challenge_names_every_scope_that_would_help() {
    let world = World::start().await;
    let token = world.entra.token().claim("scp", "User.Read").sign();
    for access in [
        AccessPolicy::any_scope(["a", "b"]),
        AccessPolicy::all_scopes(["a", "b"]),
    ] {
        let request = with_token(&token);
        let answer = world.refused_by(Policy::new(access), "two", request).await;
        answer.lacks_scope("two", "a b");
        assert_eq!(answer.problem()["scope"], "a b");
    }
}

#[tokio::test]
async fn az_02_an_application_without_a_user_is_refused_before_any_exchange() {
    let world = World::start().await;
    let app = || world.entra.token().app_only();
    for (case, token) in [
        ("app-only", app()),
        ("app-only, v1", app().v1()),
        ("roles and no scp", app().without_claim("idtyp")),
        ("idtyp and no roles", app().without_claim("roles")),
        (
            "roles of a user's token",
            world
                .entra
                .token()
                .without_claim("scp")
                .claim("roles", json!(["Reader"])),
        ),
    ] {
        let answer = world.refused(case, with_token(&token.sign())).await;
        answer.lacks_scope(case, demo::API_SCOPE);
    }
}

#[tokio::test]
async fn az_02_without_idtyp_roles_alone_make_an_application_and_roles_beside_a_scope_do_not() {
    let world = World::start().await;
    let reader = || world.entra.token().claim("roles", json!(["Reader"]));
    let policy = || Policy::new(AccessPolicy::any_role(["Reader"]));
    let app = reader().without_claim("scp").sign();
    let answer = world
        .refused_by(policy(), "roles alone", with_token(&app))
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);

    let user = reader().sign();
    let answer = world.send_by(policy(), with_token(&user)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let admitted = world.upstream.last().admitted.unwrap();
    assert!(!admitted.principal().unwrap().is_app_only());
}

#[tokio::test]
async fn az_02_where_applications_may_call_they_still_get_no_users_token() {
    let world = World::start().await;
    let token = world.entra.token().app_only().sign();
    let access = AccessPolicy::any_role(["Subscriptions.Read.All"]).allow_app_only();
    let answer = world
        .send_by(Policy::new(access.clone()), with_token(&token))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let seen = world.upstream.last();
    assert!(!seen.headers.contains_key("authorization"));
    assert!(seen.admitted.unwrap().principal().unwrap().is_app_only());

    let policy = Policy::new(access).downstream(Downstream::azure_resource_manager());
    let answer = world
        .refused_by(policy, "with a downstream", with_token(&token))
        .await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let challenge = answer.challenge().unwrap();
    assert_eq!(challenge.get("error"), Some("insufficient_scope"));
}

#[tokio::test]
async fn az_03_a_scope_does_not_make_a_user_of_an_application() {
    let world = World::start().await;
    for token in [
        world.entra.token().app_only().claim("scp", demo::API_SCOPE),
        world.entra.token().claim("idtyp", "app"),
        world.entra.token().v1().claim("idtyp", "app"),
    ] {
        let answer = world.refused("forged scp", with_token(&token.sign())).await;
        answer.lacks_scope("forged scp", demo::API_SCOPE);
    }
}

#[tokio::test]
async fn az_04_only_listed_applications_may_call_and_the_list_is_not_told() {
    let world = World::start().await;
    world.entra.grant_consent("alice");
    let other = "0ddba11d-0000-4000-8000-000000000001";
    let access = |client: &str| AccessPolicy::any_scope([demo::API_SCOPE]).client(client);
    let ours = || world.entra.token();
    for (case, token) in [
        ("another application", ours().claim("azp", "other-app")),
        (
            "another letter case",
            ours().claim("azp", demo::UI_CLIENT_ID.to_uppercase()),
        ),
        ("none", ours().without_claim("azp")),
        (
            "appid in a v2 token",
            ours().without_claim("azp").claim("appid", other),
        ),
        ("azp in a v1 token", ours().v1().claim("azp", other)),
        ("listed elsewhere", ours()),
    ] {
        let request = with_token(&token.sign());
        let policy = Policy::new(access(other));
        let answer = world.refused_by(policy, case, request).await;
        let challenge = answer.challenges(case, 403, &["error"]);
        assert_eq!(challenge.get("error"), Some("insufficient_scope"), "{case}");
        answer.does_not_hold(other, case);
    }
    for token in [ours().sign(), ours().v1().sign()] {
        let policy = Policy::new(access(demo::UI_CLIENT_ID));
        let answer = world.send_by(policy, with_token(&token)).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_policy_is_evaluated_on_every_request_and_not_only_on_the_first() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    world.accepted("first", &token).await;
    let stricter = policy_for("another_scope");
    let answer = world.refused_by(stricter, "hit", with_token(&token)).await;
    answer.lacks_scope("hit", "another_scope");
    let answer = world.send_by(policy(), with_token(&token)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(world.exchanges_asked(), 1);
}

fn policy_for(scope: &str) -> Policy {
    Policy::new(AccessPolicy::any_scope([scope])).downstream(Downstream::azure_resource_manager())
}
