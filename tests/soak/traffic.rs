//! Mixed traffic: each caller begins a request every so often, whatever became of the last. A gateway that
//! stalls is sent just as much.

use std::{
    error::Error as _,
    fmt::Display,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{self, Instant},
};

use super::{
    client::{Answer, Client},
    tally::{REFUSED_KNOWN, Tally, Trouble},
};

/// A user, and the token that the user has at present.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) oid: &'static str,
    pub(crate) token: RwLock<String>,
    /// The token is of a time in which Entra ID failed: no gateway can have one of the downstream's for it.
    pub(crate) is_new: AtomicBool,
}

/// What callers do, in turn.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Item,
    Upload,
    Events,
    NoToken,
    /// A WebSocket.
    Socket,
    /// The same over HTTP/2, all on one connection.
    ItemOfH2,
    EventsOfH2,
}

const KINDS: [Kind; 20] = [
    Kind::Item,
    Kind::ItemOfH2,
    Kind::Upload,
    Kind::Item,
    Kind::Item,
    Kind::NoToken,
    Kind::ItemOfH2,
    Kind::Item,
    Kind::Upload,
    Kind::Events,
    Kind::Item,
    Kind::Item,
    Kind::ItemOfH2,
    Kind::Upload,
    Kind::Socket,
    Kind::NoToken,
    Kind::Item,
    Kind::ItemOfH2,
    Kind::EventsOfH2,
    Kind::Item,
];

const UPLOAD: usize = 20_000;

/// Callers of these users until `end`, each of whom begins a request every `pause`; how many they began.
pub(crate) async fn run(
    gateway: SocketAddr,
    users: &[Arc<User>],
    callers: usize,
    pause: Duration,
    end: Instant,
    tally: &Tally,
) -> u64 {
    // Said at once, without asking for it over HTTP/1.
    let h2 = reqwest::Client::builder().http2_prior_knowledge();
    let h2 = h2.timeout(Duration::from_secs(40)).build().unwrap();
    let mut running = JoinSet::new();
    for number in 0..callers {
        let caller = Arc::new(Caller {
            user: Arc::clone(&users[number % users.len()]),
            tally: tally.clone(),
            gateway,
            kept: Mutex::default(),
            h2: h2.clone(),
        });
        running.spawn(async move {
            // Not all at once.
            let offset = pause.mul_f64(number as f64 / callers as f64);
            let mut ticks = time::interval_at(Instant::now() + offset, pause);
            // Whoever is late makes up for it.
            ticks.set_missed_tick_behavior(time::MissedTickBehavior::Burst);
            let mut requests = JoinSet::new();
            let mut begun = 0;
            for turn in number.. {
                ticks.tick().await;
                if Instant::now() >= end {
                    break;
                }
                let kind = KINDS[turn % KINDS.len()];
                let caller = Arc::clone(&caller);
                requests.spawn(async move { caller.begin(kind).await });
                begun += 1;
                while let Some(ended) = requests.try_join_next() {
                    ended.expect("a request does not panic");
                }
            }
            while let Some(ended) = requests.join_next().await {
                ended.expect("a request does not panic");
            }
            begun
        });
    }
    let mut begun = 0;
    while let Some(ended) = running.join_next().await {
        begun += ended.expect("a caller does not panic");
    }
    begun
}

struct Caller {
    user: Arc<User>,
    tally: Tally,
    gateway: SocketAddr,
    /// A connection that the last request over HTTP/1 left open.
    kept: Mutex<Option<TcpStream>>,
    h2: reqwest::Client,
}

impl Caller {
    async fn begin(&self, kind: Kind) {
        let begun = Instant::now();
        let user = &*self.user;
        let is_new = user.is_new.load(Ordering::Relaxed);
        let token = user.token.read().unwrap().clone();
        let answer = match kind {
            Kind::ItemOfH2 => self.over_h2("/item", &token).await,
            Kind::EventsOfH2 => self.over_h2("/events", &token).await,
            _ => self.over_h1(kind, &token).await,
        };
        match answer {
            Ok(answer) => judge(kind, &answer, begun, user, is_new, &self.tally),
            Err(error) => lost(kind, &error, begun, &self.tally),
        }
    }

    async fn over_h1(&self, kind: Kind, token: &str) -> Result<Answer, String> {
        let kept = self.kept.lock().unwrap().take();
        let mut client = Client::new(self.gateway, kept);
        let body = vec![b'x'; UPLOAD];
        let answer = match kind {
            Kind::Upload => client.post("/upload", token, &body).await,
            Kind::Events => client.get("/events", token).await,
            Kind::Socket => client.socket(token).await,
            Kind::NoToken => client.get("/item", "no.token.atall").await,
            _ => client.get("/item", token).await,
        };
        if let Some(kept) = client.kept {
            *self.kept.lock().unwrap() = Some(kept);
        }
        answer.map_err(|error| error.to_string())
    }

