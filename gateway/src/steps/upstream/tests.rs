//! What goes out twice, and what does not.

use std::time::Duration;

use http::HeaderValue;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
    time,
};

use super::*;
use crate::{
    config::{Limits, Upstream},
    message::{exchange::Client, upload::Upload},
    net::watch::Watches,
};

/// What the upstream does with a request of a connection that has had one before.
#[derive(Clone, Copy)]
enum Second {
    /// It has closed before the request comes, and the gateway has not seen it yet.
    HasClosed,
    Closes,
    BeginsAnAnswer,
    Answers,
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

/// Sends one request, lets its connection wait, sends `method` and says what came of it and how many
/// requests the upstream saw in all.
async fn after_a_wait(method: &str, second: Second, sweep: bool) -> (Option<u16>, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Rc::new(std::cell::Cell::new(0));
    let counting = Rc::clone(&seen);
    let to_close = Rc::new(std::cell::RefCell::new(Vec::new()));
    let closing = Rc::clone(&to_close);
    spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = true;
            while read_head(&mut stream).await.is_some() {
                counting.set(counting.get() + 1);
                match second {
                    Second::Closes if !first => break,
                    Second::BeginsAnAnswer if !first => {
                        stream.write_all(b"HTTP/1.1 2").await.unwrap();
                        break;
                    }
                    _ => stream.write_all(OK).await.unwrap(),
                }
                first = false;
                if matches!(second, Second::HasClosed) {
                    closing.borrow_mut().push(stream);
                    break;
                }
            }
        }
    });
    let watch = Watches::new(&Limits::default()).add();
    watch.begin(false);
    let backend = Backend::new(&Upstream::at(&url), &Limits::default()).unwrap();
    let request = |method: &str| {
        let mut request = Request::new(RequestBody::new(Upload::default(), Rc::clone(&watch)));
        *request.method_mut() = method.parse().unwrap();
        request
            .headers_mut()
            .insert("host", HeaderValue::from_static("x"));
        Some(request)
    };
    let client = Client::on_loopback();
    let hop = Hop::told(&client);
    let (response, place) = send(&backend, &mut request("GET"), hop).await.unwrap();
    drop(ResponseBody::upstream(
        response.into_body(),
        place,
        Rc::clone(&watch),
        trailers::Rules::new(Injected::of(&http::HeaderMap::new(), &[]), None),
        crate::message::body::TokenEnds::Nothing,
    ));
    // The upstream has its turn, and hands over what is to be closed.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    to_close.borrow_mut().clear();
    // The system has said that it is closed; the worker has not looked yet.
    tokio::task::yield_now().await;
    if sweep {
        backend.sweep(1, 60_000);
    }
    let sent = send(&backend, &mut request(method), hop).await;
    let status = sent.ok().map(|(response, _)| response.status().as_u16());
    (status, seen.get())
}

async fn run<F: Future>(test: F) -> F::Output {
    let limit = Duration::from_secs(20);
    let local = LocalSet::new();
    time::timeout(limit, local.run_until(test)).await.unwrap()
}

#[tokio::test]
async fn h1_15_a_request_is_sent_again_where_a_connection_that_waited_breaks_before_an_answer() {
    run(async {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            let outcome = after_a_wait(method, Second::Closes, true).await;
            assert_eq!(outcome, (Some(200), 3), "{method}");
        }
        assert_eq!(
            after_a_wait("GET", Second::Answers, true).await,
            (Some(200), 2)
        );
    })
    .await;
}

#[tokio::test]
async fn h1_15_post_and_patch_are_never_sent_twice() {
    run(async {
        for method in ["POST", "PATCH"] {
            let outcome = after_a_wait(method, Second::Closes, true).await;
            assert_eq!(outcome, (None, 2), "{method}");
        }
    })
    .await;
}

#[tokio::test]
async fn h1_15_nothing_is_sent_again_once_an_answer_has_begun() {
    run(async {
        let outcome = after_a_wait("GET", Second::BeginsAnAnswer, true).await;
        assert_eq!(outcome, (None, 2));
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_was_in_use_a_moment_ago_is_no_reason_to_send_twice() {
    run(async {
        let outcome = after_a_wait("GET", Second::Closes, false).await;
        assert_eq!(outcome, (None, 2));
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_has_been_closed_meanwhile_costs_no_request_of_any_method() {
    run(async {
        for method in ["GET", "POST", "PATCH"] {
            let outcome = after_a_wait(method, Second::HasClosed, false).await;
            assert_eq!(outcome, (Some(200), 2), "{method}");
        }
    })
    .await;
}
