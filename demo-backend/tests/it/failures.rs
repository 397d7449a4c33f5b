//! No answer of Resource Manager is an answer of ours, and settings that make no sense are errors.

use std::time::Duration;

use axum::response::IntoResponse as _;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use url::Url;

use crate::support::{Arm, LOOPBACK, config, get, start, url_of};

async fn problem(answer: reqwest::Response, status: u16) -> Value {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["status"], status);
    problem
}

#[tokio::test]
async fn a_resource_manager_that_refuses_the_connection_is_502() {
    // Nobody else may listen there as long as it is there.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind(LOOPBACK).unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    let backend = start(&url.parse().unwrap()).await;
    let answer = get(&format!("{}/subscriptions", backend.url())).await;
    let problem = problem(answer, 502).await;
    assert!(problem["detail"].as_str().unwrap().contains("reached"));
}

#[tokio::test]
async fn a_resource_manager_that_stays_silent_is_504() {
    // Accepts by way of its backlog and says nothing.
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let mut config = config(&url_of(&listener));
    config.timeout = Duration::from_millis(50);
    let backend = demo_backend::start(config).await.unwrap();
    let answer = get(&format!("{}/subscriptions", backend.url())).await;
    problem(answer, 504).await;
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off_with_502() {
    let arm = Arm::answering(|| vec![b' '; 2000].into_response()).await;
    let mut config = config(&arm.url);
    config.max_body = 1999;
    let backend = demo_backend::start(config).await.unwrap();
    let answer = get(&format!("{}/subscriptions", backend.url())).await;
    problem(answer, 502).await;
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_to_be_asked_for() {
    let mut config = config(&Url::parse("http://127.0.0.1:1").unwrap());
    config.listen = "0.0.0.0:0".parse().unwrap();
    let error = demo_backend::start(config.clone()).await.unwrap_err();
    assert!(error.to_string().contains("--expose"), "{error}");

    config.expose = true;
    demo_backend::start(config).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_and_shutdown_frees_it() {
    let backend = start(&Url::parse("http://127.0.0.1:1").unwrap()).await;
    let mut again = config(&Url::parse("http://127.0.0.1:1").unwrap());
    again.listen = backend.local_addr();
    let error = demo_backend::start(again.clone()).await.unwrap_err();
    assert!(error.to_string().contains("cannot listen"), "{error}");

    backend.shutdown().await;
    demo_backend::start(again).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_resource_manager_without_http_is_an_error() {
    let error = demo_backend::start(config(&Url::parse("ftp://127.0.0.1").unwrap()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("http"), "{error}");
}
