//! The layer behind a plain hyper server on loopback.

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::Layer;
use tower_obo::OboLayer;

use crate::fixture::{Upstream, World, policy};

/// Serves until the test ends. The URL.
pub(crate) async fn serve(layer: OboLayer, upstream: Upstream) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let service = layer.layer(upstream);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                // How a connection ends is the client's affair.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    url
}

/// What a server answers to these bytes, on a connection of their own.
async fn exchange(url: &str, request: &str) -> String {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn on_the_wire_the_same_requests_are_refused() {
    let world = World::start().await;
    let token = world.entra.user_token("alice");
    let url = serve(world.core.layer(policy()).unwrap(), world.upstream.clone()).await;
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let padded = format!("Authorization: \t Bearer {token} \t \r\n");
    for (case, lines, status) in [
        ("BE-01", String::new(), 401),
        ("BE-03", bearer.replace("Bearer", "bEARER"), 200),
        ("BE-04", format!("{bearer}{bearer}"), 400),
        (
            "BE-04",
            format!("{bearer}authorization: Basic eDp5\r\n"),
            400,
        ),
        ("BE-04", format!("AUTHORIZATION:\r\n{bearer}"), 400),
        ("BE-06", "Authorization:\r\n".to_owned(), 400),
        ("BE-06", "Authorization:  \t \r\n".to_owned(), 400),
        ("BE-06", "Authorization: Bearer \r\n".to_owned(), 400),
        ("BE-07", bearer.replace("Bearer ", "Bearer\t"), 400),
        ("white space around the value", padded, 200),
        ("BE-10", "Authorization: Bearer \u{e4}\r\n".to_owned(), 400),
    ] {
        let (calls, asked) = (world.upstream.calls(), world.exchanges_asked());
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n");
        let answer = exchange(&url, &request).await;
        let line = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&line), "{case} {lines:?}: {answer}");
        if status == 200 {
            assert_eq!(world.upstream.calls(), calls + 1, "{case}");
        } else {
            let after = (world.upstream.calls(), world.exchanges_asked());
            assert_eq!(after, (calls, asked), "{case}");
            assert!(answer.contains("\r\nwww-authenticate: Bearer "), "{answer}");
        }
    }
}
