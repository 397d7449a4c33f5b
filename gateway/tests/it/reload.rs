//! Another configuration for a gateway that runs: CF-04 and CF-05.

use std::time::Duration;

use bytes::Bytes;
use entra_emulator::{Endpoint, demo as ids};
use h2::client::SendRequest;
use http::Request;
use obo_gateway::{Config, StartError};

use crate::{
    admin,
    certificates::Folder,
    client::{Client, in_time},
    http2,
    rig::{PROTECTED, PUBLIC, Rig},
    upstream::{Reply, Upstream, ok},
};

impl Rig {
    /// As that of the test, with other settings.
    fn other(&self, file: &str) -> Config {
        let authority = self
            .emulator
            .as_ref()
            .map_or("http://127.0.0.1:9", |e| e.url());
        Self::config(
            &format!("http://{}", self.upstream.address),
            authority,
            file,
        )
    }

    async fn reload(&self, file: &str) {
        self.gateway.reload(self.other(file)).await.unwrap();
    }
}

/// Connections that stay open, of either version.
struct Open {
    http1: Client,
    http2: SendRequest<Bytes>,
}

impl Open {
    async fn to(rig: &Rig) -> Self {
        let (http2, _) = http2::connect(rig).await;
        Self {
            http1: rig.client().await,
            http2,
        }
    }

    /// What both answer; the same.
    async fn get(&mut self, path: &str, token: &str) -> u16 {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.http1.send(request).await;
        let one = self.http1.answer().await.unwrap().status;
        let request = Request::get(format!("http://gw{path}"))
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap();
        let (answer, _) = self.http2.send_request(request, true).unwrap();
        let two = in_time(answer).await.unwrap().status().as_u16();
        assert_eq!(one, two, "{path}");
        one
    }
}

const BARE: &str = "[[route]]\npath = '/*'";

#[tokio::test]
async fn cf_05_what_a_reload_takes_away_holds_for_the_next_request_on_open_connections() {
    let fabrikam = format!(
        "tenants = ['{}', '{}']\n{BARE}",
        ids::CONTOSO,
        ids::FABRIKAM
    );
    let other = "77777777-7777-4777-8777-777777777777";
    for (what, with, without, status) in [
        (
            "audience",
            format!("audiences = ['https://api.example']\n{BARE}"),
            BARE.to_owned(),
            401,
        ),
        ("tenant", fabrikam, BARE.to_owned(), 401),
        (
            "caller",
            format!("clients = ['{}']\n{BARE}", ids::UI_CLIENT_ID),
            format!("clients = ['{other}']\n{BARE}"),
            403,
        ),
        (
            "scope",
            BARE.to_owned(),
            format!("{BARE}\nscopes = ['other']"),
            403,
        ),
        (
            "public route",
            PUBLIC.to_owned() + "\n",
            format!("{BARE}\nscopes = ['other']"),
            403,
        ),
        (
            "route",
            BARE.to_owned(),
            "[[route]]\npath = '/elsewhere'".to_owned(),
            404,
        ),
        (
            "method",
            BARE.to_owned(),
            format!("{BARE}\nmethods = ['PUT']"),
            405,
        ),
    ] {
        let rig = Rig::new(&with, |_| ok(), |_| {}).await;
        let token = rig.emulator.as_ref().unwrap().token();
        let token = match what {
            "audience" => token.claim("aud", "https://api.example").sign(),
            "tenant" => token.tenant(ids::FABRIKAM).sign(),
            _ => token.sign(),
        };
        let mut open = Open::to(&rig).await;
        for _ in 0..2 {
            assert_eq!(open.get("/x", &token).await, 200, "{what}");
        }
        rig.reload(&without).await;
        assert_eq!(open.get("/x", &token).await, status, "{what}");
        rig.reload(&with).await;
        assert_eq!(open.get("/x", &token).await, 200, "{what}");
    }
}

