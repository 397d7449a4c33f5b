//! `Server-Timing`: only routes that ask for it tell where the time went.

use crate::{
    rig::Rig,
    upstream::{Reply, Seen},
};

const ROUTES: &str = "[[route]]\npath = '/told'\ndownstream = 'arm'\nserver_timing = true\n\
     [[route]]\npath = '/silent'\ndownstream = 'arm'\n";

fn script(_: &Seen) -> Reply {
    Reply::Keep(
        "HTTP/1.1 200 OK\r\nserver-timing: arm;dur=1\r\ncontent-length: 0\r\n\r\n".to_owned(),
    )
}

/// The names of an answer's metrics; each has a duration.
fn metrics(values: &[&str]) -> Vec<String> {
    let metrics = values.iter().flat_map(|value| value.split(", "));
    let names = metrics.map(|metric| {
        let (name, ms) = metric.split_once(";dur=").unwrap();
        assert!(ms.parse::<f64>().unwrap() > 0., "{metric}");
        name.to_owned()
    });
    names.collect()
}

#[tokio::test]
async fn a_route_that_asks_for_it_says_where_the_time_went_and_no_other_does() {
    let rig = Rig::new(ROUTES, script, |_| ()).await;
    let token = rig.token("alice");
    let get = async |path: &str, token: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
        rig.exchange(request).await
    };
    let first = get("/told", &token).await;
    let whole = [
        "arm",
        "obo-validation",
        "obo-exchange",
        "obo-upstream",
        "obo-total",
    ];
    assert_eq!(metrics(&first.all("server-timing")), whole);
    let second = get("/told", &token).await;
    let cached = ["arm", "obo-validation", "obo-upstream", "obo-total"];
    assert_eq!(metrics(&second.all("server-timing")), cached);
    let refused = get("/told", "nonsense").await;
    assert_eq!(refused.status, 401);
    let judged = ["obo-validation", "obo-total"];
    assert_eq!(metrics(&refused.all("server-timing")), judged);

    let silent = get("/silent", &token).await;
    assert_eq!(silent.all("server-timing"), ["arm;dur=1"], "the upstream's");
    let nowhere = get("/nowhere", &token).await;
    assert_eq!(nowhere.all("server-timing"), [""; 0]);
}
