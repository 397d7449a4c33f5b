//! Many users at once while the network and Entra ID misbehave, on either side of the gateway. No
//! request is answered twice, or for another user, or never; and once all is well again, all is well.
//!
//! `OBO_CHAOS_REQUESTS` says how many requests each user makes (40), `OBO_CHAOS_SEED` what happens.

mod proxy;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use entra_emulator::{Emulator, Endpoint, Fault, demo as ids, directory::User};
use tokio::task::JoinSet;

use self::proxy::Proxy;
use crate::{
    client::{Answer, Client, in_time},
    rig::Rig,
    rng::Rng,
    upstream::{Reply, Seen, Upstream, ok},
};

const USERS: u64 = 12;

/// How often each request arrived, by its path.
type Arrivals = Arc<Mutex<HashMap<String, usize>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_on_either_side_never_mixes_users_repeats_a_post_or_leaves_anybody_waiting() {
    let number = |name: &str, or| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (requests, seed) = (
        number("OBO_CHAOS_REQUESTS", 40),
        number("OBO_CHAOS_SEED", 1),
    );
    let arrivals = Arrivals::default();
    let upstream = Upstream::start(says_who_came(Arc::clone(&arrivals))).await;
    let behind = Proxy::start(upstream.address, seed).await;
    let file = format!(
        "[[route]]\npath = '/*'\ndownstream = 'arm'\nupstream = 'behind'\n\
         [upstreams.behind]\nurl = 'http://{}'",
        behind.address
    );
    let mut rig = Rig::new(
        &file,
        |_| ok(),
        |config| {
            let short = Duration::from_millis(400);
            config.limits.head_timeout = short;
            config.limits.idle_timeout = short;
            config.limits.response_timeout = short;
        },
    )
    .await;
    let front = Proxy::start(rig.gateway.local_addr(), seed + 1).await;
    let emulator = Arc::new(rig.emulator.take().unwrap());
    let users = users(&emulator);

    let mut running = JoinSet::new();
    for (at, (oid, token)) in (0..).zip(users.clone()) {
        let rng = Rng::new(seed + 2 + at);
        let address = front.address;
        let emulator = Arc::clone(&emulator);
        running.spawn(async move {
            let mut user = Person {
                oid,
                token,
                rng,
                ends: Ends::default(),
            };
            let mut client = None;
            for number in 0..requests {
                user.disturb(&emulator);
                let connected = match client.take() {
                    Some(client) => client,
                    None => Client::connect(address).await,
                };
                client = user.request(connected, number).await;
            }
            user.ends
        });
    }
    let mut ends = Ends::default();
    while let Some(user) = running.join_next().await {
        ends.add(user.unwrap());
    }
    println!(
        "{ends:?}, harmed: {} in front, {} behind",
        front.harmed(),
        behind.harmed()
    );
    let arrivals = arrivals.lock().unwrap().clone();
    for (path, times) in &arrivals {
        // What is idempotent may be tried once more, and is marked so.
        let most = if path.starts_with("/post/") { 1 } else { 2 };
        assert!(*times <= most, "{path} arrived {times} times");
    }
    // Or it was too calm, or too wild, to say anything.
    let all = USERS * requests;
    assert!(
        ends.served > all / 4 && ends.refused > 0 && ends.broken > 0,
        "{ends:?}"
    );
    assert!(front.harmed() > 10 && behind.harmed() > 10);

    front.calm_down();
    behind.calm_down();
    emulator.clear_faults();
    for (oid, token) in users {
        // Connections that were kept may still be doomed: that shows once.
        let mut tries = 0;
        loop {
            let mut client = rig.client().await;
            client.send(text("GET", "/get/calm", &token, "")).await;
            // None: one that broke in the middle of the answer.
            let answer = client.answer().await;
            if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 200) {
                assert_eq!(answer.body, format!("{oid} /get/calm"));
                break;
            }
            tries += 1;
            assert!(tries < 60, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// An object id and a token for each.
fn users(emulator: &Emulator) -> Vec<(String, String)> {
    let names: Vec<String> = (0..USERS)
        .map(|user| format!("user{user}@contoso.example"))
        .collect();
    emulator.update_directory(|directory| {
        for name in &names {
            directory.users.push(User::new(ids::CONTOSO, name.clone()));
        }
    });
    names
        .iter()
        .map(|name| {
            let oid = User::new(ids::CONTOSO, name.clone()).oid;
            (oid, emulator.user_token(name))
        })
        .collect()
}

/// Answers with the object id in the downstream token, and the path.
fn says_who_came(arrivals: Arrivals) -> impl Fn(&Seen) -> Reply + Send + Sync {
    move |seen| {
        let path = seen.line().split(' ').nth(1).unwrap().to_owned();
        let [authorization] = seen.all("authorization")[..] else {
            panic!("one Authorization: {seen:?}");
        };
        let payload = authorization.split('.').nth(1).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(payload).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        *arrivals.lock().unwrap().entry(path.clone()).or_default() += 1;
        let body = format!("{} {path}", claims["oid"].as_str().unwrap());
        Reply::Keep(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

fn text(method: &str, path: &str, token: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

struct Person {
    oid: String,
    token: String,
    rng: Rng,
    ends: Ends,
}

/// How requests ended.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    served: u64,
    refused: u64,
    broken: u64,
}

impl Ends {
    fn add(&mut self, other: Self) {
        self.served += other.served;
        self.refused += other.refused;
        self.broken += other.broken;
    }
}

impl Person {
    /// Entra ID has its bad days too.
    fn disturb(&mut self, emulator: &Emulator) {
        let fault = match self.rng.below(40) {
            0 => Fault::reset(),
            1 => Fault::status(503).header("retry-after", "1"),
            2 => Fault::garbage("no HTTP"),
            3 => Fault::slow(Duration::from_millis(50)),
            _ => return,
        };
        emulator.fail(Endpoint::Token, fault, 1);
    }

    /// One request. The connection, if it can be used again.
    async fn request(&mut self, mut client: Client, number: u64) -> Option<Client> {
        let oid = &self.oid;
        let (method, kind, size) = match self.rng.below(3) {
            0 => ("POST", "post", self.rng.below(9_000)),
            _ => ("GET", "get", 0),
        };
        let path = format!("/{kind}/{oid}/{number}");
        client
            .try_send(text(method, &path, &self.token, &"x".repeat(size)))
            .await;
        // It ends, whatever happens: an answer that never comes fails here.
        let answer: Option<Answer> = in_time(client.answer()).await;
        match answer {
            Some(answer) if answer.status == 200 => {
                assert_eq!(answer.body, format!("{oid} {path}"));
                self.ends.served += 1;
                Some(client)
            }
            Some(answer) => {
                let faults = [408, 502, 503, 504];
                assert!(
                    faults.contains(&answer.status) || is_cut(&answer),
                    "{}",
                    answer.head
                );
                self.ends.refused += 1;
                None
            }
            None => {
                self.ends.broken += 1;
                None
            }
        }
    }
}

/// Whether it says that the request did not arrive whole.
fn is_cut(answer: &Answer) -> bool {
    answer.status == 400 && answer.body.contains("broke off")
}
