//! Who may use which route: applications, roles, tenants, hosts.

use entra_emulator::demo as ids;
use obo_gateway::Tenants;

use crate::{rig::Rig, upstream::ok};

/// A request with this token.
fn get(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n")
}

fn app_token(rig: &Rig, role: &str) -> String {
    let token = rig.emulator.as_ref().unwrap().token().app_only();
    token.claim("roles", serde_json::json!([role])).sign()
}

const APPS: &str = "[[route]]\npath = '/jobs/*'\naccess = 'app-only'\nroles = ['Jobs.Run']\n\
     [[route]]\npath = '/*'\ndownstream = 'arm'";

#[tokio::test]
async fn az_02_an_application_is_let_in_only_where_the_route_says_so() {
    let rig = Rig::new(APPS, |_| ok(), |_| {}).await;
    let app = app_token(&rig, "Jobs.Run");
    let refused = rig.exchange(get("/x", &app)).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.all("www-authenticate")[0].contains("error=\"insufficient_scope\""));
    let other_role = rig
        .exchange(get("/jobs/x", &app_token(&rig, "Jobs.Read")))
        .await;
    assert_eq!(other_role.status, 403);
    let user = rig.emulator.as_ref().unwrap().token();
    let user = user.claim("roles", serde_json::json!(["Jobs.Run"])).sign();
    let refused = rig.exchange(get("/jobs/x", &user)).await;
    assert_eq!(refused.status, 403, "a user is no application");
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(rig.emulator.as_ref().unwrap().exchanges(), 0);

    assert_eq!(rig.exchange(get("/jobs/x", &app)).await.status, 200);
    assert!(rig.only_seen().all("authorization").is_empty());
    assert_eq!(rig.emulator.as_ref().unwrap().exchanges(), 0);
}

#[tokio::test]
async fn az_03_a_scope_makes_no_user_of_an_application() {
    let rig = Rig::new(APPS, |_| ok(), |_| {}).await;
    let token = rig.emulator.as_ref().unwrap().token().app_only();
    let forged = token
        .claim("roles", serde_json::json!(["Jobs.Run"]))
        .claim("scp", ids::API_SCOPE)
        .claim("idtyp", "app")
        .sign();
    assert_eq!(rig.exchange(get("/x", &forged)).await.status, 403);
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(rig.exchange(get("/jobs/x", &forged)).await.status, 200);
}

#[tokio::test]
async fn az_04_an_application_that_is_not_on_the_list_is_refused_without_naming_the_list() {
    let other = "99999999-2222-3333-4444-555555555555";
    let routes = format!(
        "[[route]]\npath = '/ui'\nclients = ['{}']\n[[route]]\npath = '/other'\nclients = ['{other}']",
        ids::UI_CLIENT_ID
    );
    let rig = Rig::new(&routes, |_| ok(), |_| {}).await;
    let token = rig.token("alice");
    let refused = rig.exchange(get("/other", &token)).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(!refused.head.contains(other) && !refused.body.contains(other));
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(rig.exchange(get("/ui", &token)).await.status, 200);
}

#[tokio::test]
async fn a_route_may_want_a_role_besides_the_scope() {
    let rig = Rig::new(
        "[[route]]\npath = '/*'\nroles = ['Admin', 'Owner']",
        |_| ok(),
        |_| {},
    )
    .await;
    let emulator = rig.emulator.as_ref().unwrap();
    let owner = emulator
        .token()
        .claim("roles", serde_json::json!(["Owner"]));
    assert_eq!(
        rig.exchange(get("/x", &emulator.token().sign()))
            .await
            .status,
        403
    );
    let without_scope = owner.clone().claim("scp", "other").sign();
    assert_eq!(rig.exchange(get("/x", &without_scope)).await.status, 403);
    rig.assert_nothing_reached_the_upstream();
    assert_eq!(rig.exchange(get("/x", &owner.sign())).await.status, 200);
}

/// The status of each caller at each path, without a downstream.
async fn assert_statuses(rig: &Rig, cases: &[(&str, &str, u16)]) {
    for (path, token, status) in cases {
        let answer = rig.exchange(get(path, token)).await;
        assert_eq!(answer.status, *status, "{path}: {answer:?}");
    }
}

