//! A token for curl, from a running emulator.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::Method;
use serde_json::json;

use super::client::Which;

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Token {
    /// Whose: alice, bob, … or a full user name
    #[arg(long, default_value = "alice")]
    user: String,
    /// Issued in this tenant instead of the user's own
    #[arg(long)]
    tenant: Option<String>,
    /// For this API, by client id or App ID URI, instead of the demo's or the only one
    #[arg(long, value_name = "ID_OR_URI")]
    api: Option<String>,
    /// Issued to this application instead of the first that needs the API
    #[arg(long, value_name = "ID", conflicts_with = "id_token")]
    client: Option<String>,
    /// With this scope instead of those that the client needs; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", conflicts_with_all = ["app_only", "id_token"])]
    scopes: Vec<String>,
    /// Take back all that the user has consented to, so that an exchange is refused
    #[arg(long, conflicts_with = "app_only")]
    no_consent: bool,
    /// Of an application for itself, not of a user
    #[arg(long)]
    app_only: bool,
    /// Expired ten minutes ago
    #[arg(long)]
    expired: bool,
    /// After a sign-in with a second factor
    #[arg(long)]
    mfa: bool,
    /// Version 1.0
    #[arg(long)]
    v1: bool,
    /// An ID token instead
    #[arg(long, conflicts_with = "app_only")]
    id_token: bool,
    /// For Azure Resource Manager, as the API gets it On-Behalf-Of
    #[arg(long, conflicts_with_all = ["app_only", "id_token"])]
    arm: bool,
    #[command(flatten)]
    which: Which,
}

impl Token {
    pub(super) async fn print(self) -> anyhow::Result<()> {
        let mut order = json!({
            "user": self.user,
            "consent": !self.no_consent,
            "app_only": self.app_only,
            "mfa": self.mfa,
            "v1": self.v1,
            "id_token": self.id_token,
            "arm": self.arm,
        });
        for (name, value) in [("api", self.api), ("client", self.client)] {
            if let Some(value) = value {
                order[name] = value.into();
            }
        }
        if !self.scopes.is_empty() {
            order["scopes"] = self.scopes.into();
        }
        if let Some(tenant) = self.tenant {
            order["tenant"] = tenant.into();
        }
        if self.expired {
            order["expires_in"] = (-600).into();
        }
        let answer = self.which.ask(Method::POST, "token", Some(&order)).await?;
        let Some(token) = answer["token"].as_str() else {
            bail!("the emulator's answer has no token");
        };
        writeln!(std::io::stdout(), "{token}").context("standard output")
    }
}
