//! `entra-emulator health`: asks one that runs, for containers without a shell or curl.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

/// Longer than any probe's own time-out would be of no use.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Args, Debug)]
pub(super) struct Health {
    /// Where Entra ID listens; all addresses are asked on loopback
    #[arg(long, env = "ENTRA_EMULATOR_LISTEN", default_value = "127.0.0.1:9400")]
    listen: SocketAddr,
}

impl Health {
    /// Asks for the home page.
    pub(super) async fn ask(self) -> anyhow::Result<()> {
        let mut address = self.listen;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()?;
        let answer = client.get(format!("http://{address}/")).send().await;
        let status = answer
            .with_context(|| format!("no emulator answers at {address}"))?
            .status();
        if status != reqwest::StatusCode::OK {
            bail!("what answers at {address} has no home page ({status})");
        }
        Ok(())
    }
}