#[tokio::test]
async fn cf_05_a_token_that_is_cached_for_an_api_helps_nobody_once_the_route_has_it_no_more() {
    let rig = Rig::protected().await;
    let token = rig.token("alice");
    let mut open = Open::to(&rig).await;
    assert_eq!(open.get("/x", &token).await, 200);
    rig.reload(&format!("{BARE}\ndownstream = 'arm'\nscopes = ['other']"))
        .await;
    assert_eq!(open.get("/x", &token).await, 403);
    rig.reload(BARE).await;
    assert_eq!(open.get("/x", &token).await, 200);
    let seen = rig.upstream.seen().pop().unwrap();
    assert!(seen.all("authorization").is_empty(), "{seen:?}");
}

#[tokio::test]
async fn tokens_keys_and_connections_survive_a_reload() {
    let rig = Rig::protected().await;
    let emulator = rig.emulator.as_ref().unwrap();
    let token = rig.token("alice");
    let mut client = rig.client().await;
    let get = format!("GET /x HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n");
    client.send(&get).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    let asked = || {
        [Endpoint::Token, Endpoint::Keys, Endpoint::Discovery].map(|place| emulator.count(place))
    };
    let before = asked();
    for file in [
        PROTECTED,
        "audiences = ['https://api.example']",
        "clock_skew = 10\n[limits]\nrequests = 7\nhead_timeout = 3",
    ] {
        rig.reload(file).await;
        assert!(rig.gateway.is_ready(), "{file}");
        client.send(&get).await;
        assert_eq!(client.answer().await.unwrap().status, 200, "{file}");
        assert_eq!(asked(), before, "{file}");
    }
    assert_eq!(rig.upstream.seen().len(), 4);
    // limits.requests makes other pools.
    assert_eq!(rig.upstream.connections(), 2);
}

#[tokio::test]
async fn another_client_begins_with_nothing_of_the_first_one_s() {
    let rig = Rig::protected().await;
    let token = rig.token("alice");
    let mut open = Open::to(&rig).await;
    assert_eq!(open.get("/x", &token).await, 200);
    let emulator = rig.emulator.as_ref().unwrap();
    assert_eq!(emulator.count(Endpoint::Token), 1);
    let mut config = rig.other(PROTECTED);
    config.entra.credential = obo_gateway::Credential::Secret(obo_gateway::Secret::new("wrong"));
    rig.gateway.reload(config).await.unwrap();
    assert_eq!(open.get("/x", &token).await, 502);
    assert!(emulator.count(Endpoint::Token) > 1);
    rig.reload(PROTECTED).await;
    assert_eq!(open.get("/x", &token).await, 200);
}

#[tokio::test]
async fn a_request_that_runs_keeps_what_it_began_with() {
    let paused = |_: &crate::upstream::Seen| {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
        Reply::Pause(format!("{head}ab"), "cd".to_owned())
    };
    let rig = Rig::public_with(paused, |_| {}).await;
    let mut client = rig.client().await;
    client.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    rig.upstream.until_seen(1).await;
    rig.reload("[[route]]\npath = '/other'\naccess = 'public'")
        .await;
    let mut another = rig.client().await;
    assert_eq!(another.get("/x").await.status, 404);
    rig.upstream.go_on();
    assert_eq!(client.answer().await.unwrap().body, "abcd");
    assert_eq!(client.get("/x").await.status, 404, "the same connection");
}

#[tokio::test]
async fn requests_go_to_the_new_upstream_and_idle_connections_to_the_old_one_are_closed() {
    let rig = Rig::public().await;
    let new = Upstream::start(|_| ok()).await;
    let mut client = rig.client().await;
    assert_eq!(client.get("/x").await.status, 200);
    let config = Rig::config(
        &format!("http://{}", new.address),
        "http://127.0.0.1:9",
        PUBLIC,
    );
    rig.gateway.reload(config).await.unwrap();
    assert_eq!(client.get("/x").await.status, 200);
    assert_eq!((rig.upstream.seen().len(), new.seen().len()), (1, 1));
    rig.upstream.until_ended(1).await;
}

