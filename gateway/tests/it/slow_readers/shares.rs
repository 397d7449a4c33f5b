//! What one client address, or many, may hold of what all share.

use super::*;

/// Answers that are too long to be kept for whoever does not read them.
fn long(_: &Seen) -> Reply {
    document(5 * 1024)
}

/// Whether the answer has that status, which the static table of HPACK has; any other is a 503.
fn is_one_of(head: &Frame, status: u16) -> bool {
    // 503 has a place in the dynamic table once it has been said.
    matches!(head.payload[0], 0x88..=0x8e) && frames::status(head) == status
}

/// Asks for eight answers on two connections, and reads none of them; how many began.
async fn unread(rig: &Rig) -> (usize, [Client; 2]) {
    let mut clients = [stranger(rig).await, stranger(rig).await];
    let mut served = 0;
    for client in &mut clients {
        client.send(hello_with_window(0)).await;
        for stream in (1..8).step_by(2) {
            client.send(frames::get(stream, "/x")).await;
            served += usize::from(is_one_of(&head_of(client, stream).await, 200));
        }
    }
    (served, clients)
}

#[tokio::test]
async fn h2_12_li_05_one_address_that_reads_nothing_has_no_more_than_its_share() {
    let rig = Rig::public_with(long, |config| config.limits.requests = 8).await;
    let (served, clients) = unread(&rig).await;
    assert_eq!(served, 4, "half of all, where nobody says more");
    assert_eq!(rig.client().await.get("/x").await.status, 200);
    drop(clients);
    in_time(async {
        while stranger(&rig).await.get("/x").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    // Never more than twice as many as are free, unless it may have all.
    for (most, wanted) in [(5, 5), (7, 6), (8, 8)] {
        let own = |config: &mut Config| {
            config.limits.requests = 8;
            config.limits.requests_per_client = Some(most);
        };
        let rig = Rig::public_with(long, own).await;
        let (served, _clients) = unread(&rig).await;
        assert_eq!(served, wanted);
        let status = rig.client().await.get("/x").await.status;
        assert_eq!(status, if most == 8 { 503 } else { 200 });
    }
}

/// A connection of that one of many addresses, which asks for sixteen answers and reads none of them.
async fn greedy(rig: &Rig, number: u8) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    let own = std::net::Ipv4Addr::new(127, 0, 0, number);
    socket.bind((own, 0).into()).unwrap();
    let connecting = socket.connect(rig.gateway.local_addr());
    let mut client = Client::over(in_time(connecting).await.unwrap());
    client.send(hello_with_window(0)).await;
    asks(&mut client, 1).await;
    client
}

async fn asks(client: &mut Client, first: u32) {
    for stream in (first..first + 32).step_by(2) {
        client.send(frames::get(stream, "/x")).await;
    }
    answer_to(client, first + 30).await;
}

#[tokio::test]
async fn li_05_many_addresses_that_read_nothing_hold_all_places_for_a_moment_and_not_again() {
    let limits = |config: &mut Config| {
        config.limits.requests = 16;
        // A sixth of it is the patience that is left.
        config.limits.idle_timeout = Duration::from_secs(30);
        // The refusals that nobody reads stay for longer than that. With them nothing counts as free, however much
        // later than the first the last of the crowd has come: its patience ends as well.
        config.limits.head_timeout = Duration::from_secs(8);
    };
    let rig = Rig::public_with(long, limits).await;
    let mut crowd = Vec::new();
    for number in 2..7 {
        crowd.push(greedy(&rig, number).await);
    }
    let mut good = rig.client().await;
    assert_eq!(good.get("/x").await.status, 503, "they have all");
    let begun = time::Instant::now();
    in_time(async {
        while good.get("/x").await.status != 200 {
            time::sleep(SHORT / 4).await;
        }
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "they were waited for"
    );
    for client in &mut crowd {
        let end = end_of(client, 1).await;
        assert_eq!((end.kind, end.code()), (RST_STREAM, Some(CANCEL)));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "not all patience ended"
    );
    // The refusals have gone as well, and what the crowd may have now does not depend on them.
    time::sleep_until(begun + Duration::from_secs(10)).await;
    for client in &mut crowd {
        asks(client, 33).await;
        assert_eq!(good.get("/x").await.status, 200);
    }
}

/// Whoever reads slowly, but does, or has no more than others leave it, is not sent away.
#[tokio::test]
async fn li_05_a_slow_reader_keeps_its_place_while_there_are_others() {
    let limits = |config: &mut Config| {
        config.limits.requests = 8;
        config.limits.head_timeout = Duration::from_secs(2);
        config.limits.idle_timeout = Duration::from_secs(18);
    };
    let rig = Rig::public_with(long, limits).await;
    let mut slow = stranger(&rig).await;
    slow.send(hello_with_window(0)).await;
    slow.send(frames::get(1, "/x")).await;
    head_of(&mut slow, 1).await;
    time::sleep(Duration::from_secs(4)).await;
    slow.send(frame(WINDOW_UPDATE, 0, 1, &[0, 1, 0, 0])).await;
    assert_eq!(end_of(&mut slow, 1).await.kind, DATA);
}

/// They cost memory each, also where nobody else has to wait for them.
#[tokio::test]
async fn h2_12_answers_that_are_over_and_not_read_count_for_their_address() {
    let rig = Rig::public_with(|_| ok(), |config| config.limits.requests = 8).await;
    let mut greedy = stranger(&rig).await;
    greedy.send(hello_with_window(0)).await;
    for stream in (1..=11).step_by(2) {
        greedy.send(frames::get(stream, "/.")).await;
        let answered = is_one_of(&head_of(&mut greedy, stream).await, 400);
        assert_eq!(answered, stream <= 7, "{stream}");
    }
    assert_eq!(rig.client().await.get("/x").await.status, 200);
    // What is read makes room.
    let window = |stream: u32| frame(WINDOW_UPDATE, 0, stream, &[0, 1, 0, 0]);
    greedy.send([1, 3, 5].map(window).concat()).await;
    for stream in [1, 3, 5] {
        assert_eq!(end_of(&mut greedy, stream).await.kind, DATA);
    }
    greedy.send(frames::get(13, "/.")).await;
    assert!(is_one_of(&head_of(&mut greedy, 13).await, 400));
    // Refusals that are not read either are not made without end.
    let mut reset = 0;
    for stream in (15..400).step_by(2) {
        greedy.send(frames::get(stream, "/.")).await;
        reset += usize::from(answer_to(&mut greedy, stream).await.kind == RST_STREAM);
    }
    assert!(reset > 150, "{reset}");
    assert_eq!(rig.client().await.get("/x").await.status, 200);
    // They were not taken back by the client, which may go on once it has read.
    let unread: Vec<_> = (7..100).step_by(2).map(window).collect();
    greedy.send(unread.concat()).await;
    let mut stream = 401;
    in_time(async {
        loop {
            greedy
                .send([frames::get(stream, "/."), window(stream)].concat())
                .await;
            let end = end_of(&mut greedy, stream).await;
            if end.kind == DATA && String::from_utf8_lossy(&end.payload).contains("bad-request") {
                break;
            }
            stream += 2;
        }
    })
    .await;
}

#[tokio::test]
async fn li_05_one_address_that_sends_slowly_has_no_more_than_its_share() {
    let rig = Rig::public_with(|_| ok(), |config| config.limits.requests = 8).await;
    let mut clients = Vec::new();
    for number in 0..8 {
        let mut client = stranger(&rig).await;
        let head = "POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 9\r\n\r\n";
        client.send(format!("{head}x")).await;
        if number < 4 {
            in_time(async {
                while rig.upstream.connections() <= number {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        } else {
            let answer = client.answer().await.unwrap();
            assert_eq!(answer.status, 503);
            assert_eq!(answer.all("retry-after"), ["1"]);
        }
        clients.push(client);
    }
    assert_eq!(rig.client().await.get("/x").await.status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_stands_for_many_and_has_no_share() {
    let proxy = |config: &mut Config| {
        config.limits.requests = 8;
        config.trusted_proxies = vec!["127.0.0.2".parse().unwrap()];
    };
    let rig = Rig::public_with(long, proxy).await;
    assert_eq!(unread(&rig).await.0, 8);
}
