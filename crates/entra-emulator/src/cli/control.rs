//! What goes wrong, and what users may, by the command line.

use std::io::Write as _;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::Which;

/// Commands to a running emulator: what its home page has buttons for.
#[derive(Debug, Subcommand)]
pub(super) enum Control {
    /// List the users, or change one
    User(User),
    /// A new key signs from now on; the old ones stay published
    RotateKeys(Plain),
    /// What happens to the next requests of an endpoint
    Fail(Fail),
    /// Nothing goes wrong any more
    ClearFaults(Plain),
    /// The last token requests: what was checked, and why they were refused
    Requests(Plain),
}

#[derive(Args, Debug)]
pub(super) struct Plain {
    #[command(flatten)]
    which: Which,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct User {
    /// alice, bob, … or a full user name; all of them where there is none
    name: Option<String>,
    /// Disable the account (AADSTS50057)
    #[arg(long, requires = "name", conflicts_with = "enable")]
    disable: bool,
    /// Enable it again
    #[arg(long, requires = "name")]
    enable: bool,
    /// Whether a second factor is needed
    #[arg(long, requires = "name", value_enum)]
    mfa: Option<Mfa>,
    /// End all sessions: tokens from before are refused (AADSTS50173)
    #[arg(long, requires = "name")]
    revoke: bool,
    /// Consent as a sign-in to the demo web app would record it
    #[arg(long, requires = "name", conflicts_with = "withdraw_consent")]
    consent: bool,
    /// Take back what the user consented to (AADSTS65001)
    #[arg(long, requires = "name")]
    withdraw_consent: bool,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mfa {
    NotRequired,
    Required,
    NotEnrolled,
}

#[derive(Args, Debug)]
pub(super) struct Fail {
    /// authorize, discovery, keys, token, logout, instance, arm or graph
    endpoint: String,
    /// Answer with this status
    #[arg(long, group = "what")]
    status: Option<u16>,
    /// Retry-After of that answer, in seconds
    #[arg(long, requires = "status")]
    retry_after: Option<u32>,
    /// Answer late, by so many seconds
    #[arg(long, group = "what", value_name = "SECONDS")]
    slow: Option<f64>,
    /// Never answer
    #[arg(long, group = "what")]
    hang: bool,
    /// Break the connection off
    #[arg(long, group = "what")]
    reset: bool,
    /// How many requests
    #[arg(long, default_value_t = 1)]
    times: usize,
    #[command(flatten)]
    which: Which,
}

impl Control {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::User(user) => user.run().await,
            Self::RotateKeys(Plain { which }) => {
                let answer = which.ask(Method::POST, "keys/rotate", None).await?;
                say(&format!(
                    "{} signs now",
                    answer["kid"].as_str().unwrap_or_default()
                ))
            }
            Self::Fail(fail) => fail.run().await,
            Self::ClearFaults(Plain { which }) => {
                which.ask(Method::DELETE, "faults", None).await?;
                say("nothing goes wrong any more")
            }
            Self::Requests(Plain { which }) => {
                let decisions = which.ask(Method::GET, "token-requests", None).await?;
                for decision in decisions.as_array().into_iter().flatten() {
                    say(&opened(decision))?;
                }
                Ok(())
            }
        }
    }
}

impl User {
    async fn run(self) -> anyhow::Result<()> {
        let Some(name) = &self.name else {
            let users = self.which.ask(Method::GET, "users", None).await?;
            for user in users.as_array().into_iter().flatten() {
                say(&line(user))?;
            }
            return Ok(());
        };
        let mut change = Map::new();
        if self.disable || self.enable {
            change.insert("disabled".to_owned(), self.disable.into());
        }
        if let Some(mfa) = self.mfa {
            let word = match mfa {
                Mfa::NotRequired => "not_required",
                Mfa::Required => "required",
                Mfa::NotEnrolled => "not_enrolled",
            };
            change.insert("mfa".to_owned(), word.into());
        }
        if self.revoke {
            change.insert("revoke_sessions".to_owned(), true.into());
        }
        let path = format!("users/{name}");
        if self.consent || self.withdraw_consent {
            let method = if self.consent {
                Method::POST
            } else {
                Method::DELETE
            };
            self.which
                .ask(method, &format!("{path}/consent"), None)
                .await?;
        }
        let user = if change.is_empty() {
            self.which.ask(Method::GET, &path, None).await?
        } else {
            let change = Value::Object(change);
            self.which.ask(Method::PATCH, &path, Some(&change)).await?
        };
        say(&line(&user))
    }
}

impl Fail {
    async fn run(self) -> anyhow::Result<()> {
        let mut order = match (self.slow, self.hang, self.reset) {
            (Some(seconds), _, _) => json!({"kind": "slow", "after": seconds}),
            (None, true, _) => json!({"kind": "hang"}),
            (None, false, true) => json!({"kind": "reset"}),
            (None, false, false) => json!({"status": self.status.unwrap_or(503)}),
        };
        if let Some(seconds) = self.retry_after {
            order["headers"] = json!({"retry-after": seconds});
        }
        order["times"] = self.times.into();
        let path = format!("endpoints/{}/faults", self.endpoint);
        self.which.ask(Method::POST, &path, Some(&order)).await?;
        let (times, endpoint) = (self.times, self.endpoint);
        let which = match times {
            1 => "request".to_owned(),
            times => format!("{times} requests"),
        };
        say(&format!(
            "that is what becomes of the next {which} to {endpoint}"
        ))
    }
}

fn line(user: &Value) -> String {
    let text = |name: &str| user[name].as_str().unwrap_or_default().to_owned();
    let disabled = if user["disabled"] == true {
        "disabled"
    } else {
        "enabled"
    };
    format!(
        "{:<26} {:<14} {disabled:<9} mfa {:<13} {}",
        text("username"),
        text("password"),
        text("mfa"),
        text("note")
    )
}

/// A decision for people.
fn opened(decision: &Value) -> String {
    let text = |name: &str| decision[name].as_str().unwrap_or_default();
    let mut lines = vec![format!(
        "{} of {} for {:?}",
        text("grant"),
        text("client"),
        text("scope")
    )];
    if !text("user").is_empty() {
        lines.push(format!("  user  {}", text("user")));
    }
    for passed in decision["passed"].as_array().into_iter().flatten() {
        lines.push(format!("  ok    {}", passed.as_str().unwrap_or_default()));
    }
    let refused = &decision["refused"];
    match refused["code"].as_u64() {
        Some(code) => {
            let message = refused["message"].as_str().unwrap_or_default();
            lines.push(format!("  no    AADSTS{code}: {message}"));
        }
        None => lines.push(match decision["fault"].as_str() {
            Some(fault) => format!("  fault {fault}, in place of an answer"),
            None => "  token issued".to_owned(),
        }),
    }
    lines.join("\n")
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output")
}
