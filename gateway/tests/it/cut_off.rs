//! A user who has to be cut off now: the deny file, `/deny`, and `POST /purge`.

use std::{fs, path::PathBuf};

use entra_emulator::{Endpoint, demo as ids};
use tokio::io::AsyncReadExt as _;

use crate::{
    admin::{admin, with_admin},
    client::{Client, in_time},
    rig::Rig,
    upstream::{Reply, Seen, ok},
};

const ROUTES: &str = "[[route]]\npath = '/*'\n[[route]]\npath = '/forever'\noutlive_token = true\n\
     [[route]]\npath = '/socket'\nupgrade = ['websocket']\n[[route]]\npath = '/public'\naccess = 'public'";

/// A deny file, removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let name = format!("obo-deny-{name}-{}", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write("");
        file
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    fn cut_off(&self, oid: &str) {
        self.write(&format!("# on Friday\ntid={} oid={oid}\n", ids::CONTOSO));
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn script(seen: &Seen) -> Reply {
    if seen.line().contains("/socket") {
        let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nevent 1";
        return Reply::Hang(switched.to_owned());
    }
    if seen.line().contains("/events") || seen.line().contains("/forever") {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        return Reply::Hang(format!("{head}7\r\nevent 1\r\n"));
    }
    ok()
}

async fn rig(file: &File) -> Rig {
    Rig::new(ROUTES, script, |config| {
        with_admin(config);
        config.accept.deny_file = Some(file.0.clone());
    })
    .await
}

fn request(path: &str, token: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
}

async fn status(client: &mut Client, path: &str, token: &str) -> (u16, String) {
    client.send(request(path, token, "")).await;
    let answer = client.answer().await.unwrap();
    (answer.status, answer.body)
}

/// Asks until the answer is that one: the file is looked at once a second.
async fn until(client: &mut Client, token: &str, wanted: u16) -> String {
    in_time(async {
        loop {
            let (status, body) = status(client, "/x", token).await;
            if status == wanted {
                return body;
            }
        }
    })
    .await
}

#[tokio::test]
async fn who_is_put_on_the_list_is_refused_on_open_connections_and_streams_end() {
    let file = File::new("list");
    let rig = rig(&file).await;
    let [alices, bobs] = ["alice", "bob"].map(|user| rig.token(user));
    let mut alice = rig.client().await;
    let mut bob = rig.client().await;
    assert_eq!(status(&mut alice, "/x", &alices).await.0, 200);
    assert_eq!(status(&mut bob, "/x", &bobs).await.0, 200);
    let mut open = Vec::new();
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (path, more) in [("/events", ""), ("/forever", ""), ("/socket", upgrade)] {
        for token in [&alices, &bobs] {
            let mut client = rig.client().await;
            client.send(request(path, token, more)).await;
            client.until("event 1").await.unwrap();
            open.push(client);
        }
    }

    file.cut_off(ids::ALICE_OID);
    let body = until(&mut alice, &alices, 403).await;
    assert!(body.contains("urn:tower-obo:problem:denied"), "{body}");
    assert!(body.contains("\"actor\":\"caller\""), "{body}");
    for mut client in open.split_off(0).into_iter().step_by(2) {
        let mut rest = Vec::new();
        // With an error or without: a tunnel that ends has no length either.
        let _ = in_time(client.stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(status(&mut bob, "/x", &bobs).await.0, 200);
    // Nobody is known there.
    assert_eq!(status(&mut alice, "/public", &alices).await.0, 200);
    let metrics = admin(&rig).await.figures().await;
    assert!(metrics.contains("\nobo_deny_rules 1\n"), "{metrics}");

    file.write("");
    until(&mut alice, &alices, 200).await;
}

#[tokio::test]
async fn the_streams_of_others_go_on() {
    let file = File::new("others");
    let rig = rig(&file).await;
    let [alices, bobs] = ["alice", "bob"].map(|user| rig.token(user));
    let mut stream = rig.client().await;
    stream.send(request("/events", &bobs, "")).await;
    stream.until("event 1").await.unwrap();
    file.cut_off(ids::ALICE_OID);
    let mut alice = rig.client().await;
    until(&mut alice, &alices, 403).await;
    // Its worker has swept since: another of hers has ended.
    let mut byte = [0];
    let more = tokio::time::timeout(
        std::time::Duration::from_secs(1),
        stream.stream.read(&mut byte),
    );
    assert!(more.await.is_err(), "the stream has ended");
}

#[tokio::test]
async fn a_file_that_cannot_be_meant_changes_nothing_and_is_told() {
    let file = File::new("bad");
    file.cut_off(ids::ALICE_OID);
    let rig = rig(&file).await;
    let token = rig.token("alice");
    let mut client = rig.client().await;
    assert_eq!(status(&mut client, "/x", &token).await.0, 403);
    file.write("alice\n");
    in_time(async {
        while !admin(&rig)
            .await
            .figures()
            .await
            .contains("\nobo_deny_file_stale 1\n")
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(status(&mut client, "/x", &token).await.0, 403);
}

#[tokio::test]
async fn a_gateway_does_not_start_without_its_deny_file() {
    let mut config = Rig::config("http://127.0.0.1:9", "http://127.0.0.1:9", "");
    config.accept.deny_file = Some("/nowhere/deny".into());
    let error = obo_gateway::start(config).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/deny"), "{error}");
}

#[test]
fn check_reads_the_deny_file() {
    let mut config = Rig::config("http://127.0.0.1:9", "http://127.0.0.1:9", "");
    config.accept.deny_file = Some("/nowhere/deny".into());
    let error = obo_gateway::check(&config).unwrap_err();
    assert!(error.to_string().contains("accept.deny_file"), "{error}");
}

#[tokio::test]
async fn who_is_added_on_the_admin_listener_is_refused_until_taken_off_again() {
    let file = File::new("added");
    file.cut_off(ids::CAROL_OID);
    let rig = rig(&file).await;
    let [alices, bobs] = ["alice", "bob"].map(|user| rig.token(user));
    let mut client = rig.client().await;
    for token in [&alices, &bobs] {
        assert_eq!(status(&mut client, "/x", token).await.0, 200);
    }
    let mut stream = rig.client().await;
    stream.send(request("/events", &alices, "")).await;
    stream.until("event 1").await.unwrap();

    let of = |oid: &str| format!("/deny?tid={}&oid={oid}", ids::CONTOSO);
    let (alice, carol) = (of(ids::ALICE_OID), of(ids::CAROL_OID));
    let ask = |method: &str, target: &str, header: &str| {
        format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}Content-Length: 0\r\n\r\n"
        )
    };
    const OURS: &str = "X-Obo-Admin: 1\r\n";
    let mut admin = admin(&rig).await;
    // What a page could send changes nothing, as with a purge.
    for (method, target, header, status) in [
        ("POST", &*alice, "", 403),
        ("DELETE", &carol, "", 403),
        ("POST", "/deny?oid=all", OURS, 400),
        ("PUT", &alice, OURS, 405),
        ("DELETE", &alice, OURS, 404),
        ("DELETE", &carol, OURS, 409),
    ] {
        admin.send(ask(method, target, header)).await;
        let answer = admin.answer().await.unwrap();
        assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
    }
    assert_eq!(status(&mut client, "/x", &alices).await.0, 200);

    for _ in 0..2 {
        admin.send(ask("POST", &alice, OURS)).await;
        let answer = admin.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("\"added\":1,"), "{answer:?}");
    }
    // At once, and for tokens that are known.
    assert_eq!(status(&mut client, "/x", &alices).await.0, 403);
    assert_eq!(status(&mut client, "/x", &bobs).await.0, 200);
    let mut rest = Vec::new();
    let _ = in_time(stream.stream.read_to_end(&mut rest)).await;

    admin.send(ask("GET", "/deny", "")).await;
    let list = admin.answer().await.unwrap();
    let list: serde_json::Value = serde_json::from_str(&list.body).unwrap();
    let entry = |oid: &str, from: &str| serde_json::json!({ "deny": format!("oid={oid} tid={}", ids::CONTOSO), "from": from });
    let expected = [
        entry(ids::CAROL_OID, "file"),
        entry(ids::ALICE_OID, "admin"),
    ];
    assert_eq!(list["entries"], serde_json::json!(expected));
    assert_eq!(list["file"], file.0.display().to_string());
    assert_eq!(list["file_is_stale"], false);
    admin.send(ask("GET", "/", "")).await;
    let page = admin.answer().await.unwrap().body;
    assert!(page.contains("2, 1 of them added here"), "{page}");

    // Whom the file names, too, stays added.
    file.cut_off(ids::ALICE_OID);
    let stands_twice = || async {
        let mut admin = self::admin(&rig).await;
        admin.send(ask("GET", "/deny", "")).await;
        admin
            .answer()
            .await
            .unwrap()
            .body
            .matches(ids::ALICE_OID)
            .count()
            == 2
    };
    in_time(async { while !stands_twice().await {} }).await;
    admin.send(ask("DELETE", &alice, OURS)).await;
    assert_eq!(admin.answer().await.unwrap().status, 409);

    // Another file changes nothing about what was added.
    file.write("");
    let figures = || async { self::admin(&rig).await.figures().await };
    in_time(async { while !figures().await.contains("\nobo_deny_rules 1\n") {} }).await;
    assert_eq!(status(&mut client, "/x", &alices).await.0, 403);
    admin.send(ask("DELETE", &alice, OURS)).await;
    assert_eq!(admin.answer().await.unwrap().status, 200);
    assert_eq!(status(&mut client, "/x", &alices).await.0, 200);
}

/// There is a list without a file, too.
#[tokio::test]
async fn without_a_deny_file_somebody_is_cut_off_all_the_same() {
    let rig = Rig::new("", |_| ok(), with_admin).await;
    let token = rig.token("alice");
    let mut client = rig.client().await;
    assert_eq!(status(&mut client, "/x", &token).await.0, 200);
    let target = format!("/deny?tid={}&oid=*", ids::CONTOSO);
    let mut admin = admin(&rig).await;
    admin
        .send(format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nX-Obo-Admin: 1\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
    assert_eq!(admin.answer().await.unwrap().status, 200);
    assert_eq!(status(&mut client, "/x", &token).await.0, 403);
}

#[tokio::test]
async fn purge_drops_what_is_kept_of_a_user_and_says_how_much() {
    let rig = Rig::new("", |_| ok(), with_admin).await;
    let [alices, bobs] = ["alice", "bob"].map(|user| rig.token(user));
    let mut client = rig.client().await;
    for token in [&alices, &bobs] {
        assert_eq!(status(&mut client, "/x", token).await.0, 200);
    }
    let exchanges = || rig.emulator.as_ref().unwrap().count(Endpoint::Token);
    let before = exchanges();

    let target = format!("/purge?tid={}&oid={}", ids::CONTOSO, ids::ALICE_OID);
    let post = |target: &str, header: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}Content-Length: 0\r\n\r\n")
    };
    let mut admin = admin(&rig).await;
    // What a page could send changes nothing.
    admin.send(post(&target, "")).await;
    assert_eq!(admin.answer().await.unwrap().status, 403);
    admin
        .send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .await;
    assert_eq!(admin.answer().await.unwrap().status, 405);
    // Nor does a name that was made to lead here (DNS rebinding).
    let rebound = post(&target, "X-Obo-Admin: 1\r\n").replace("127.0.0.1", "evil.example");
    admin.send(rebound).await;
    assert_eq!(admin.answer().await.unwrap().status, 421);
    let ours = "X-Obo-Admin: 1\r\n";
    admin.send(post("/purge?oid=all", ours)).await;
    assert_eq!(admin.answer().await.unwrap().status, 400);

    admin.send(post(&target, ours)).await;
    let answer = admin.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, "{\"admissions\":1,\"tokens\":1}\n");
    admin.send(post(&target, ours)).await;
    let again = admin.answer().await.unwrap();
    assert_eq!(again.body, "{\"admissions\":0,\"tokens\":0}\n");

    for token in [&bobs, &alices] {
        assert_eq!(status(&mut client, "/x", token).await.0, 200);
    }
    assert_eq!(exchanges(), before + 1, "alice's alone is exchanged again");
}
