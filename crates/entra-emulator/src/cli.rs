//! Arguments, and what they start.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use entra_emulator::{Directory, Emulator, StartError, demo};
use serde_json::{Value, json};
use url::Url;

/// Microsoft Entra ID and Azure Resource Manager on loopback, for tests, demos and offline
/// development.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the emulator (what happens without a command)
    Run(Box<Run>),
    /// Print an access token of a user, from a running emulator
    Token(Token),
}

#[derive(Args, Debug)]
struct Run {
    /// Where Entra ID listens
    #[arg(long, env = "ENTRA_EMULATOR_LISTEN", default_value = "127.0.0.1:9400")]
    listen: SocketAddr,
    /// Where Azure Resource Manager listens
    #[arg(
        long,
        env = "ENTRA_EMULATOR_ARM_LISTEN",
        default_value = "127.0.0.1:9401"
    )]
    arm_listen: SocketAddr,
    /// Where Entra ID listens for https: 43 ports above --listen (9443) unless given, or on a free
    /// port where that is 0
    #[arg(long, env = "ENTRA_EMULATOR_HTTPS_LISTEN")]
    https_listen: Option<SocketAddr>,
    /// Where Azure Resource Manager listens for https: 43 ports above --arm-listen (9444) unless given
    #[arg(long, env = "ENTRA_EMULATOR_ARM_HTTPS_LISTEN")]
    arm_https_listen: Option<SocketAddr>,
    /// No https
    #[arg(
        long,
        env = "ENTRA_EMULATOR_NO_HTTPS",
        conflicts_with_all = [
            "https_listen",
            "arm_https_listen",
            "https_public_url",
            "arm_https_public_url",
            "ca_file",
        ]
    )]
    no_https: bool,
    /// Write the certificate of the authority behind https to this file (PEM), for clients to trust
    #[arg(long, env = "ENTRA_EMULATOR_CA_FILE", value_name = "PATH")]
    ca_file: Option<PathBuf>,
    /// Base URL that Entra ID advertises and issues tokens under, if it isn't the address
    #[arg(long, env = "ENTRA_EMULATOR_PUBLIC_URL", value_parser = address)]
    public_url: Option<String>,
    /// Base URL that Azure Resource Manager advertises, if it isn't the address
    #[arg(long, env = "ENTRA_EMULATOR_ARM_PUBLIC_URL", value_parser = address)]
    arm_public_url: Option<String>,
    /// Base URL that Entra ID advertises over https, if it isn't the address; the certificate is good
    /// for its host
    #[arg(long, env = "ENTRA_EMULATOR_HTTPS_PUBLIC_URL", value_parser = address)]
    https_public_url: Option<String>,
    /// Base URL that Azure Resource Manager advertises over https, if it isn't the address
    #[arg(long, env = "ENTRA_EMULATOR_ARM_HTTPS_PUBLIC_URL", value_parser = address)]
    arm_https_public_url: Option<String>,
    /// Redirect URI of the demo web app
    #[arg(long, env = "ENTRA_EMULATOR_REDIRECT_URI", value_parser = address, default_value = demo::UI_REDIRECT_URI)]
    redirect_uri: String,
    /// Post-logout redirect URI of the demo web app
    #[arg(
        long,
        env = "ENTRA_EMULATOR_POST_LOGOUT_REDIRECT_URI",
        value_parser = address,
        default_value = demo::UI_POST_LOGOUT_REDIRECT_URI
    )]
    post_logout_redirect_uri: String,
    /// Lifetime of access tokens in seconds; a random 60 to 90 minutes unless given
    #[arg(
        long,
        env = "ENTRA_EMULATOR_TOKEN_LIFETIME",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    token_lifetime: Option<u32>,
    /// Subscriptions on a page of Azure Resource Manager's answer
    #[arg(long, env = "ENTRA_EMULATOR_PAGE_SIZE", default_value_t = 100)]
    page_size: usize,
    /// Listen on addresses that other machines reach too: whoever does can sign in as anyone
    #[arg(long, env = "ENTRA_EMULATOR_EXPOSE")]
    expose: bool,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct Token {
    /// Whose: alice, bob, … or a full user name
    #[arg(long, default_value = "alice")]
    user: String,
    /// The running emulator
    #[arg(
        long,
        env = "ENTRA_EMULATOR_URL",
        default_value = "http://127.0.0.1:9400"
    )]
    url: String,
    /// The certificate authority of an https URL (PEM): what the emulator wrote to its --ca-file
    #[arg(long, env = "ENTRA_EMULATOR_CA_FILE", value_name = "PATH")]
    ca_file: Option<PathBuf>,
    /// Issued in this tenant instead of the user's own
    #[arg(long)]
    tenant: Option<String>,
    /// Of a user who has consented to nothing: an exchange is refused
    #[arg(long)]
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
    /// For Azure Resource Manager instead of the demo API
    #[arg(long, conflicts_with_all = ["app_only", "id_token"])]
    arm: bool,
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Some(Command::Token(token)) => token.print().await,
            Some(Command::Run(run)) => run.serve().await,
            None => self.run.serve().await,
        }
    }
}

