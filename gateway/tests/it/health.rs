//! `obo-gateway health`, as a container's health check starts it.

use std::process::Output;

use obo_gateway::Running;

use crate::{addresses::nobody, binary::gateway, rig::Rig, upstream::ok};

async fn health(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = gateway();
    command.arg("health").args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.code(), said)
}

fn admin(gateway: &Running) -> &str {
    let url = gateway.admin_url().unwrap();
    url.trim_start_matches("http://")
}

fn with_admin(config: &mut obo_gateway::Config) {
    config.admin = Some(([127, 0, 0, 1], 0).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_ready_is_healthy_and_one_without_keys_is_only_alive() {
    let rig = Rig::new("", |_| ok(), with_admin).await;
    let flags = ["--admin-listen", admin(&rig.gateway)];
    assert_eq!(health(&flags).await, (Some(0), "ready\n".to_owned()));

    // Nobody listens at this one's authority.
    let mut config = Rig::config("http://127.0.0.1:9", "http://127.0.0.1:9", "");
    with_admin(&mut config);
    let deaf = obo_gateway::start(config).await.unwrap();
    let flags = ["--admin-listen", admin(&deaf)];
    let (code, said) = health(&flags).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("signing keys are not loaded"), "{said}");
    let (code, said) = health(&[&flags[..], &["--live"]].concat()).await;
    assert_eq!((code, said.as_str()), (Some(0), "alive\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_answers_the_exit_code_is_1_and_without_an_address_64() {
    let (_closed, address) = nobody();
    let address = address.to_string();
    let (code, said) = health(&["--admin-listen", &address]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not answer"), "{said}");

    let (code, said) = health(&[]).await;
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("OBO_ADMIN_LISTEN"), "{said}");
    let (code, said) = health(&["--admin-listen", "here"]).await;
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("127.0.0.1:8080 for instance"), "{said}");
}