#[tokio::test]
async fn a_proxy_that_is_trusted_no_more_is_not_believed_on_an_open_connection() {
    let trusting = |config: &mut Config, networks: &[&str]| {
        config.trusted_proxies = networks.iter().map(|one| one.parse().unwrap()).collect();
    };
    let rig = Rig::public_with(|_| ok(), |config| trusting(config, &["127.0.0.1"])).await;
    let mut client = rig.client().await;
    let mut seen = async || {
        let request = "GET /x HTTP/1.1\r\nHost: gw\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
        client.send(request).await;
        assert_eq!(client.answer().await.unwrap().status, 200);
        let seen = rig.upstream.seen().pop().unwrap();
        seen.all("x-forwarded-for").join(", ")
    };
    assert_eq!(seen().await, "192.0.2.1, 127.0.0.1");
    let mut config = rig.other(PUBLIC);
    rig.gateway.reload(config.clone()).await.unwrap();
    assert_eq!(seen().await, "127.0.0.1");
    trusting(&mut config, &["127.0.0.1"]);
    rig.gateway.reload(config).await.unwrap();
    assert_eq!(seen().await, "192.0.2.1, 127.0.0.1");
}

/// What is kept of its words and what is told of itself is decided once, for each request.
#[tokio::test]
async fn hd_06_what_a_proxy_said_while_it_was_trusted_is_added_to_and_said_once() {
    let trusting = |config: &mut Config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    };
    let rig = Rig::new(PROTECTED, |_| ok(), trusting).await;
    let emulator = rig.emulator.as_ref().unwrap();
    let (mut client, _driving) = http2::connect(&rig).await;
    let mut send = |token: String| {
        let request = Request::get("http://gw/x")
            .header("authorization", format!("Bearer {token}"))
            .header("x-forwarded-for", "192.0.2.1")
            .header("x-forwarded-host", "public.example")
            .body(())
            .unwrap();
        client.send_request(request, true).unwrap().0
    };
    let hold = emulator.hold(Endpoint::Token);
    let waits = send(rig.token("alice"));
    in_time(hold.arrived(1)).await;
    rig.gateway.reload(rig.other(PROTECTED)).await.unwrap();
    // The next request of the connection, by which it learns whom to believe.
    let refused = send("none".to_owned());
    assert_eq!(in_time(refused).await.unwrap().status(), 401);
    hold.release();
    assert_eq!(in_time(waits).await.unwrap().status(), 200);
    let seen = rig.only_seen();
    assert_eq!(seen.all("x-forwarded-for"), ["192.0.2.1, 127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-host"), ["public.example"]);
    assert!(seen.all("forwarded").is_empty());
}

#[tokio::test]
async fn times_and_the_number_of_requests_hold_for_what_begins_on_open_connections() {
    let rig = Rig::public_with(|_| Reply::Hang(String::new()), |_| {}).await;
    let (mut client, mut another) = (rig.client().await, rig.client().await);
    client.send("GET /x HTTP/1.1\r\nHost: gw\r\n\r\n").await;
    rig.upstream.until_seen(1).await;
    let mut config = rig.other(PUBLIC);
    config.limits.response_timeout = Duration::from_millis(50);
    rig.gateway.reload(config.clone()).await.unwrap();
    assert_eq!(another.get("/x").await.status, 504);
    config.limits.requests = 1;
    rig.gateway.reload(config).await.unwrap();
    assert_eq!(another.get("/x").await.status, 503, "one runs");
    let answer = tokio::time::timeout(Duration::from_millis(300), client.answer());
    assert!(answer.await.is_err(), "it has the time that it began with");
}

