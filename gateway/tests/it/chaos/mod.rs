//! Many users at once while the network and Entra ID misbehave, on either side of the gateway. No
//! request is answered twice, or for another user, or never; and once all is well again, all is well.
//!
//! `OBO_CHAOS_REQUESTS` says how many requests each user makes (40), `OBO_CHAOS_SEED` what happens.

mod behind;
mod link;
mod proxy;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use entra_emulator::{Emulator, Endpoint, Fault, demo as ids, directory::User};
use tokio::task::JoinSet;

use self::{
    behind::Behind,
    link::{Ask, Link, Shared},
    proxy::Proxy,
};
use crate::{
    certificates::{Ca, Folder},
    client::{Answer, in_time},
    rig::Rig,
    rng::Rng,
    upstream::ok,
};

const USERS: u64 = 12;

/// Users that share a connection of HTTP/2.
const TOGETHER: u64 = 3;

/// What is spoken on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
    Http2WithinTls,
}

/// What the upstream saw.
#[derive(Clone, Debug, Default)]
struct Arrivals {
    /// How often each request arrived, by its path.
    times: Arc<Mutex<HashMap<String, usize>>>,
    /// What should not have come. Nobody hears of a panic of the upstream's.
    wrong: Arc<Mutex<Vec<String>>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_on_either_side_never_mixes_users_repeats_a_post_or_leaves_anybody_waiting() {
    chaos(Spoken::Http1).await;
}

/// Where all users share the connections to the upstream, and some of them those to the gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_over_http_2_never_mixes_users_either() {
    chaos(Spoken::Http2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_within_tls_never_mixes_users_either() {
    chaos(Spoken::Http2WithinTls).await;
}

async fn chaos(spoken: Spoken) {
    let number = |name: &str, or| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (requests, seed) = (
        number("OBO_CHAOS_REQUESTS", 40),
        number("OBO_CHAOS_SEED", 1),
    );
    // A connection that several share has more to carry, and fewer of them come to harm.
    let (times, least) = match spoken {
        Spoken::Http1 => (1, 10),
        Spoken::Http2 | Spoken::Http2WithinTls => (6, 0),
    };
    let (ca, folder) = (Ca::new(), Folder::new());
    let identity = ca.issue();
    let arrivals = Arrivals::default();
    let upstream = Behind::start(spoken, &identity, arrivals.clone()).await;
    let behind = Proxy::start(upstream.address(), seed, times).await;
    let port = behind.address.port();
    let url = match spoken {
        Spoken::Http1 => format!("http://127.0.0.1:{port}"),
        Spoken::Http2 => format!("h2c://127.0.0.1:{port}"),
        Spoken::Http2WithinTls => format!("https://localhost:{port}"),
    };
    let file = format!(
        "[[route]]\npath = '/*'\ndownstream = 'arm'\nupstream = 'behind'\n\
         [upstreams.behind]\nurl = '{url}'"
    );
    let mut rig = Rig::new(
        &file,
        |_| ok(),
        |config| {
            let short = Duration::from_millis(400);
            config.limits.head_timeout = short;
            config.limits.idle_timeout = short;
            config.limits.response_timeout = short;
            if spoken == Spoken::Http2WithinTls {
                config.tls = Some(folder.put(&identity));
                let upstream = config.upstreams.get_mut("behind").unwrap();
                upstream.tls.ca_file = Some(folder.write("ca.pem", ca.pem()));
            }
        },
    )
    .await;
    let front = Proxy::start(rig.gateway.local_addr(), seed + 1, times).await;
    let emulator = Arc::new(rig.emulator.take().unwrap());
    let users = users(&emulator);
    let tls = (spoken == Spoken::Http2WithinTls).then(|| ca.client(None, &["h2"]));
    let link = |address, open| match spoken {
        Spoken::Http1 => Link::Http1(address, None),
        Spoken::Http2 | Spoken::Http2WithinTls => Link::Http2(Shared {
            address,
            tls: tls.clone(),
            open,
        }),
    };

    let mut running = JoinSet::new();
    let mut open = Arc::default();
    for (at, (oid, token)) in (0..).zip(users.clone()) {
        if at % TOGETHER == 0 {
            open = Arc::default();
        }
        let mut user = Person {
            oid,
            token,
            rng: Rng::new(seed + 2 + at),
            ends: Ends::default(),
            link: link(front.address, Arc::clone(&open)),
        };
        let emulator = Arc::clone(&emulator);
        running.spawn(async move {
            for number in 0..requests {
                user.disturb(&emulator);
                user.request(number).await;
            }
            user.ends
        });
    }
    let mut ends = Ends::default();
    while let Some(user) = running.join_next().await {
        ends.add(user.unwrap());
    }
    let times = arrivals.times.lock().unwrap().clone();
    for (path, times) in &times {
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
    let harmed = (front.harmed(), behind.harmed());
    assert!(harmed.0 > least && harmed.1 > least, "{harmed:?}");

    front.calm_down();
    behind.calm_down();
    emulator.clear_faults();
    for (oid, token) in users {
        // Connections that were kept may still be doomed: that shows once.
        let mut tries = 0;
        let mut link = link(rig.gateway.local_addr(), Arc::default());
        loop {
            let ask = Ask {
                method: "GET",
                path: "/get/calm",
                token: &token,
                body: String::new(),
            };
            // None: one that broke in the middle of the answer.
            let answer = in_time(link.ask(&ask)).await;
            if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 200) {
                assert_eq!(answer.body, format!("{oid} /get/calm"));
                break;
            }
            tries += 1;
            assert!(tries < 60, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(arrivals.wrong.lock().unwrap()[..], [""; 0]);
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

struct Person {
    oid: String,
    token: String,
    rng: Rng,
    ends: Ends,
    link: Link,
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

    async fn request(&mut self, number: u64) {
        let oid = &self.oid;
        let (method, kind, size) = match self.rng.below(3) {
            0 => ("POST", "post", self.rng.below(9_000)),
            _ => ("GET", "get", 0),
        };
        let path = format!("/{kind}/{oid}/{number}");
        let ask = Ask {
            method,
            path: &path,
            token: &self.token,
            body: "x".repeat(size),
        };
        // It ends, whatever happens: an answer that never comes fails here.
        let answer: Option<Answer> = in_time(self.link.ask(&ask)).await;
        match answer {
            Some(answer) if answer.status == 200 => {
                assert_eq!(answer.body, format!("{oid} {path}"));
                self.ends.served += 1;
            }
            Some(answer) => {
                let faults = [408, 502, 503, 504];
                assert!(
                    faults.contains(&answer.status) || is_cut(&answer),
                    "{}",
                    answer.head
                );
                self.ends.refused += 1;
            }
            None => self.ends.broken += 1,
        }
    }
}

/// Whether it says that the request did not arrive whole.
fn is_cut(answer: &Answer) -> bool {
    answer.status == 400 && answer.body.contains("broke off")
}
