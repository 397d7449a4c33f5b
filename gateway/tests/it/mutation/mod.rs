//! HTTP/1 input that none of us thought of: requests, good and bad, changed at random. Whatever the
//! gateway makes of them, the upstream must have seen exactly one well-formed request for each one
//! that was answered as forwarded, with the target and the body that the client sent.
//!
//! `OBO_MUTATIONS` says how many inputs (2,000), `OBO_MUTATION` runs the one of that number.

mod generate;
mod read;
mod recorder;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use self::{
    generate::input,
    read::{Message, answers, requests},
    recorder::Recorder,
};
use crate::{client::in_time, rig::Rig, upstream::ok};

/// Unfinished requests are given up after this long, so that they make the test no longer than they must.
const SHORT: Duration = Duration::from_millis(300);

/// What came of one input.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    forwarded: usize,
    refused: usize,
    silent: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_client_sends_the_upstream_sees_what_was_answered_and_nothing_else() {
    println!("{}", run("access = 'public'").await);
}

/// The same where a token is asked for, and another put into its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_client_sends_with_a_token_the_upstream_sees_the_apis_and_nothing_else() {
    println!("{}", run("downstream = 'arm'").await);
}

/// Says what came of it.
async fn run(access: &str) -> String {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let numbers = match number("OBO_MUTATION") {
        Some(one) => one..one + 1,
        None => 0..number("OBO_MUTATIONS").unwrap_or(2_000),
    };
    let asked = numbers.end - numbers.start;
    let recorder = Recorder::start().await;
    let file = format!(
        "[[route]]\npath = '/*'\n{access}\ntrailers = ['x-t']\nupstream = 'recorder'\n\
         [upstreams.recorder]\nurl = 'http://{}'",
        recorder.address()
    );
    let rig = Rig::new(
        &file,
        |_| ok(),
        |config| {
            config.limits.head_timeout = SHORT;
            config.limits.idle_timeout = SHORT;
            config.limits.response_timeout = Duration::from_secs(10);
        },
    )
    .await;
    let gateway = rig.gateway.local_addr();
    let token: Option<Arc<str>> = (!access.contains("public")).then(|| rig.token("alice").into());

    let mut tally = Tally::default();
    let mut running = JoinSet::new();
    let places = Arc::new(Semaphore::new(64));
    for number in numbers {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (recorder, token) = (Arc::clone(&recorder), token.clone());
        running.spawn(async move {
            let one = judge(number, token.as_deref(), gateway, &recorder).await;
            drop(place);
            one
        });
        while let Some(one) = running.try_join_next() {
            tally.add(one.unwrap());
        }
    }
    while let Some(one) = running.join_next().await {
        tally.add(one.unwrap());
    }
    assert_eq!(recorder.violations(), Vec::<String>::new());
    if asked >= 1_000 {
        // Or the inputs are too tame, or too broken, to say anything.
        assert!(tally.forwarded > asked as usize / 5, "{tally:?}");
        assert!(tally.refused > asked as usize / 5, "{tally:?}");
    }
    format!("{access}, {asked} inputs: {tally:?}")
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.forwarded += other.forwarded;
        self.refused += other.refused;
        self.silent += other.silent;
    }
}

/// Sends one input on a connection of its own, from an address of its own, and compares three
/// readings: what the client sent, what it was answered, what the upstream saw.
async fn judge(
    number: u64,
    token: Option<&str>,
    gateway: SocketAddr,
    recorder: &Recorder,
) -> Tally {
    let sent = input(number, token);
    // Every client has an address of its own in 127/8, by which the upstream's side is told apart.
    let [.., a, b, c] = (number + 0x1_00_01).to_be_bytes();
    let source = Ipv4Addr::new(127, a, b, c);
    let text = in_time(converse(source, gateway, &sent)).await;
    let requests = requests(&sent);
    let seen = recorder.seen_from(source);

    let context = || {
        format!(
            "input {number}\nsent: {}\ngot: {}\nupstream: {seen:#?}",
            sent.escape_ascii(),
            text.escape_ascii()
        )
    };
    let Some(answers) = answers(&text, &requests) else {
        panic!("a broken answer: {}", context());
    };
    let answered: Vec<u64> = answers
        .iter()
        .filter_map(|answer| answer.upstream_id)
        .collect();
    let complete: Vec<u64> = seen.iter().map(|seen| seen.id).collect();
    assert_eq!(
        answered,
        complete,
        "answers and requests differ: {}",
        context()
    );
    for (at, answer) in answers.iter().enumerate() {
        let Some(id) = answer.upstream_id else {
            continue;
        };
        let upstream = seen.iter().find(|seen| seen.id == id).unwrap();
        let Some(Message::Whole(request)) = requests.get(at) else {
            panic!("forwarded what is no whole request: {}", context());
        };
        assert_eq!(upstream.target, request.path(), "target: {}", context());
        assert_eq!(upstream.method, request.method, "method: {}", context());
        assert_eq!(upstream.body, request.body, "body: {}", context());
        assert_eq!(upstream.complaint(token), None, "{}", context());
    }
    let forwarded = answered.len();
    Tally {
        forwarded,
        refused: answers.len() - forwarded,
        silent: usize::from(answers.is_empty()),
    }
}

/// Everything that comes back until the gateway ends the connection.
async fn converse(source: Ipv4Addr, gateway: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    let mut stream: TcpStream = socket.connect(gateway).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut text = Vec::new();
    // A gateway that refuses early may close before all is sent.
    let (_, _) = tokio::join!(writer.write_all(bytes), reader.read_to_end(&mut text));
    text
}
