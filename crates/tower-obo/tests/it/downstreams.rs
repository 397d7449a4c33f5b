//! Several downstreams for one request, in headers of one's choice.

use std::time::Duration;

use axum::{Router, body::Body as AxumBody, routing::get};
use entra_emulator::{Endpoint, demo};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::Value;
use tower::{Layer, ServiceExt};
use tower_obo::{
    AccessPolicy, Admitted, Credential, Downstream, DownstreamToken, Downstreams, Entra, OboLayer,
    OboLayerBuilder, Policy, RejectionKind,
};

use crate::{
    fixture::{World, policy, with_token},
    forge::{decoded, parts},
};

const USER_READ: &str = "https://graph.microsoft.com/User.Read";
const GRAPH_HEADER: HeaderName = HeaderName::from_static("x-graph-token");

pub(crate) fn graph() -> Downstream {
    Downstream::new("graph", [USER_READ])
}

/// Azure Resource Manager in `Authorization`, Graph beside it.
pub(crate) fn both() -> Policy {
    policy().downstream_in(graph(), GRAPH_HEADER)
}

/// Azure Resource Manager in `Authorization`, Graph if the handler wants it.
pub(crate) fn graph_on_demand() -> Policy {
    policy().downstream_on_demand(graph())
}

/// The administrator takes the consent to Graph back.
pub(crate) fn nobody_may_use_graph(world: &World) {
    world.entra.update_directory(|directory| {
        let consents = &mut directory.consents;
        consents.retain(|consent| consent.resource != demo::GRAPH_CLIENT_ID);
    });
}

/// What a downstream says that wants claims.
pub(crate) fn challenge() -> HeaderMap {
    let challenge = r#"Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ==""#;
    let challenge = HeaderValue::from_static(challenge);
    HeaderMap::from_iter([(http::header::WWW_AUTHENTICATE, challenge)])
}

pub(crate) fn audience(header: &HeaderValue) -> String {
    let token = header.to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let claims: Value = serde_json::from_slice(&decoded(parts(token)[1])).unwrap();
    claims["aud"].as_str().unwrap().to_owned()
}

/// What a handler gets under this policy.
pub(crate) async fn admitted(world: &World, policy: Policy, token: &str) -> Admitted {
    let answer = world.send_by(policy, with_token(token)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    world.upstream.last().admitted.unwrap()
}

#[tokio::test]
async fn one_request_carries_the_tokens_of_two_downstreams_in_the_headers_that_were_chosen() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    for _ in 0..2 {
        let mut request = with_token(&token);
        for own in ["x-graph-token", "x_graph_token"] {
            let own = HeaderName::from_static(own);
            request
                .headers_mut()
                .append(own, HeaderValue::from_static("Bearer the-callers"));
        }
        let answer = world.send_by(both(), request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let seen = world.upstream.last();
        assert!(!seen.headers.contains_key("x_graph_token"));
        let lines: Vec<_> = seen.headers.get_all(GRAPH_HEADER).iter().collect();
        let [line] = lines[..] else {
            panic!("{lines:?}");
        };
        assert!(line.is_sensitive());
        assert_eq!(audience(line), "https://graph.microsoft.com");
        let arm = audience(&seen.headers[AUTHORIZATION]);
        assert!(arm.starts_with("https://management."), "{arm}");
    }
    assert_eq!(world.exchanges_asked(), 2);
}

/// A core that has had fifty downstreams keeps as many callers as one that has two.
#[tokio::test]
async fn ca_07_a_caller_is_counted_with_the_tokens_that_are_there_and_no_others() {
    let world = World::start().await;
    for number in 0..50 {
        let scope = format!("api://{number}/.default");
        let unused = Downstream::new(format!("unused-{number}"), [scope]);
        world
            .core
            .bind(policy().downstream_on_demand(unused))
            .unwrap();
    }
    world.core.bind(both()).unwrap();
    let token = world.entra.user_token("alice");
    admitted(&world, policy(), &token).await;
    let with_one = world.core.cache_usage().admissions.bytes;
    assert!((2_048..8_192).contains(&with_one), "{with_one}");
    admitted(&world, both(), &token).await;
    let with_two = world.core.cache_usage().admissions.bytes;
    assert!(with_two >= with_one + 2_048, "{with_one}, {with_two}");
    assert_eq!(world.core.cache_usage().admissions.entries, 1);
}

#[tokio::test]
async fn tokens_that_are_missing_are_exchanged_at_the_same_time() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let hold = world.entra.hold(Endpoint::Token);
    let service = world
        .core
        .layer(both())
        .unwrap()
        .layer(world.upstream.clone());
    let answer = tokio::spawn(service.oneshot(with_token(&token)));
    // One after the other, the second would never come.
    let both = tokio::time::timeout(Duration::from_secs(30), hold.arrived(2));
    both.await.unwrap();
    hold.release();
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_refusal_of_either_downstream_refuses_the_request_and_names_its_scopes() {
    let world = World::start().await;
    nobody_may_use_graph(&world);
    let alice = world.entra.user_token("alice");
    let bob = world.entra.user_token_without_consent("bob");
    let arm = "https://management.azure.com/user_impersonation";
    for (case, policy, token, scope) in [
        ("the first", policy(), &bob, arm),
        ("the second", both(), &alice, USER_READ),
        ("both: the first counts", both(), &bob, arm),
    ] {
        let answer = world.send_by(policy, with_token(token)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}");
        assert_eq!(answer.problem_type(), "consent-required", "{case}");
        assert!(answer.body.contains(scope), "{case}: {}", answer.body);
    }
    assert_eq!(world.upstream.calls(), 0);
}

#[tokio::test]
async fn a_name_that_the_route_does_not_have_is_a_clear_error() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let of_user = admitted(&world, graph_on_demand(), &token).await;
    let of_nobody = admitted(&world, Policy::public(), &token).await;
    for (admitted, name) in [(of_user, "Graph"), (of_nobody, "graph")] {
        let rejection = admitted.downstreams().get(name).await.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Misconfigured);
        let problem = rejection.to_problem_json();
        let problem = String::from_utf8_lossy(problem.as_ref());
        let detail = "the route has no downstream of that name";
        assert!(problem.contains(detail), "{problem}");
    }
    assert_eq!(world.exchanges_asked(), 1);
}

