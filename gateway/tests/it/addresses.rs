//! An upstream that several machines serve.

use std::net::SocketAddr;

use obo_gateway::Target;
use tokio::net::TcpSocket;

use crate::{
    rig::Rig,
    upstream::{Reply, Upstream, ok},
};

fn target(address: SocketAddr) -> Target {
    Target::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
    }
}

/// An address where nobody listens, nor anybody else may, for as long as the socket is there.
pub(crate) fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn rig(addresses: &[SocketAddr]) -> Rig {
    Rig::public_with(
        |_| ok(),
        |config| {
            for upstream in config.upstreams.values_mut() {
                upstream.addresses = addresses.iter().copied().map(target).collect();
            }
        },
    )
    .await
}

#[tokio::test]
async fn requests_take_turns_between_addresses_and_each_gets_the_upstreams_host() {
    let [one, two] = [
        Upstream::start(|_| ok()).await,
        Upstream::start(|_| ok()).await,
    ];
    let rig = rig(&[one.address, two.address]).await;
    let mut client = rig.client().await;
    for _ in 0..6 {
        assert_eq!(client.get("/x").await.status, 200);
    }
    let host = rig.upstream.address.to_string();
    for upstream in [&one, &two] {
        assert_eq!(upstream.seen().len(), 3);
        assert_eq!(upstream.connections(), 1);
        assert_eq!(upstream.seen()[0].all("host"), [host.as_str()]);
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_reached_costs_no_request_not_even_one_with_a_body() {
    let there = Upstream::start(|_| Reply::Close("HTTP/1.1 200 OK\r\n\r\n".to_owned())).await;
    let [(_first, first), (_last, last)] = [nobody(), nobody()];
    let rig = rig(&[first, there.address, last]).await;
    for _ in 0..6 {
        let mut client = rig.client().await;
        client
            .send("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 4\r\n\r\nbody")
            .await;
        assert!(client.until("\r\n\r\n").await.unwrap().contains(" 200 "));
    }
    assert_eq!(there.seen().len(), 6);
    assert!(there.seen().iter().all(|seen| seen.body == b"body"));
}

#[tokio::test]
async fn where_no_address_can_be_reached_all_are_asked_and_one_that_comes_back_serves_at_once() {
    let [(_never, never), (socket, late)] = [nobody(), nobody()];
    let rig = rig(&[never, late]).await;
    for _ in 0..3 {
        assert_eq!(rig.client().await.get("/x").await.status, 502);
    }
    let listener = socket.listen(16).unwrap();
    let serving = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let read = stream.read(&mut head).await.unwrap();
        assert!(read > 0);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        stream
    });
    assert_eq!(rig.client().await.get("/x").await.status, 200);
    drop(serving.await.unwrap());
}