#[tokio::test]
async fn all_workers_have_the_new_configuration_once_a_reload_is_done() {
    let rig = Rig::public_with(|_| ok(), |config| config.workers = 3).await;
    let mut clients = Vec::new();
    for _ in 0..24 {
        let mut client = rig.client().await;
        assert_eq!(client.get("/x").await.status, 200);
        clients.push(client);
    }
    let mut config = rig.other(&format!("{PUBLIC}\nmethods = ['PUT']"));
    config.workers = 3;
    rig.gateway.reload(config).await.unwrap();
    for client in &mut clients {
        assert_eq!(client.get("/x").await.status, 405);
    }
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_holds() {
    let rig = Rig::public().await;
    let file = format!(
        "[cache]\nmax_bytes = 2000000\n[limits]\nexchanges = 3\n{PUBLIC}\nmethods = ['PUT']"
    );
    let mut config = rig.other(&file);
    config.listen = "127.0.0.1:1".parse().unwrap();
    let reloaded = rig.gateway.reload(config).await.unwrap();
    assert_eq!(
        reloaded.needs_restart,
        ["listen", "cache", "limits.exchanges"]
    );
    assert_eq!(rig.client().await.get("/x").await.status, 405);
    let reloaded = rig.gateway.reload(rig.other(PUBLIC)).await.unwrap();
    assert!(reloaded.needs_restart.is_empty(), "{reloaded:?}");
}

#[tokio::test]
async fn cf_04_a_configuration_that_cannot_work_changes_nothing_and_is_counted() {
    let rig = Rig::public_with(|_| ok(), admin::with_admin).await;
    let mut client = rig.client().await;
    assert_eq!(client.get("/x").await.status, 200);
    let mut bad = rig.other("[[route]]\npath = '/other'");
    let gone = std::env::temp_dir().join("obo-gateway-no-such-file");
    bad.entra.ca_file = Some(gone);
    let error = rig.gateway.reload(bad).await.unwrap_err();
    assert!(
        error.to_string().contains("obo-gateway-no-such-file"),
        "{error}"
    );
    assert_eq!(client.get("/x").await.status, 200, "the old one goes on");
    assert_eq!(rig.upstream.connections(), 1);
    let mut figures = admin::admin(&rig).await;
    let said = figures.figures().await;
    for line in [
        "obo_config_reloads_total{result=\"ok\"} 0",
        "obo_config_reloads_total{result=\"failed\"} 1",
        "obo_config_last_reload_successful 0",
    ] {
        assert!(said.contains(line), "{line} in\n{said}");
    }
    let mut good = rig.other(PUBLIC);
    admin::with_admin(&mut good);
    rig.gateway.reload(good).await.unwrap();
    let said = figures.figures().await;
    assert!(
        said.contains("obo_config_reloads_total{result=\"ok\"} 1"),
        "{said}"
    );
    assert!(
        said.contains("obo_config_last_reload_successful 1"),
        "{said}"
    );
}

#[tokio::test]
async fn cf_04_another_credential_that_is_not_there_changes_nothing_until_it_is() {
    let rig = Rig::protected().await;
    let token = rig.token("alice");
    let mut open = Open::to(&rig).await;
    assert_eq!(open.get("/x", &token).await, 200);
    let folder = Folder::new();
    let file = folder.path("secret");
    let mut config = rig.other("[[route]]\npath = '/y'");
    config.entra.credential = obo_gateway::Credential::SecretFile(file.clone().into());
    let error = rig.gateway.reload(config.clone()).await.unwrap_err();
    assert!(matches!(error, StartError::Reload(_)), "{error:?}");
    let said = error.to_string();
    assert!(
        said.contains("entra.credential.secret_file") && said.contains("cannot be read"),
        "{said}"
    );
    assert!(rig.gateway.is_ready());
    assert_eq!(open.get("/x", &token).await, 200);
    let asked = rig.emulator.as_ref().unwrap().count(Endpoint::Token);
    assert_eq!(asked, 1, "the tokens are still there");
    folder.write("secret", ids::API_CLIENT_SECRET);
    rig.gateway.reload_again(config).await.unwrap();
    assert_eq!(open.get("/x", &token).await, 404);
    assert_eq!(open.get("/y", &token).await, 200);
}

#[tokio::test]
async fn cf_04_signing_keys_that_do_not_come_change_nothing() {
    let rig = Rig::protected().await;
    let token = rig.token("alice");
    let mut open = Open::to(&rig).await;
    assert_eq!(open.get("/x", &token).await, 200);
    for change in [
        // Another authority, where nobody is.
        (|config| config.entra.authority = Some("http://127.0.0.1:9".to_owned()))
            as fn(&mut Config),
        // Other documents of the same one, which nobody has.
        |config| {
            let nobody = "99999999-9999-4999-8999-999999999999";
            config.entra.tenant = nobody.to_owned();
        },
    ] {
        let mut config = rig.other("[[route]]\npath = '/y'");
        change(&mut config);
        let error = rig.gateway.reload(config).await.unwrap_err();
        assert!(matches!(error, StartError::Reload(_)), "{error:?}");
        assert!(error.to_string().contains("signing keys"), "{error}");
        assert!(rig.gateway.is_ready());
        assert_eq!(open.get("/x", &token).await, 200);
    }
    let asked = rig.emulator.as_ref().unwrap().count(Endpoint::Token);
    assert_eq!(asked, 1, "the tokens are still there");
}

/// What a reload leaves as it was has to be right all the same: the next start reads it.
#[tokio::test]
async fn cf_04_what_would_keep_the_next_start_from_succeeding_changes_nothing() {
    let rig = Rig::public_with(|_| ok(), admin::with_admin).await;
    let mut client = rig.client().await;
    for (key, change) in [
        (
            "tls.certificate",
            (|config| config.tls = Some(obo_gateway::Tls::new("/nowhere", "/nowhere")))
                as fn(&mut Config),
        ),
        ("accept.deny_file", |config| {
            config.accept.deny_file = Some("/nowhere".into());
        }),
        ("cache.max_bytes", |config| config.cache_max_bytes = Some(1)),
        ("cache.redis_key_file", |config| {
            let key = std::path::PathBuf::from("/nowhere");
            let store = obo_gateway::SharedStore::new("redis://127.0.0.1", key);
            config.shared_store = Some(store);
        }),
    ] {
        let mut bad = rig.other("[[route]]\npath = '/other'");
        admin::with_admin(&mut bad);
        change(&mut bad);
        let error = rig.gateway.reload(bad).await.unwrap_err();
        assert!(error.to_string().contains(&format!("{key}: ")), "{error}");
        assert_eq!(client.get("/x").await.status, 200, "the old one goes on");
    }
    let said = admin::admin(&rig).await.figures().await;
    for line in [
        "obo_config_reloads_total{result=\"failed\"} 4",
        "obo_config_last_reload_successful 0",
    ] {
        assert!(said.contains(line), "{line} in\n{said}");
    }
}

/// In Kubernetes what a file names may come a minute after the file.
#[tokio::test]
async fn cf_04_files_of_an_upstream_that_come_later_are_waited_for() {
    let rig = Rig::public().await;
    let folder = Folder::new();
    let mut config = rig.other("[[route]]\npath = '/y'\naccess = 'public'");
    let mut other = config.upstreams["default"].clone();
    other.set_url("https://127.0.0.1:9").unwrap();
    other.tls.ca_file = Some(folder.path("ca.pem"));
    config.upstreams.insert("other".to_owned(), other);
    let error = rig.gateway.reload(config.clone()).await.unwrap_err();
    assert!(matches!(error, StartError::Reload(_)), "{error:?}");
    assert!(error.to_string().contains("upstreams.other"), "{error}");
    assert_eq!(rig.client().await.get("/x").await.status, 200);
    let identity = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    folder.write("ca.pem", identity.cert.pem());
    rig.gateway.reload_again(config).await.unwrap();
    assert_eq!(rig.client().await.get("/x").await.status, 404);
}
