//! `demo-ui health`: asks one that runs, for containers without a shell or curl.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// Longer than any probe's own time-out would be of no use.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks `/healthz` of the one that listens at `listen`; one that listens on all addresses is asked on
/// loopback.
///
/// # Errors
///
/// Nothing listens there, or there is no answer within three seconds, or it is not 200.
pub(crate) async fn ask(listen: SocketAddr) -> anyhow::Result<()> {
    let mut address = listen;
    if listen.ip().is_unspecified() {
        address.set_ip(match listen {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()?;
    let answer = client.get(format!("http://{address}/healthz")).send().await;
    let status = answer
        .with_context(|| format!("{address} does not answer"))?
        .status();
    if status != reqwest::StatusCode::OK {
        bail!("{address} answers {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// One that gives one answer, under the address of one that listens on all.
    async fn one_that_answers(status: u16) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = (Ipv4Addr::UNSPECIFIED, port).into();
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        let app = axum::Router::new().route(
            "/healthz",
            axum::routing::get(move || async move { status }),
        );
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    #[tokio::test]
    async fn only_200_is_health() {
        ask(one_that_answers(200).await).await.unwrap();
        for status in [204, 404, 503] {
            let error = ask(one_that_answers(status).await).await.unwrap_err();
            assert!(error.to_string().contains(&status.to_string()), "{error}");
        }
    }

    #[tokio::test]
    async fn who_does_not_listen_or_says_nothing_is_not_healthy() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let said = format!("{address} does not answer");
        assert_eq!(ask(address).await.unwrap_err().to_string(), said);
        drop(silent);
        assert_eq!(ask(address).await.unwrap_err().to_string(), said);
    }
}
