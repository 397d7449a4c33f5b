//! What Resource Manager said is what the caller gets.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use crate::support::{Arm, client, config, get, start};

#[tokio::test]
async fn the_token_goes_to_the_subscriptions_endpoint_as_it_came() {
    let arm = Arm::answering(|| "{}".into_response()).await;
    let backend = start(&arm.url).await;

    let request = client()
        .get(format!("{}/subscriptions", backend.url()))
        .header("authorization", "bEaReR  odd.Token")
        .header("cookie", "mine=1");
    assert_eq!(request.send().await.unwrap().status(), 200);

    let [(uri, headers)] = &arm.seen()[..] else {
        panic!("one call expected");
    };
    assert_eq!(uri, "/subscriptions?api-version=2022-12-01");
    assert_eq!(headers["authorization"], "bEaReR  odd.Token");
    assert!(!headers.contains_key("cookie"));
    assert_eq!(backend.requests(), 1);
    backend.shutdown().await;
}

#[tokio::test]
async fn without_a_token_it_is_resource_manager_that_refuses() {
    let arm = Arm::answering(|| StatusCode::UNAUTHORIZED.into_response()).await;
    let backend = start(&arm.url).await;
    let answer = client()
        .get(format!("{}/subscriptions", backend.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert!(!arm.seen()[0].1.contains_key("authorization"));
}

#[tokio::test]
async fn status_body_and_head_are_passed_on_unchanged() {
    const BODY: &str = r#"{ "error" : {"code":"X","n":1.500} }"#;
    for status in [200, 401, 403, 429, 500, 503] {
        let arm = Arm::answering(move || {
            Response::builder()
                .status(status)
                .header("content-type", "application/json; charset=utf-8")
                .header(
                    "www-authenticate",
                    "Bearer error=\"insufficient_claims\", claims=\"e30=\"",
                )
                .header("www-authenticate", "Other realm=\"x\"")
                .header("retry-after", "17")
                .header("x-ms-request-id", "r1")
                .header("x-ms-failure-cause", "gateway")
                .header("set-cookie", "arm=1")
                .header("server", "arm")
                .body(Body::from(BODY))
                .unwrap()
        })
        .await;
        let backend = start(&arm.url).await;
        let answer = get(&format!("{}/subscriptions", backend.url())).await;

        assert_eq!(answer.status(), status);
        let headers = answer.headers().clone();
        assert_eq!(headers["content-type"], "application/json; charset=utf-8");
        let challenges: Vec<_> = headers.get_all("www-authenticate").iter().collect();
        assert_eq!(
            challenges,
            [
                "Bearer error=\"insufficient_claims\", claims=\"e30=\"",
                "Other realm=\"x\""
            ]
        );
        assert_eq!(headers["retry-after"], "17");
        assert_eq!(headers["x-ms-request-id"], "r1");
        assert_eq!(headers["x-ms-failure-cause"], "gateway");
        assert!(!headers.contains_key("set-cookie"));
        assert!(!headers.contains_key("server"));
        assert_eq!(answer.text().await.unwrap(), BODY);
    }
}

#[tokio::test]
async fn html_stays_html() {
    let arm = Arm::answering(|| {
        (
            StatusCode::BAD_GATEWAY,
            [("content-type", "text/html")],
            "<h1>no</h1>",
        )
            .into_response()
    })
    .await;
    let backend = start(&arm.url).await;
    let answer = get(&format!("{}/subscriptions", backend.url())).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.headers()["content-type"], "text/html");
    assert_eq!(answer.text().await.unwrap(), "<h1>no</h1>");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Arm::answering(|| "stolen".into_response()).await;
    let target = elsewhere.url.to_string();
    let arm =
        Arm::answering(move || (StatusCode::FOUND, [("location", target.clone())]).into_response())
            .await;
    let backend = start(&arm.url).await;
    let answer = get(&format!("{}/subscriptions", backend.url())).await;
    assert_eq!(answer.status(), 302);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn only_get_of_the_list_is_served_and_health_checks_are_not_counted() {
    let arm = Arm::answering(|| "{}".into_response()).await;
    let backend = start(&arm.url).await;
    assert_eq!(
        get(&format!("{}/healthz", backend.url())).await.status(),
        200
    );
    assert_eq!(backend.requests(), 0);

    let post = client().post(format!("{}/subscriptions", backend.url()));
    assert_eq!(post.send().await.unwrap().status(), 405);
    assert_eq!(
        get(&format!("{}/tenants", backend.url())).await.status(),
        404
    );
    assert_eq!(backend.requests(), 2);
    assert!(arm.seen().is_empty());
}

#[tokio::test]
async fn two_backends_in_one_process_do_not_meet() {
    let (one, two) = tokio::join!(
        Arm::answering(|| "one".into_response()),
        Arm::answering(|| "two".into_response())
    );
    let (first, second) = tokio::join!(start(&one.url), start(&two.url));
    for (backend, expected) in [(&first, "one"), (&second, "two")] {
        let answer = get(&format!("{}/subscriptions", backend.url())).await;
        assert_eq!(answer.text().await.unwrap(), expected);
        assert_eq!(backend.requests(), 1);
    }
}

#[tokio::test]
async fn only_where_it_was_asked_for_an_answer_explains_itself_and_it_never_holds_the_token() {
    const TOKEN: &str = "e30.eyJhdWQiOiJhcm0ifQ.c2lnbmF0dXJl";
    let arm = Arm::answering(|| "{}".into_response()).await;
    for explain in [false, true] {
        let mut config = config(&arm.url);
        config.explain = explain;
        let backend = demo_backend::start(config).await.unwrap();
        let request = client()
            .get(format!("{}/subscriptions", backend.url()))
            .bearer_auth(TOKEN);
        let answer = request.send().await.unwrap();
        let headers = answer.headers();
        let timing = headers.get("server-timing");
        let claims = headers.get("x-demo-token-claims");
        assert_eq!((timing.is_some(), claims.is_some()), (explain, explain));
        if let (Some(timing), Some(claims)) = (timing, claims) {
            let took = timing.to_str().unwrap().strip_prefix("arm;dur=").unwrap();
            assert!(took.parse::<f64>().unwrap() > 0., "{took}");
            assert_eq!(claims, "IHsiYXVkIjoiYXJtIn0");
        }
        let said = format!("{headers:?}");
        assert!(!said.contains("c2lnbmF0dXJl"), "{said}");
        backend.shutdown().await;
    }
}