#[tokio::test]
async fn cf_08_a_policy_whose_headers_cannot_be_meant_is_not_bound() {
    let world = World::start().await;
    let header = HeaderName::from_static;
    let claims = |header| policy().identity_header("oid", header);
    for (policy, problem) in [
        (
            policy().downstream(graph()),
            "downstream_in: the tokens of two downstreams go into authorization",
        ),
        (
            both().identity_header("oid", GRAPH_HEADER),
            "identity_header: a token and a claim go into x-graph-token",
        ),
        (
            claims(GRAPH_HEADER).identity_header("tid", GRAPH_HEADER),
            "identity_header: two claims go into x-graph-token",
        ),
        (
            policy().downstream_in(graph(), header("connection")),
            "downstream_in: connection belongs to",
        ),
        (
            policy().downstream_in(graph(), header("host")),
            "downstream_in: host belongs to",
        ),
        (
            claims(header("content-length")),
            "identity_header: content-length belongs to",
        ),
        (claims(header("te")), "identity_header: te belongs to"),
        (
            Policy::new(AccessPolicy::any_user()).identity_header("oid", AUTHORIZATION),
            "identity_header: authorization belongs to",
        ),
        (
            graph_on_demand().downstream_for_handler(graph()),
            r#"downstream: two downstreams have the name "graph""#,
        ),
        (
            Policy::public().downstream_on_demand(graph()),
            "downstream: a public policy has no caller",
        ),
        (
            policy().downstream_on_demand(Downstream::new("empty", [""])),
            r#"downstream: "empty": it has no scope"#,
        ),
        (
            policy().downstream_on_demand(Downstream::new("none", [""; 0])),
            r#"downstream: "none": it has no scope"#,
        ),
        (
            policy().downstream_on_demand(graph().audience("a")),
            r#"downstream: "graph": an audience or a resource is for token exchange"#,
        ),
    ] {
        let errors = world.core.bind(policy.clone()).unwrap_err();
        assert_eq!(errors.iter().count(), 1, "{errors}");
        assert!(errors.to_string().starts_with(problem), "{errors}");
        assert_eq!(world.core.layer(policy).unwrap_err(), errors);
    }
    let all = policy().downstream(graph()).downstream_on_demand(graph());
    assert_eq!(world.core.bind(all).unwrap_err().iter().count(), 2);
}

#[tokio::test]
async fn cf_08_a_layer_whose_headers_cannot_be_meant_is_not_built() {
    let built = |configure: fn(OboLayerBuilder) -> OboLayerBuilder| {
        let secret = Credential::secret("s");
        let builder = OboLayer::builder(Entra::tenant(demo::CONTOSO))
            .client(demo::API_CLIENT_ID, secret)
            .require_scope("s")
            .downstream(Downstream::azure_resource_manager());
        configure(builder).build()
    };
    assert!(built(|builder| builder.downstream(graph())).is_ok());
    assert!(built(|builder| builder.downstream_in(graph(), GRAPH_HEADER)).is_ok());
    let wrong = built(|builder| {
        let empty = Downstream::new("empty", [""]);
        builder
            .downstream_in(graph(), AUTHORIZATION)
            .downstream_on_demand(graph())
            .downstream_on_demand(empty)
    });
    let said = wrong.unwrap_err().to_string();
    for problem in [
        "the tokens of two downstreams go into authorization",
        "two downstreams have the name \"graph\"",
        "\"empty\": it has no scope",
    ] {
        assert!(said.contains(problem), "{said}");
    }
}

