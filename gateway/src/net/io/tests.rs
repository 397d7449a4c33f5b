use std::{future::poll_fn, pin::pin};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::{config::Limits, net::watch::Watches};

/// Two thirds of the time that a connection may be idle.
const A_WHILE: u64 = 40_000;

struct Rig {
    watches: Watches,
    watch: Rc<Watch>,
    io: ClientIo<TcpStream>,
    client: TcpStream,
}

async fn rig() -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    let watches = Watches::new(&Limits::default());
    let watch = watches.add();
    Rig {
        io: ClientIo::new(accepted.unwrap().0, Rc::clone(&watch)),
        watches,
        watch,
        client: client.unwrap(),
    }
}

impl Rig {
    /// Writes until that has to wait.
    async fn fill(&mut self) {
        let piece = vec![0; 64 * 1024];
        poll_fn(|cx| {
            while Pin::new(&mut self.io).poll_write(cx, &piece)?.is_ready() {}
            Poll::Ready(Ok::<_, io::Error>(()))
        })
        .await
        .unwrap();
    }

    /// Reads until there is room again, and lets a byte more be written.
    async fn read_some(&mut self) {
        let mut buffer = vec![0; 1024 * 1024];
        let mut read = pin!(async { while self.client.read(&mut buffer).await.unwrap() > 0 {} });
        poll_fn(|cx| {
            assert!(read.as_mut().poll(cx).is_pending());
            Pin::new(&mut self.io).poll_write(cx, b"b")
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn li_05_the_end_of_an_answer_has_the_time_that_its_reader_takes() {
    let mut rig = rig().await;
    rig.watch.enter(Phase::Idle);
    for _ in 0..5 {
        rig.fill().await;
        rig.watches.later(A_WHILE);
        rig.read_some().await;
    }
    assert!(!rig.watch.is_overdue());
    // One that stops is cut off all the same.
    rig.fill().await;
    rig.watches.later(A_WHILE);
    rig.fill().await;
    rig.watches.later(A_WHILE);
    assert!(rig.watch.is_overdue());
}

#[tokio::test]
async fn what_is_written_at_once_makes_no_idle_connection_busy() {
    let mut rig = rig().await;
    rig.watch.enter(Phase::Idle);
    rig.watches.later(A_WHILE);
    rig.io.write_all(b"PONG").await.unwrap();
    rig.watches.later(A_WHILE);
    assert!(rig.watch.is_overdue());
}

#[tokio::test]
async fn an_end_with_something_unwritten_is_no_orderly_end() {
    let mut rig = rig().await;
    rig.fill().await;
    drop(rig.io);
    assert!(rig.client.read_to_end(&mut Vec::new()).await.is_err());
}

#[tokio::test]
async fn a_connection_whose_last_head_came_in_pieces_is_idle_behind_it() {
    let mut rig = rig().await;
    for piece in [&b"GET / HTTP/1.1\r\n\r"[..], b"\n"] {
        rig.client.write_all(piece).await.unwrap();
        rig.io.read_exact(&mut vec![0; piece.len()]).await.unwrap();
    }
    let mut more = [0];
    for (sent, phase) in [(false, Phase::Idle), (true, Phase::Head)] {
        if sent {
            // Of the head behind it, which hyper has read with the request.
            rig.client.write_all(b"G").await.unwrap();
            rig.io.read_exact(&mut more).await.unwrap();
        }
        rig.watch.begin(false);
        rig.watch.enter(Phase::Idle);
        let mut reading = pin!(rig.io.read(&mut more));
        poll_fn(|cx| {
            assert!(reading.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(rig.watch.phase(), phase);
    }
}