/// A user's token with these scopes, and a role if one is given.
fn user_token(rig: &Rig, scopes: &str, role: Option<&str>) -> String {
    let token = rig.emulator.as_ref().unwrap().token().claim("scp", scopes);
    match role {
        Some(role) => token.claim("roles", serde_json::json!([role])).sign(),
        None => token.sign(),
    }
}

#[tokio::test]
async fn az_01_all_scopes_of_a_route_are_asked_for_where_it_says_so() {
    let rig = Rig::new(
        "[[route]]\npath = '/all'\nscopes = ['a', 'b']\npermission = 'all-scopes'\n\
         [[route]]\npath = '/and'\nscopes = ['a', 'b']\nroles = ['R']\npermission = 'all-scopes'\n\
         [[route]]\npath = '/any'\nscopes = ['a', 'b']",
        |_| ok(),
        |_| {},
    )
    .await;
    let (one, both) = (user_token(&rig, "b", None), user_token(&rig, "b a", None));
    let with_role = user_token(&rig, "a b", Some("R"));
    let role_and_one = user_token(&rig, "a", Some("R"));
    let refused = rig.exchange(get("/all", &one)).await;
    let challenge = refused.all("www-authenticate")[0];
    assert!(challenge.contains("scope=\"a b\""), "{challenge}");
    assert_statuses(
        &rig,
        &[
            ("/all", &one, 403),
            ("/all", &role_and_one, 403),
            ("/and", &both, 403),
            ("/and", &role_and_one, 403),
        ],
    )
    .await;
    rig.assert_nothing_reached_the_upstream();
    let good = [
        ("/all", &*both, 200),
        ("/and", &with_role, 200),
        ("/any", &one, 200),
    ];
    assert_statuses(&rig, &good).await;
}

#[tokio::test]
async fn az_02_users_and_applications_share_a_route_where_it_says_so_each_by_what_is_theirs() {
    let both = "access = 'users-and-apps'\nroles = ['Jobs.Run']";
    let routes = format!(
        "[[route]]\npath = '/either'\n{both}\npermission = 'scope-or-role'\n\
         [[route]]\npath = '/and'\n{both}\n\
         [[route]]\npath = '/users'\nroles = ['Jobs.Run']\npermission = 'scope-or-role'"
    );
    let rig = Rig::new(&routes, |_| ok(), |_| {}).await;
    let scope = user_token(&rig, ids::API_SCOPE, None);
    let role = user_token(&rig, "other", Some("Jobs.Run"));
    let neither = user_token(&rig, "other", Some("Jobs.Read"));
    let scope_and_role = user_token(&rig, ids::API_SCOPE, Some("Jobs.Run"));
    let app = app_token(&rig, "Jobs.Run");
    let other_app = app_token(&rig, "Jobs.Read");
    assert_statuses(
        &rig,
        &[
            ("/either", &neither, 403),
            ("/either", &other_app, 403),
            ("/and", &scope, 403),
            ("/and", &role, 403),
            ("/and", &other_app, 403),
            ("/users", &neither, 403),
            ("/users", &app, 403),
        ],
    )
    .await;
    rig.assert_nothing_reached_the_upstream();
    assert_statuses(
        &rig,
        &[
            ("/either", &scope, 200),
            ("/either", &role, 200),
            ("/either", &app, 200),
            ("/and", &scope_and_role, 200),
            ("/and", &app, 200),
            ("/users", &scope, 200),
            ("/users", &role, 200),
        ],
    )
    .await;
}

#[tokio::test]
async fn cl_10_users_of_a_tenant_that_is_not_on_the_list_are_not_let_in() {
    for (tenants, contoso, fabrikam) in [
        (Tenants::Own, 200, 401),
        (Tenants::Listed(vec![ids::FABRIKAM.to_owned()]), 401, 200),
        (Tenants::Any, 200, 200),
    ] {
        let rig = Rig::new(
            "[[route]]\npath = '/*'",
            |_| ok(),
            |config| config.accept.tenants = tenants.clone(),
        )
        .await;
        let emulator = rig.emulator.as_ref().unwrap();
        let ours = emulator.token().sign();
        let theirs = emulator.token().user("erin").tenant(ids::FABRIKAM).sign();
        let status = rig.exchange(get("/x", &ours)).await.status;
        assert_eq!(status, contoso, "{tenants:?}");
        let status = rig.exchange(get("/x", &theirs)).await.status;
        assert_eq!(status, fabrikam, "{tenants:?}");
    }
}