    /// What was not processed for a GOAWAY is sent again, as is a GET whose connection broke before its answer.
    /// Nothing else is: a stream that was reset is a request without an answer.
    async fn over_h2(&self, path: &str, token: &str) -> Result<Answer, String> {
        let url = format!("http://{}{path}", self.gateway);
        let send = || self.h2.get(&url).bearer_auth(token).send();
        let (answer, again) = match send().await {
            Ok(answer) => (answer, false),
            Err(error) if may_be_sent_again(&error) => {
                (send().await.map_err(|error| format!("{error:?}"))?, true)
            }
            Err(error) => return Err(format!("{error:?}")),
        };
        let status = answer.status().as_u16();
        let body = answer.text().await.map_err(|error| format!("{error:?}"))?;
        Ok(Answer {
            status,
            body,
            again,
        })
    }
}

/// Whether it was the connection that ended before an answer, and not the request: a stream that was reset is a
/// request without an answer. (What a server has not looked at, by its word, the library sends again by itself.)
fn may_be_sent_again(error: &reqwest::Error) -> bool {
    if error.is_timeout() {
        return false;
    }
    let mut cause = error.source();
    while let Some(this) = cause {
        let of_h2 = this.downcast_ref::<h2::Error>().is_some_and(|h2| {
            let is_told = h2.is_go_away() && h2.reason() == Some(h2::Reason::NO_ERROR);
            is_told || h2.is_io()
        });
        if of_h2 || this.is::<io::Error>() {
            return true;
        }
        cause = this.source();
    }
    false
}

fn judge(kind: Kind, answer: &Answer, begun: Instant, user: &User, is_new: bool, tally: &Tally) {
    if answer.again {
        tally.note("sent again: the kept connection had been closed");
    }
    let text = || {
        let when = tally.when(begun);
        format!("{kind:?} {when}: {} {}", answer.status, answer.body)
    };
    let says = |actor: &str| answer.body.contains(&format!("\"actor\":\"{actor}\""));
    match answer.status {
        401 if matches!(kind, Kind::NoToken) => tally.count("refused, as it had to be"),
        200 | 101 => {
            let length = if matches!(kind, Kind::Upload) {
                UPLOAD
            } else {
                0
            };
            let whole = format!("{0} {0} {length}", user.oid);
            let is_whole = match kind {
                Kind::Events | Kind::EventsOfH2 | Kind::Socket => {
                    answer.body.matches(&whole).count() == 10
                }
                Kind::Item | Kind::ItemOfH2 | Kind::Upload => answer.body == whole,
                Kind::NoToken => false,
            };
            if is_whole && (answer.status == 101) == matches!(kind, Kind::Socket) {
                tally.count("served");
                if !is_new {
                    tally.served_known(begun);
                }
            } else {
                tally.wrong(format!("not this caller's answer ({whole}): {}", text()));
            }
        }
        503 | 504 if says("identity-provider") => {
            let what = match is_new {
                true => "refused for Entra ID's trouble",
                false => REFUSED_KNOWN,
            };
            tally.explained(Trouble::Entra, what, begun, text);
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
fn lost(kind: Kind, error: &dyn Display, begun: Instant, tally: &Tally) {
    let text = || format!("{kind:?} {}: {error}", tally.when(begun));
    if matches!(kind, Kind::Events | Kind::EventsOfH2 | Kind::Socket) {
        return tally.explained(
            Trouble::Upstream,
            "an answer that the upstream broke off",
            begun,
            text,
        );
    }
    tally.wrong(format!("lost: {}", text()));
}

#[cfg(test)]
mod tests {
    use h2::Reason;
    use tokio::net::TcpListener;

    use super::*;

    type Connection = h2::server::Connection<TcpStream, &'static [u8]>;
    type Respond = h2::server::SendResponse<&'static [u8]>;

    /// What a client makes of its first request where the other side does that at its head, and goes on with the
    /// connection if there is one still.
    async fn error(
        ends: impl FnOnce(Connection, Respond) -> Option<Connection> + Send + 'static,
    ) -> reqwest::Error {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::Builder::new().handshake(stream).await.unwrap();
            let (_, respond) = connection.accept().await.unwrap().unwrap();
            if let Some(mut connection) = ends(connection, respond) {
                while connection.accept().await.is_some() {}
            }
        });
        let client = reqwest::Client::builder().http2_prior_knowledge();
        let client = client.retry(reqwest::retry::never()).build().unwrap();
        let error = client.get(url).send().await.unwrap_err();
        drop(client);
        server.abort();
        error
    }

    async fn reset(reason: Reason) -> reqwest::Error {
        error(move |connection, mut respond| {
            respond.send_reset(reason);
            Some(connection)
        })
        .await
    }

    #[tokio::test]
    async fn only_what_has_lost_its_connection_is_sent_again() {
        for reason in [
            Reason::INTERNAL_ERROR,
            Reason::PROTOCOL_ERROR,
            Reason::CANCEL,
            Reason::REFUSED_STREAM,
        ] {
            let reset = reset(reason).await;
            assert!(!may_be_sent_again(&reset), "{reset:?}");
        }
        let broken = error(|_, _| None).await;
        assert!(may_be_sent_again(&broken), "{broken:?}");
        let told = error(|mut connection, _respond| {
            connection.abrupt_shutdown(Reason::NO_ERROR);
            Some(connection)
        })
        .await;
        assert!(may_be_sent_again(&told), "{told:?}");
    }
}
