//! Arguments, and what they start.

mod client;
mod control;
mod health;
mod init;
mod offer;
mod token;

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use entra_emulator::{Configuration, Emulator, StartError, demo};
use url::Url;

use self::control::Control;
use self::health::Health;
use self::init::Init;
use self::token::Token;

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
    ///
    /// So that it can be exchanged, the emulator records what the user would have consented to at a sign-in, and
    /// asks no more when they do sign in. `entra-emulator user NAME --withdraw-consent` takes that back.
    Token(Token),
    /// Ask the one that runs here how it is: ends with 0 or 1
    Health(Health),
    /// Write the built-in configuration to a file, with comments, to be changed
    Init(Init),
    #[command(flatten)]
    Control(Control),
}

#[derive(Args, Debug)]
struct Run {
    /// What it knows: tenants, users, applications, consents (`entra-emulator init` writes the default)
    #[arg(long, env = "ENTRA_EMULATOR_CONFIG", value_name = "PATH")]
    config: Option<PathBuf>,
    /// Keep consents, applications that were registered, revoked sessions and signing keys in this file, so
    /// that a restart knows them. It holds private keys and secrets
    #[arg(long, env = "ENTRA_EMULATOR_STATE", value_name = "PATH")]
    state: Option<PathBuf>,
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
    #[arg(long, env = "ENTRA_EMULATOR_WRITE_CA_FILE", value_name = "PATH")]
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
    /// Redirect URI of the demo web app, in place of http://localhost:8000/account/callback
    #[arg(long, env = "ENTRA_EMULATOR_REDIRECT_URI", value_parser = address)]
    redirect_uri: Option<String>,
    /// Post-logout redirect URI of the demo web app, in place of http://localhost:8000/
    #[arg(long, env = "ENTRA_EMULATOR_POST_LOGOUT_REDIRECT_URI", value_parser = address)]
    post_logout_redirect_uri: Option<String>,
    /// Let an application register others by way of Microsoft Graph, as `az login --service-principal` does
    /// with it: its id and secret are said at the start
    #[arg(long, env = "ENTRA_EMULATOR_ADMINISTRATOR")]
    administrator: bool,
    /// Lifetime of access tokens in seconds; a random 60 to 90 minutes unless given
    #[arg(
        long,
        env = "ENTRA_EMULATOR_TOKEN_LIFETIME",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    token_lifetime: Option<u32>,
    /// Subscriptions on a page of Azure Resource Manager's answer [default: 100]
    #[arg(long, env = "ENTRA_EMULATOR_PAGE_SIZE")]
    page_size: Option<usize>,
    /// Listen on addresses that other machines reach too: whoever does can sign in as anyone
    #[arg(long, env = "ENTRA_EMULATOR_EXPOSE")]
    expose: bool,
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Some(Command::Token(token)) => token.print().await,
            Some(Command::Run(run)) => run.serve().await,
            Some(Command::Health(health)) => health.ask().await,
            Some(Command::Init(init)) => init.write(),
            Some(Command::Control(control)) => control.run().await,
            None => self.run.serve().await,
        }
    }
}

impl Run {
    /// What the file says, or the built-in default.
    fn configuration(&self) -> anyhow::Result<Configuration> {
        let Some(path) = &self.config else {
            return Ok(Configuration::parse(Configuration::DEFAULT, ".")?);
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| WrongFile(format!("{}: {error}", path.display())))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Configuration::parse(&text, folder).map_err(|wrong| {
            let problems = wrong.problems().join("\n  ");
            WrongFile(format!("{}:\n  {problems}", path.display())).into()
        })
    }

    async fn serve(self) -> anyhow::Result<()> {
        let mut configuration = self.configuration()?;
        let app = configuration.directory.application_mut(demo::UI_CLIENT_ID);
        match app {
            Some(app) => {
                if let Some(uri) = self.redirect_uri {
                    app.redirect_uris = vec![uri];
                }
                if let Some(uri) = self.post_logout_redirect_uri {
                    app.post_logout_redirect_uris = vec![uri];
                }
            }
            None if self.redirect_uri.is_some() || self.post_logout_redirect_uri.is_some() => {
                let message = format!(
                    "--redirect-uri and --post-logout-redirect-uri are of the demo web app, {}, which the \
                     configuration does not have: its applications' addresses are in the file",
                    demo::UI_CLIENT_ID
                );
                return Err(WrongFile(message).into());
            }
            None => {}
        }
        if self.administrator {
            configuration.directory = configuration.directory.with_administrator();
        }
        let mut builder = Emulator::builder()
            .configuration(configuration)
            .listen(self.listen)
            .arm_listen(self.arm_listen)
            .expose(self.expose)
            .keys(2);
        if let Some(page_size) = self.page_size {
            builder = builder.page_size(page_size);
        }
        if let Some(path) = self.state {
            builder = builder.state_file(path);
        }
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
        write!(std::io::stdout(), "{}", offer::text(&emulator)).context("standard output")?;
        stop_signal().await?;
        emulator.shutdown().await;
        Ok(())
    }
}

/// The configuration file can't be used.
#[derive(Debug)]
pub(crate) struct WrongFile(String);

impl fmt::Display for WrongFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongFile {}

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
