//! What comes of answers: as they are, cut anywhere, changed anywhere, and beside what hyper makes of them.

use std::{fmt::Write as _, future::poll_fn, net::Shutdown, rc::Rc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Frame, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    runtime::Builder,
    task::{LocalSet, spawn_local, yield_now},
    time,
};

use super::*;
use crate::{
    config::Limits,
    message::{body::RequestBody, exchange::Client, hop::Hop, upload::Upload},
    net::{
        connector::Transport,
        line::{Line, UpstreamIo},
        socket::Socket,
        watch::Watches,
    },
};

/// An answer as somebody reads it.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

impl Answer {
    fn new(status: u16, headers: HeaderMap) -> Self {
        Self {
            status,
            headers,
            body: Vec::new(),
            trailers: HeaderMap::new(),
        }
    }

    fn add(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => self.body.extend_from_slice(&data),
            Err(frame) => self.trailers = frame.into_trailers().unwrap(),
        }
    }
}

/// Reads a request's head, answers in parts of these lengths, and closes.
async fn upstream(mut socket: UnixStream, answer: Vec<u8>, lengths: Vec<usize>) {
    read_head(&mut socket).await;
    let mut rest = &*answer;
    for length in lengths.iter().cycle() {
        let (part, behind) = rest.split_at((*length).min(rest.len()));
        if socket.write_all(part).await.is_err() || behind.is_empty() {
            return;
        }
        rest = behind;
        yield_now().await;
    }
}

async fn read_head(socket: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn pair() -> (Lease, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    let line = Line::alone();
    let io = UpstreamIo::new(Socket::Unix(near), Rc::clone(&line));
    (Lease::new(Transport::Plain(io), line), far)
}

fn request(method: &Method, length: usize) -> Option<Request<RequestBody>> {
    let watch = Watches::new(&Limits::default()).add();
    let upload = Upload::Whole(vec![b'x'; length].into());
    let request = Request::builder().method(method).uri("/x");
    Some(request.body(RequestBody::new(upload, watch)).unwrap())
}

async fn send(
    lease: &mut Lease,
    request: &mut Option<Request<RequestBody>>,
) -> Result<Response<AnswerBody>, Error> {
    let client = Client::on_loopback();
    let hop = Hop::told(&client);
    lease.send(request, hop).await
}

/// What is left of the answer to be read.
async fn read(lease: &Lease, response: Response<AnswerBody>) -> Result<Answer, Error> {
    let (head, mut body) = response.into_parts();
    let mut answer = Answer::new(head.status.as_u16(), head.headers);
    while let Some(frame) = poll_fn(|cx| lease.poll_frame(&mut body, cx)).await {
        answer.add(frame?);
    }
    assert!(body.is_end_stream());
    Ok(answer)
}

async fn ours(method: &Method, answer: &[u8], lengths: &[usize]) -> Result<Answer, Error> {
    let (mut lease, far) = pair();
    spawn_local(upstream(far, answer.to_vec(), lengths.to_vec()));
    let response = send(&mut lease, &mut request(method, 0)).await?;
    read(&lease, response).await
}

async fn hypers(method: &Method, answer: &[u8]) -> Result<Answer, hyper::Error> {
    let (near, far) = UnixStream::pair().unwrap();
    spawn_local(upstream(far, answer.to_vec(), vec![answer.len().max(1)]));
    let (mut sender, connection) = handshake(TokioIo::new(near)).await?;
    spawn_local(connection);
    let request = Request::builder().method(method).uri("/x");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let (head, mut body) = sender.send_request(request).await?.into_parts();
    let mut answer = Answer::new(head.status.as_u16(), head.headers);
    while let Some(frame) = body.frame().await {
        answer.add(frame?);
    }
    Ok(answer)
}

/// Runs it on a worker of its own.
fn run<F: Future>(test: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limit = std::time::Duration::from_secs(20);
        let limited = time::timeout(limit, test);
        LocalSet::new().run_until(limited).await.unwrap()
    })
}

