//! A list of several pages comes back through us, and the token goes nowhere else.

use axum::response::IntoResponse as _;
use serde_json::Value;

use crate::support::{Arm, get, start};

#[tokio::test]
async fn the_next_page_is_asked_for_through_us() {
    // The address of Resource Manager is known only when it listens: the link is made from the
    // relative form, which its own origin completes.
    let arm = Arm::answering(|| {
        r#"{"value":[],"nextLink":"/subscriptions?api-version=2022-12-01&%24skiptoken=p%2F2"}"#
            .into_response()
    })
    .await;
    let backend = start(&arm.url).await;
    let page: Value = get(&format!("{}/subscriptions", backend.url()))
        .await
        .json()
        .await
        .unwrap();
    let next = page["nextLink"].as_str().unwrap();
    assert_eq!(
        next,
        "/subscriptions?api-version=2022-12-01&%24skiptoken=p%2F2"
    );

    get(&format!("{}{next}", backend.url())).await;
    assert_eq!(arm.seen()[1].0, next);
    assert_eq!(arm.seen()[1].1["authorization"], "Bearer t0ken");
}

#[tokio::test]
async fn an_absolute_link_of_the_configured_host_is_made_relative() {
    let listener = tokio::net::TcpListener::bind(crate::support::LOOPBACK)
        .await
        .unwrap();
    let url = crate::support::url_of(&listener);
    let body = format!(r#"{{"nextLink":"{url}subscriptions?%24skiptoken=2"}}"#);
    let router = axum::Router::new().fallback(move || async move { body });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let backend = start(&url).await;
    let answer = get(&format!("{}/subscriptions", backend.url())).await;
    assert_eq!(
        answer.text().await.unwrap(),
        r#"{"nextLink":"/subscriptions?%24skiptoken=2"}"#
    );
}

#[tokio::test]
async fn a_link_to_another_host_is_removed_and_never_called() {
    let elsewhere = Arm::answering(|| "stolen".into_response()).await;
    let body = format!(
        r#"{{"value":[1],"nextLink":"{}subscriptions"}}"#,
        elsewhere.url
    );
    let arm = Arm::answering(move || body.clone().into_response()).await;
    let backend = start(&arm.url).await;
    let answer = get(&format!("{}/subscriptions", backend.url())).await;
    assert_eq!(answer.text().await.unwrap(), r#"{"value":[1]}"#);
    assert!(elsewhere.seen().is_empty());
}