impl Run {
    async fn serve(self) -> anyhow::Result<()> {
        let directory = Directory::demo().with_redirects(
            demo::UI_CLIENT_ID,
            self.redirect_uri,
            self.post_logout_redirect_uri,
        );
        let mut builder = Emulator::builder()
            .directory(directory)
            .listen(self.listen)
            .arm_listen(self.arm_listen)
            .page_size(self.page_size)
            .expose(self.expose)
            .keys(2);
        if !self.no_https {
            let beside =
                |given: Option<SocketAddr>, http| given.unwrap_or_else(|| https_port(http));
            builder = builder
                .https_listen(beside(self.https_listen, self.listen))
                .arm_https_listen(beside(self.arm_https_listen, self.arm_listen));
            if let Some(url) = self.https_public_url {
                builder = builder.https_url(url);
            }
            if let Some(url) = self.arm_https_public_url {
                builder = builder.arm_https_url(url);
            }
        }
        if let Some(url) = self.public_url {
            builder = builder.url(url);
        }
        if let Some(url) = self.arm_public_url {
            builder = builder.arm_url(url);
        }
        if let Some(seconds) = self.token_lifetime {
            builder = builder.token_lifetime(Duration::from_secs(seconds.into()));
        }
        let emulator = builder.start().await.map_err(|error| match error {
            StartError::Listen { .. } => anyhow::Error::new(error)
                .context("it did not start (--listen, --arm-listen, --https-listen and --arm-https-listen take other addresses)"),
            error => error.into(),
        })?;
        if let Some(path) = &self.ca_file {
            let pem = emulator.ca_pem().unwrap_or_default();
            std::fs::write(path, pem).with_context(|| format!("--ca-file {}", path.display()))?;
        }
        write!(std::io::stdout(), "{}", offer(&emulator)).context("standard output")?;
        stop_signal().await?;
        emulator.shutdown().await;
        Ok(())
    }
}

impl Token {
    async fn print(self) -> anyhow::Result<()> {
        let url = self.url.trim_end_matches('/');
        let mut order = json!({
            "user": self.user,
            "consent": !self.no_consent,
            "app_only": self.app_only,
            "mfa": self.mfa,
            "v1": self.v1,
            "id_token": self.id_token,
            "arm": self.arm,
        });
        if let Some(tenant) = self.tenant {
            order["tenant"] = tenant.into();
        }
        if self.expired {
            order["expires_in"] = (-600).into();
        }
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10));
        // A file that another emulator will write may be named in the environment.
        if let Some(path) = self.ca_file.filter(|_| url.starts_with("https:")) {
            let wrong = || format!("--ca-file {}", path.display());
            let pem = std::fs::read(&path).with_context(wrong)?;
            let certificate = reqwest::Certificate::from_pem(&pem).with_context(wrong)?;
            client = client.tls_certs_merge([certificate]);
        }
        let response = client
            .build()?
            .post(format!("{url}/emulator/token"))
            .json(&order)
            .send()
            .await
            .with_context(|| {
                format!(
                    "no emulator answers at {url}: start one with `entra-emulator`, or say where it is with --url"
                )
            })?;
        let status = response.status();
        let answer: Value = response
            .json()
            .await
            .with_context(|| format!("what answers at {url} is no entra-emulator ({status})"))?;
        let Some(token) = answer["token"].as_str() else {
            let reason = answer["error"].as_str().unwrap_or("no reason given");
            bail!("the emulator at {url} refuses ({status}): {reason}");
        };
        writeln!(std::io::stdout(), "{token}").context("standard output")
    }
}

/// Where https is listened for when nobody says: 9443 goes with 9400.
fn https_port(http: SocketAddr) -> SocketAddr {
    let port = match http.port() {
        0 => 0,
        port => port.saturating_add(43),
    };
    SocketAddr::new(http.ip(), port)
}

/// An http or https address, as it was written: redirect URIs are compared as text.
fn address(text: &str) -> Result<String, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .map(|_| text.to_owned())
        .ok_or_else(|| "it is no address such as http://localhost:8000/".to_owned())
}

fn offer(emulator: &Emulator) -> String {
    let directory = emulator.directory();
    let users: String = directory
        .users
        .iter()
        .map(|user| {
            format!(
                "  {:<24} {:<14} {}\n",
                user.username, user.password, user.note
            )
        })
        .collect();
    let https = match (emulator.https_url(), emulator.arm_https_url()) {
        (Some(url), Some(arm)) => {
            format!("  Entra ID, https          {url}\n  Resource Manager, https  {arm}\n")
        }
        _ => String::new(),
    };
    format!(
        "\
entra-emulator (not Microsoft: never type a real password into it)

  Entra ID                 {url}
  Azure Resource Manager   {arm}
{https}  Discovery                {url}/{contoso}/v2.0/.well-known/openid-configuration

  Tenant                   {contoso}  Contoso
  API                      {api}  secret {api_secret}
  Web app                  {ui}  secret {ui_secret}

Users (name, password)
{users}
A token for curl: entra-emulator token --user alice --url {url}
",
        url = emulator.url(),
        arm = emulator.arm_url(),
        contoso = demo::CONTOSO,
        api = demo::API_CLIENT_ID,
        api_secret = demo::API_CLIENT_SECRET,
        ui = demo::UI_CLIENT_ID,
        ui_secret = demo::UI_CLIENT_SECRET,
    )
}

/// Resolves at Ctrl-C, and where there are signals at SIGTERM.
async fn stop_signal() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.context("Ctrl-C"),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.context("Ctrl-C")
}