/// An answer as an upstream may give it.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let interim = prop::sample::select(vec!["", "HTTP/1.1 100 Continue\r\n\r\n"]);
    let status = prop::sample::select(vec![200, 204, 206, 304, 404, 503, 999]);
    let field = ("[a-zA-Z-]{1,9}", "[ -~]{0,12}");
    let fields = prop::collection::vec(field, 0..5);
    let data = prop::collection::vec(any::<u8>(), 0..200);
    let framing = prop::sample::select(vec!["length", "chunked", "close"]);
    let ends = prop::sample::select(vec!["", "Connection: close\r\n"]);
    (interim, status, fields, data, framing, ends).prop_map(
        |(interim, status, fields, data, framing, ends)| {
            let mut text = format!("{interim}HTTP/1.1 {status} Reason\r\n{ends}");
            for (name, value) in fields {
                write!(text, "x-{name}: {value}\r\n").unwrap();
            }
            let mut bytes;
            match framing {
                "length" => {
                    write!(text, "content-length: {}\r\n\r\n", data.len()).unwrap();
                    bytes = text.into_bytes();
                    bytes.extend(data);
                }
                "chunked" => {
                    text.push_str("Transfer-Encoding: chunked\r\n\r\n");
                    bytes = text.into_bytes();
                    for chunk in data.chunks(60) {
                        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                        bytes.extend(chunk);
                        bytes.extend(b"\r\n");
                    }
                    bytes.extend(b"0\r\nx-sum: 7\r\n\r\n");
                }
                _ => {
                    text.push_str("\r\n");
                    bytes = text.into_bytes();
                    bytes.extend(data);
                }
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn an_answer_is_what_hyper_takes_it_for_however_it_comes(
        answer in answers(),
        lengths in prop::collection::vec(1_usize..90, 1..9),
        head in any::<bool>(),
    ) {
        let method = if head { Method::HEAD } else { Method::GET };
        run(async {
            let ours = ours(&method, &answer, &lengths).await.map_err(|error| error.to_string());
            let theirs = hypers(&method, &answer).await.map_err(|error| error.to_string());
            prop_assert!(ours.is_ok(), "{:?}", ours);
            prop_assert_eq!(ours, theirs);
            Ok(())
        })?;
    }

    /// We may refuse more, and never read anything in another way.
    #[test]
    fn h1_14_what_is_no_answer_to_hyper_is_none_to_us(
        mut answer in answers(),
        place in any::<prop::sample::Index>(),
        changed in prop::sample::select(b"\r\n\0 :,;0123456789abfx\xff".to_vec()),
        kind in 0..4,
        lengths in prop::collection::vec(1_usize..90, 1..9),
    ) {
        let place = place.index(answer.len());
        match kind {
            0 => answer[place] = changed,
            1 => answer.insert(place, changed),
            2 => drop(answer.remove(place)),
            _ => answer.truncate(place),
        }
        run(async {
            let Ok(ours) = ours(&Method::GET, &answer, &lengths).await else {
                return Ok(());
            };
            let theirs = hypers(&Method::GET, &answer).await.map_err(|error| error.to_string());
            prop_assert_eq!(Ok(ours), theirs);
            Ok(())
        })?;
    }
}

#[test]
fn a_connection_has_another_answer_only_behind_one_that_ended_as_it_said() {
    const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const CHUNKS: &str =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for (answer, reusable) in [
        (LENGTH.to_owned(), true),
        (CHUNKS.to_owned(), true),
        (CHUNKS.replace("0\r\n\r\n", "0\r\nx: y\r\n\r\n"), true),
        (format!("HTTP/1.1 103 X\r\n\r\n{LENGTH}"), true),
        (LENGTH.to_owned() + "x", false),
        (CHUNKS.to_owned() + "HTTP/1.1 200 OK\r\n", false),
        (
            LENGTH.replace("OK\r\n", "OK\r\nconnection: close\r\n"),
            false,
        ),
        (LENGTH.replace("HTTP/1.1", "HTTP/1.0"), false),
    ] {
        run(async {
            let (mut lease, mut far) = pair();
            let sent = answer.clone();
            let serving = spawn_local(async move {
                for _ in 0..2 {
                    read_head(&mut far).await;
                    far.write_all(sent.as_bytes()).await.unwrap();
                }
            });
            let mut first = request(&Method::GET, 0);
            let response = send(&mut lease, &mut first).await.unwrap();
            assert_eq!(read(&lease, response).await.unwrap().body, b"ok");
            let is_reusable = lease.is_reusable();
            assert_eq!(is_reusable, reusable, "{answer:?}");
            if reusable {
                assert!(lease.is_open());
                let response = send(&mut lease, &mut request(&Method::GET, 0))
                    .await
                    .unwrap();
                assert_eq!(read(&lease, response).await.unwrap().body, b"ok");
                serving.await.unwrap();
                assert!(!lease.is_open(), "its other end is gone");
            }
        });
    }
}

#[test]
fn h1_15_a_request_stays_where_it_is_as_long_as_nothing_of_it_was_written() {
    for early in ["", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"] {
        run(async {
            let (mut lease, mut far) = pair();
            far.write_all(early.as_bytes()).await.unwrap();
            drop(far);
            yield_now().await;
            let mut unsent = request(&Method::POST, 5);
            let sent = send(&mut lease, &mut unsent).await;
            assert!(matches!(sent, Err(Error::Closed)), "{sent:?}");
            assert!(unsent.is_some());
        });
    }
}

/// A task may do so much before it has to let others go on; what it asks then is not answered.
#[test]
fn h1_15_all_that_were_closed_are_seen_to_be_however_many_they_are() {
    run(async {
        let (leases, others): (Vec<_>, Vec<_>) = (0..300).map(|_| pair()).unzip();
        assert!(leases.iter().all(Lease::is_open));
        drop(others);
        time::sleep(time::Duration::from_millis(1)).await;
        assert_eq!(leases.iter().filter(|lease| lease.is_open()).count(), 0);
    });
}

#[test]
fn a_body_that_broke_stays_broken() {
    for broken in ["3\r\nabcX\r\n0\r\n\r\n", "0\r\nx y: z\r\n\r\n"] {
        run(async {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let answer = format!("{head}{broken}");
            let (mut lease, mut far) = pair();
            spawn_local(async move {
                read_head(&mut far).await;
                far.write_all(answer.as_bytes()).await.unwrap();
                std::future::pending::<()>().await;
            });
            let response = send(&mut lease, &mut request(&Method::GET, 0))
                .await
                .unwrap();
            let mut body = response.into_body();
            let mut next = async || poll_fn(|cx| lease.poll_frame(&mut body, cx)).await;
            while next().await.unwrap().is_ok() {}
            assert!(next().await.unwrap().is_err(), "{broken:?}");
            assert!(!body.is_end_stream(), "{broken:?}");
            assert!(!lease.is_reusable(), "{broken:?}");
        });
    }
}

#[test]
fn an_upstream_that_reads_no_further_is_heard_all_the_same() {
    run(async {
        let (mut lease, mut far) = pair();
        let length = 8 * 1024 * 1024;
        let serving = spawn_local(async move {
            let head = read_head(&mut far).await;
            assert!(
                head.contains(&format!("content-length: {length}\r\n")),
                "{head}"
            );
            let far = far.into_std().unwrap();
            far.shutdown(Shutdown::Read).unwrap();
            let mut far = UnixStream::from_std(far).unwrap();
            // What makes room, so that writing is tried again.
            far.read_to_end(&mut Vec::new()).await.unwrap();
            for _ in 0..5 {
                yield_now().await;
            }
            let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno";
            far.write_all(answer).await.unwrap();
            far
        });
        let response = send(&mut lease, &mut request(&Method::POST, length)).await;
        let answer = read(&lease, response.unwrap()).await.unwrap();
        assert_eq!((answer.status, &*answer.body), (413, &b"no"[..]));
        assert!(!lease.is_reusable());
        drop(serving.await.unwrap());
    });
}

#[test]
fn a_body_whose_length_is_another_than_was_said_is_not_sent() {
    run(async {
        let (mut lease, mut far) = pair();
        let mut post = request(&Method::POST, 5);
        let headers = post.as_mut().unwrap().headers_mut();
        headers.insert("content-length", "4".parse().unwrap());
        let sent = send(&mut lease, &mut post).await;
        assert!(matches!(sent, Err(Error::Length)), "{sent:?}");
        drop(lease);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        assert!(bytes.is_empty());
    });
}

#[test]
fn a_body_goes_out_as_its_head_says() {
    for (field, wanted) in [
        ("content-length", "content-length: 5\r\n\r\nxxxxx"),
        (
            "transfer-encoding",
            "transfer-encoding: chunked\r\n\r\n5\r\nxxxxx\r\n0\r\n\r\n",
        ),
    ] {
        let (first, last) = (Hop::FIRST, Hop::LAST);
        let wanted = format!("POST /x HTTP/1.1\r\n{first}{last}{wanted}");
        run(async {
            let (mut lease, mut far) = pair();
            let length = wanted.len();
            let value = if field == "content-length" {
                "5"
            } else {
                "chunked"
            };
            let mut post = request(&Method::POST, 5);
            let headers = post.as_mut().unwrap().headers_mut();
            headers.insert(field, value.parse().unwrap());
            let serving = spawn_local(async move {
                let mut bytes = vec![0; length];
                far.read_exact(&mut bytes).await.unwrap();
                let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                far.write_all(answer).await.unwrap();
                String::from_utf8(bytes).unwrap()
            });
            let response = send(&mut lease, &mut post).await.unwrap();
            assert_eq!(response.status(), 204);
            assert!(lease.is_reusable());
            let seen = serving.await.unwrap();
            assert_eq!(seen, wanted);
        });
    }
}
