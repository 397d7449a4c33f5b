//! `cargo demo token`: a token for curl, out of the same build as the demo.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};

/// What is asked of the emulator. `entra-emulator token` can order more.
#[derive(Args, Debug)]
pub(crate) struct Token {
    /// Whose: alice, bob, … or a full user name.
    #[arg(long, default_value = "alice")]
    user: String,
    /// After a sign-in with a second factor.
    #[arg(long)]
    mfa: bool,
    /// Entra ID, as the demo that runs says where it is.
    #[arg(long, default_value = "http://127.0.0.1:9400")]
    url: String,
}

impl Token {
    pub(crate) async fn print(&self) -> anyhow::Result<()> {
        let url = self.url.trim_end_matches('/');
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        let request = client
            .post(format!("{url}/emulator/token"))
            .json(&json!({"user": self.user, "mfa": self.mfa}));
        let response = request.send().await.with_context(|| {
            format!("no demo answers at {url}: start it with `make demo`, or say where its Entra ID is with --url")
        })?;
        let status = response.status();
        let answer: Value = response.json().await.with_context(|| {
            format!("what answers at {url} is not the demo's Entra ID ({status})")
        })?;
        let Some(token) = answer["token"].as_str() else {
            let reason = answer["error"].as_str().unwrap_or("no reason given");
            bail!("Entra ID at {url} refuses ({status}): {reason}");
        };
        writeln!(std::io::stdout(), "{token}").context("standard output")
    }
}