#[tokio::test]
async fn hd_15_the_caller_s_own_token_goes_on_only_where_that_is_asked_for() {
    let rig = Rig::new(
        "[[route]]\npath = '/none'\n[[route]]\npath = '/own'\npass_caller_token = true",
        |_| ok(),
        |_| {},
    )
    .await;
    let token = rig.token("alice");
    for path in ["/none", "/own"] {
        assert_eq!(rig.exchange(get(path, &token)).await.status, 200);
    }
    let seen = rig.upstream.seen();
    assert!(seen[0].all("authorization").is_empty(), "{seen:#?}");
    assert_eq!(seen[1].all("authorization"), [format!("Bearer {token}")]);
    let tampered = format!("{}x", &token[..token.len() - 1]);
    assert_eq!(rig.exchange(get("/own", &tampered)).await.status, 401);
    assert_eq!(rig.upstream.seen().len(), 2);
}

#[tokio::test]
async fn be_12_the_largest_token_that_is_looked_at_can_be_set() {
    let rig = Rig::new("", |_| ok(), |config| config.limits.token_bytes = 64).await;
    let refused = rig.exchange(get("/x", &rig.token("alice"))).await;
    assert_eq!(refused.status, 401);
    assert!(refused.all("www-authenticate")[0].contains("invalid_token"));
    rig.assert_nothing_reached_the_upstream();
}

const HOSTS: &str = "[[route]]\npath = '/*'\naccess = 'public'\nhosts = ['open.example', '*.open.example']\n\
     [[route]]\npath = '/*'\nhosts = ['secret.open.example']\n\
     [[route]]\npath = '/exact'\naccess = 'public'";

#[tokio::test]
async fn routes_of_a_host_come_before_those_of_any_and_a_whole_host_before_a_wildcard() {
    let rig = Rig::new(HOSTS, |_| ok(), |_| {}).await;
    for (host, path, status) in [
        ("open.example", "/x", 200),
        ("OPEN.example:81", "/x", 200),
        ("a.open.example", "/exact", 200),
        ("secret.open.example", "/exact", 401),
        ("Secret.Open.Example", "/x", 401),
        ("secret.open.example:8080", "/x", 401),
        ("other.example", "/exact", 200),
        ("other.example", "/x", 404),
        ("open.example.", "/x", 404),
        ("xopen.example", "/x", 404),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = rig.exchange(request).await;
        assert_eq!(answer.status, status, "{host} {path}");
    }
    // Nothing but Host says which host it is.
    let answer = rig
        .exchange(
            "GET /x HTTP/1.1\r\nHost: secret.open.example\r\nX-Forwarded-Host: open.example\r\n\
             Forwarded: host=open.example\r\nX-Original-Host: open.example\r\n\r\n",
        )
        .await;
    assert_eq!(answer.status, 401);
    let absolute = "GET http://secret.open.example/x HTTP/1.1\r\nHost: secret.open.example\r\n\r\n";
    assert_eq!(rig.exchange(absolute).await.status, 401);
}

#[tokio::test]
async fn pa_12_a_host_that_is_none_of_ours_is_misdirected() {
    let rig = Rig::public_with(
        |_| ok(),
        |config| config.allowed_hosts = vec!["gw".parse().unwrap(), "*.gw:443".parse().unwrap()],
    )
    .await;
    let port = rig.gateway.local_addr().port();
    for host in [
        "evil.example",
        "gw:1",
        "gw.",
        "gw:",
        "a.gw",
        "a.gw:80",
        "gw.evil.example",
    ] {
        let answer = rig
            .exchange(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(answer.status, 421, "{host}");
        assert_eq!(answer.all("content-type"), ["application/problem+json"]);
        assert!(!answer.body.contains(host) || host == "gw", "{answer:?}");
    }
    assert_eq!(rig.exchange("GET / HTTP/1.0\r\n\r\n").await.status, 421);
    rig.assert_nothing_reached_the_upstream();
    for host in ["gw", "GW", &format!("gw:{port}"), "a.gw:443"] {
        let answer = rig
            .exchange(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(answer.status, 200, "{host}");
    }
}
