//! Mixed traffic : each caller begins a request every so often, whatever became of the
//! last.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, RwLock},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{self, Instant},
};

use super::{
    client::{Answer, Client},
    tally::{Tally, Trouble},
};

/// A user, and the token that the user has at present.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) oid: &'static str,
    pub(crate) token: RwLock<String>,
}

/// What callers do, in turn.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Item,
    Upload,
    Events,
    NoToken,
}

const KINDS: [Kind; 10] = [
    Kind::Item,
    Kind::Item,
    Kind::Upload,
    Kind::Item,
    Kind::Item,
    Kind::NoToken,
    Kind::Item,
    Kind::Item,
    Kind::Upload,
    Kind::Events,
];

const UPLOAD: usize = 20_000;

/// Callers of these users until `end`, each of whom begins a request every `pause`.
pub(crate) async fn run(
    gateway: SocketAddr,
    users: &[Arc<User>],
    callers: usize,
    pause: Duration,
    end: Instant,
    tally: &Tally,
) {
    let mut running = JoinSet::new();
    for number in 0..callers {
        let user = Arc::clone(&users[number % users.len()]);
        let tally = tally.clone();
        running.spawn(async move {
            // Not all at once.
            let offset = pause.mul_f64(number as f64 / callers as f64);
            let mut ticks = time::interval_at(Instant::now() + offset, pause);
            ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
            let mut client = Client::new(gateway);
            for turn in number.. {
                ticks.tick().await;
                if Instant::now() >= end {
                    return;
                }
                let kind = KINDS[turn % KINDS.len()];
                one(kind, &mut client, &user, &tally).await;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("a caller does not panic");
    }
}

async fn one(kind: Kind, client: &mut Client, user: &User, tally: &Tally) {
    let begun = Instant::now();
    let token = user.token.read().unwrap().clone();
    let body = vec![b'x'; UPLOAD];
    let answer = match kind {
        Kind::Item => client.get("/item", &token).await,
        Kind::Upload => client.post("/upload", &token, &body).await,
        Kind::Events => client.get("/events", &token).await,
        Kind::NoToken => client.get("/item", "no.token.atall").await,
    };
    match answer {
        Ok(answer) => judge(kind, &answer, begun, user, tally),
        Err(error) => lost(kind, &error, begun, tally),
    }
}

fn judge(kind: Kind, answer: &Answer, begun: Instant, user: &User, tally: &Tally) {
    if answer.again {
        tally.count("sent again: the kept connection had been closed");
    }
    let text = || format!("{kind:?} {}: {}", answer.status, answer.body);
    let says = |actor: &str| answer.body.contains(&format!("\"actor\":\"{actor}\""));
    match answer.status {
        401 if matches!(kind, Kind::NoToken) => tally.count("refused, as it had to be"),
        200 => {
            let length = if matches!(kind, Kind::Upload) {
                UPLOAD
            } else {
                0
            };
            let whole = format!("{0} {0} {length}", user.oid);
            let is_whole = match kind {
                Kind::Events => answer.body.matches(&whole).count() == 10,
                Kind::Item | Kind::Upload => answer.body == whole,
                Kind::NoToken => false,
            };
            if is_whole {
                tally.count("served");
            } else {
                tally.wrong(format!("not this caller's answer ({whole}): {}", text()));
            }
        }
        503 | 504 if says("identity-provider") => {
            tally.explained(
                Trouble::Entra,
                "refused for Entra ID's trouble",
                begun,
                text,
            );
        }
        502 if says("upstream") => {
            tally.explained(
                Trouble::Upstream,
                "refused for the upstream's trouble",
                begun,
                text,
            );
        }
        // The upstream's own.
        503 if answer.body.is_empty() => {
            tally.explained(Trouble::Upstream, "the upstream's own 503", begun, text);
        }
        _ => tally.wrong(text()),
    }
}

/// No answer, or half of one: only where the upstream broke it off.
fn lost(kind: Kind, error: &io::Error, begun: Instant, tally: &Tally) {
    let text = || format!("{kind:?}: {error}");
    if matches!(kind, Kind::Events) {
        return tally.explained(
            Trouble::Upstream,
            "an answer that the upstream broke off",
            begun,
            text,
        );
    }
    tally.wrong(format!("lost: {}", text()));
}
