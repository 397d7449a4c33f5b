//! Figures about connections, and exemplars: which trace stands for a class of durations.

use std::time::Duration;

use crate::{
    admin::{admin, with_admin},
    client::{Client, in_time},
    collector::Collector,
    rig::Rig,
    upstream::ok,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn metrics(rig: &Rig, openmetrics: bool) -> String {
    let accept = if openmetrics {
        "Accept: application/openmetrics-text; version=1.0.0\r\n"
    } else {
        ""
    };
    let mut admin = admin(rig).await;
    admin
        .send(format!(
            "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n{accept}\r\n"
        ))
        .await;
    let answer = admin.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn the_class_of_a_request_that_a_trace_tells_of_has_it_as_its_exemplar() {
    let collector = Collector::start().await;
    let file = format!(
        "[traces]\nendpoint = 'http://{}'\nratio = 0\n[[route]]\npath = '/other'\naccess = 'public'\n\
         [[route]]\npath = '/open'\naccess = 'public'",
        collector.address
    );
    let rig = Rig::new(&file, |_| ok(), with_admin).await;
    for traceparent in [
        "",
        &format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n"),
    ] {
        let request = format!("GET /open HTTP/1.1\r\nHost: gw\r\n{traceparent}\r\n");
        assert_eq!(rig.exchange(request).await.status, 200);
    }
    let text = metrics(&rig, true).await;
    let with: Vec<&str> = text.lines().filter(|line| line.contains(TRACE)).collect();
    let [line] = with[..] else {
        panic!("{text}");
    };
    let (sample, exemplar) = line.split_once(" # ").unwrap();
    assert!(
        sample.starts_with("obo_request_duration_seconds_bucket{"),
        "{line}"
    );
    assert!(sample.contains("route=\"/open\""), "{line}");
    let rest = exemplar
        .strip_prefix(&format!("{{trace_id=\"{TRACE}\"}} "))
        .unwrap();
    let (took, at) = rest.split_once(' ').unwrap();
    let (took, at): (f64, f64) = (took.parse().unwrap(), at.parse().unwrap());
    let (_, le) = sample.split_once("le=\"").unwrap();
    let le: f64 = le
        .split_once('"')
        .unwrap()
        .0
        .parse()
        .unwrap_or(f64::INFINITY);
    assert!(took > 0. && took <= le, "{line}");
    assert!(at > 1.7e9, "{line}");
    // The older format has none.
    assert!(!metrics(&rig, false).await.contains(TRACE));
}

#[tokio::test]
async fn open_connections_are_counted_by_listener_and_so_is_that_there_is_no_room() {
    let rig = Rig::public_with(
        |_| ok(),
        |config| {
            with_admin(config);
            config.limits.connections = 2;
            config.limits.requests_per_client = Some(config.limits.requests);
        },
    )
    .await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(rig.gateway.local_addr()).await;
        assert_eq!(client.get("/").await.status, 200);
        clients.push(client);
    }
    let all = [
        "obo_connections{listener=\"public\"} 2",
        "obo_connections{listener=\"admin\"} 1",
        "obo_connections_max 2",
        "obo_connections_limit_reached_total 1",
    ];
    let text = metrics(&rig, true).await;
    for line in all {
        assert!(text.lines().any(|has| has == line), "{line} in {text}");
    }
    drop(clients);
    in_time(async {
        while !metrics(&rig, true)
            .await
            .contains("obo_connections{listener=\"public\"} 0")
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
