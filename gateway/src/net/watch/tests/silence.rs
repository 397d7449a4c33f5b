//! Silence is no fault of whoever has spoken and was not heard.

use std::{io::Write as _, net::TcpListener, pin::pin, thread};

use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    sync::mpsc,
    task::{self, LocalSet},
};

use super::*;

/// A body may stand still for so long.
const LIMIT: Duration = Duration::from_millis(100);

fn short() -> Watches {
    Watches::new(&Limits {
        idle_timeout: LIMIT,
        ..Limits::default()
    })
}

fn has_turn(watch: &Watch) -> Orders {
    watch.poll_orders(&Context::from_waker(Waker::noop()))
}

#[test]
fn a_body_that_is_asked_for_late_has_all_of_its_time_from_then_on() {
    let watches = watches();
    let watch = watches.add();
    watch.begin(true);
    watch.enter(Phase::Awaiting);
    // The upstream was connected to, or did not read.
    watches.later(59_000);
    watch.set_uploading(true);
    watches.later(60_500);
    assert_eq!(watch.late.get(), None);
    // That it is still waited for changes nothing.
    watch.set_uploading(true);
    watches.later(1);
    assert_eq!(watch.late.get(), Some(Late::Client));
}

#[test]
fn who_seems_silent_is_judged_after_some_turns_of_its_own_and_not_where_it_had_none() {
    let watches = watches();
    let watch = watches.add();
    watch.begin(true);
    watch.enter(Phase::Streaming);
    watches.sweep_at(1_000_000);
    watches.sweep_at(2_000_000);
    for _ in 0..100 {
        watches.ask_doubted();
        watches.sweep_at(watches.now() + 500);
    }
    assert!(!watch.overdue.get(), "it had no turn");

    let mut turns = 0;
    while !has_turn(&watch).close {
        turns += 1;
        // A second turn of the same round says no more.
        has_turn(&watch);
        watches.ask_doubted();
        assert!(turns < 100);
    }
    assert_eq!(turns, 4);
    assert_eq!(watches.doubted.borrow().len(), 0);
}

#[test]
fn whatever_moves_ends_the_doubt_and_a_verdict_that_nobody_has_heard() {
    let watches = watches();
    let watch = watches.add();
    watch.begin(true);
    watch.enter(Phase::Awaiting);
    watch.set_uploading(true);
    watches.sweep_at(1_000_000);
    watches.sweep_at(2_000_000);
    for _ in 0..3 {
        has_turn(&watch);
        watches.ask_doubted();
    }
    watch.moved(1);
    has_turn(&watch);
    watches.ask_doubted();
    assert_eq!(watch.late.get(), None, "doubted");
    assert_eq!(watches.doubted.borrow().len(), 0);

    sweep_at(&watches, 2_060_501);
    sweep_at(&watches, 2_061_000);
    assert_eq!(watch.late.get(), Some(Late::Client));
    watch.moved(1);
    assert_eq!(watch.late.get(), None, "judged");

    // But not another one.
    watch.is_late(Late::Total);
    watch.moved(1);
    assert_eq!(watch.late.get(), Some(Late::Total));
}

/// One that goes as a body does: who reads the socket hands it on to who waits for it.
async fn body(mut socket: TcpStream, watch: Rc<Watch>) -> Result<Vec<u8>, Late> {
    let (pieces, mut body) = mpsc::unbounded_channel();
    task::spawn_local(async move {
        let mut piece = vec![0; 100];
        while let Ok(length @ 1..) = socket.read(&mut piece).await {
            let _ = pieces.send(piece[..length].to_vec());
        }
    });
    let of_body = pin!(async {
        let mut whole = Vec::new();
        loop {
            let piece = {
                let mut receive = pin!(body.recv());
                poll_fn(|cx| {
                    let polled = receive.as_mut().poll(cx);
                    watch.set_uploading(polled.is_pending());
                    polled
                })
                .await
            };
            let Some(piece) = piece else {
                return whole;
            };
            watch.moved(piece.len());
            whole.extend(piece);
        }
    });
    let mut answer = pin!(watch.await_answer(of_body));
    poll_fn(|cx| {
        watch.poll_orders(cx);
        answer.as_mut().poll(cx)
    })
    .await
}

/// What becomes of a body whose rest was sent, or was not, while the thread stood still twice for longer than it
/// may stand still.
async fn stood_still(rest: &[u8]) -> Result<Vec<u8>, Late> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let watches = short();
    let watch = watches.add();
    watch.begin(true);
    LocalSet::new()
        .run_until(async {
            let socket = TcpStream::from_std(socket).unwrap();
            let upload = task::spawn_local(body(socket, Rc::clone(&watch)));
            while !watch.uploading.get() {
                task::yield_now().await;
            }
            // So that the clock has moved when the first bytes do.
            thread::sleep(Duration::from_millis(5));
            watches.sweep();
            client.write_all(b"first").unwrap();
            while watch.since.get() == 0 || !watch.uploading.get() {
                task::yield_now().await;
            }
            client.write_all(rest).unwrap();
            for _ in 0..2 {
                thread::sleep(LIMIT * 2);
                watches.sweep();
            }
            if !rest.is_empty() {
                drop(client);
            }
            watches.look().await;
            upload.await.unwrap()
        })
        .await
}

#[tokio::test]
async fn bytes_that_lie_in_the_socket_while_the_thread_stands_still_are_no_silence() {
    assert_eq!(stood_still(b" rest").await, Ok(b"first rest".to_vec()));
    assert_eq!(stood_still(b"").await, Err(Late::Client));
}