#[tokio::test]
async fn axum_handlers_ask_for_downstreams_by_name() {
    async fn handler(downstreams: Downstreams) -> Result<String, StatusCode> {
        let graph = downstreams.get("graph").await;
        graph
            .map(|token| audience(&token.header()))
            .map_err(|rejection| rejection.status())
    }
    let world = World::start().await;
    let handlers = Router::new().route("/", get(handler));
    let layered = handlers
        .clone()
        .layer(world.core.layer(graph_on_demand()).unwrap());
    let token = world.entra.user_token("alice");
    for (app, status) in [(layered, 200), (handlers, 500)] {
        let request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}"));
        let request = request.body(AxumBody::empty()).unwrap();
        let answer = app.oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }
    assert_eq!(world.exchanges_asked(), 2);
}

#[tokio::test]
async fn a_token_without_a_name_is_that_of_the_downstream_in_authorization_in_any_order() {
    async fn handler(token: DownstreamToken) -> String {
        token.name().to_owned()
    }
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let arm = Downstream::azure_resource_manager;
    let access = || AccessPolicy::any_scope([demo::API_SCOPE]);
    let policies = [
        ("before", both()),
        (
            "after",
            Policy::new(access())
                .downstream_in(graph(), GRAPH_HEADER)
                .downstream(arm()),
        ),
        (
            "after one for the handler",
            Policy::new(access())
                .downstream_for_handler(graph())
                .downstream(arm()),
        ),
    ];
    let layers = policies.map(|(case, policy)| (case, world.core.layer(policy).unwrap()));
    type Build = fn(OboLayerBuilder) -> OboLayerBuilder;
    let builds: [(&str, Build); 3] = [
        ("built", |builder| {
            let arm = Downstream::azure_resource_manager();
            builder.downstream(arm).downstream_in(graph(), GRAPH_HEADER)
        }),
        ("built after", |builder| {
            let arm = Downstream::azure_resource_manager();
            builder.downstream_in(graph(), GRAPH_HEADER).downstream(arm)
        }),
        ("built with a second for the handler", |builder| {
            let arm = Downstream::azure_resource_manager();
            builder.downstream(arm).downstream(graph())
        }),
    ];
    let built = builds.map(|(case, build)| {
        let authority = Entra::tenant(demo::CONTOSO).authority(world.entra.url());
        let builder = OboLayer::builder(authority)
            .allow_http_loopback(true)
            .client(
                demo::API_CLIENT_ID,
                Credential::secret(demo::API_CLIENT_SECRET),
            )
            .require_scope(demo::API_SCOPE);
        (case, build(builder).build().unwrap())
    });
    for (case, layer) in layers.into_iter().chain(built) {
        let answer = Router::new()
            .route("/", get(handler))
            .layer(layer.clone())
            .oneshot(with_token(&token).map(AxumBody::new));
        let body = answer.await.unwrap().into_body();
        let body = axum::body::to_bytes(body, 1_024).await.unwrap();
        assert_eq!(body, "arm", "{case}");
        // It goes into `Authorization` as well.
        let sent = layer
            .layer(world.upstream.clone())
            .oneshot(with_token(&token));
        assert_eq!(sent.await.unwrap().status(), StatusCode::OK, "{case}");
        let header = &world.upstream.last().headers[AUTHORIZATION];
        assert!(
            audience(header).starts_with("https://management."),
            "{case}"
        );
    }
}

/// A client of gRPC reads nothing of an answer in another form, whoever refuses.
#[tokio::test]
async fn what_a_handler_passes_on_of_a_grpc_call_has_the_form_of_grpc() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let grpc = |token: &str| {
        let mut request = with_token(token);
        let kind = HeaderValue::from_static("application/grpc");
        request.headers_mut().insert(CONTENT_TYPE, kind);
        request
    };
    // The first is admitted after an exchange, the second at once.
    for case in ["after an exchange", "at once"] {
        world.send_by(graph_on_demand(), grpc(&token)).await;
        let admitted = world.upstream.last().admitted.unwrap();
        let (arm, downstreams) = (admitted.first_downstream().unwrap(), admitted.downstreams());
        let graph = downstreams.get("graph").await.unwrap();
        let unknown = downstreams.get("unknown").await.unwrap_err();
        let challenged = [&arm, &graph].map(|token| token.challenged(&challenge()).unwrap());
        let [of_arm, of_graph] = ["arm", "graph"].map(|name| {
            let downstreams = downstreams.clone();
            async move { downstreams.get(name).await.unwrap_err() }
        });
        let refused = [unknown, of_arm.await, of_graph.await];
        for rejection in challenged.into_iter().chain(refused) {
            let answer = rejection.to_response::<bytes::Bytes>();
            assert_eq!(answer.status(), StatusCode::OK, "{case}: {rejection}");
            assert_eq!(answer.headers()[CONTENT_TYPE], "application/grpc", "{case}");
            assert!(answer.headers().contains_key("grpc-status"), "{case}");
        }
        world.clock.advance(Duration::from_secs(31));
    }
}
