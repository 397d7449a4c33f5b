//! `demo-backend`: settings, logs and signals around the library.

mod health;

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use demo_backend::{Config, DEFAULT_API_VERSION, DEFAULT_ARM_URL};
use tracing_subscriber::EnvFilter;
use url::Url;

/// `EX_USAGE` of sysexits: the settings are wrong.
const USAGE: u8 = 64;

/// Minimal API behind obo-gateway: GET /subscriptions asks Azure Resource Manager with the token
/// that came with the request, and passes on what it said.
///
/// It checks no token and has no security of its own: put obo-gateway in front of it and let nobody
/// else reach it. Logs go to stderr (RUST_LOG sets the level); they never hold a token.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Address to listen on; port 0 takes a free one
    #[arg(
        long,
        env = "DEMO_BACKEND_LISTEN",
        default_value = "127.0.0.1:3000",
        global = true
    )]
    listen: SocketAddr,

    /// Allow an address that other machines can reach
    #[arg(long, env = "DEMO_BACKEND_EXPOSE")]
    expose: bool,

    /// Azure Resource Manager, or its emulator [default: https://management.azure.com]
    #[arg(long, env = "ARM_URL", value_parser = address)]
    arm_url: Option<Url>,

    /// The same under the name it has in the Python sample; --arm-url goes before it
    #[arg(long, env = "AZURE_MANAGEMENT_SUBSCRIPTIONS_URI", value_parser = address)]
    azure_management_subscriptions_uri: Option<Url>,

    /// api-version to ask for when neither the caller nor the URL names one
    #[arg(long, env = "DEMO_BACKEND_API_VERSION", default_value = DEFAULT_API_VERSION)]
    api_version: String,

    /// Say in each answer how long Azure Resource Manager took, and what the token says that it was
    /// asked with: its claims, never the token
    #[arg(long, env = "DEMO_BACKEND_EXPLAIN")]
    explain: bool,

    /// Seconds that a call of Azure Resource Manager may take
    #[arg(long, env = "DEMO_BACKEND_TIMEOUT", default_value_t = 30)]
    timeout: u64,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Ask the one that runs at --listen how it is: ends with 0 or 1
    Health,
}

impl Args {
    fn config(self) -> anyhow::Result<Config> {
        let arm_url = match self.arm_url.or(self.azure_management_subscriptions_uri) {
            Some(url) => url,
            None => Url::parse(DEFAULT_ARM_URL)?,
        };
        let mut config = Config::new(arm_url);
        config.listen = self.listen;
        config.expose = self.expose;
        config.api_version = self.api_version;
        config.explain = self.explain;
        config.timeout = Duration::from_secs(self.timeout);
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    if matches!(args.command, Some(Command::Health)) {
        return match health::ask(args.listen).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, ExitCode::FAILURE),
        };
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    let config = args.config();
    let config = match config.and_then(|config| config.check().map(|()| config)) {
        Ok(config) => config,
        Err(error) => return fail(&error, ExitCode::from(USAGE)),
    };
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, ExitCode::FAILURE),
    }
}

fn fail(error: &anyhow::Error, code: ExitCode) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "demo-backend: {error:#}");
    code
}

/// An http or https address.
fn address(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| "it is no address such as http://127.0.0.1:9401".to_owned())
}

async fn run(config: Config) -> anyhow::Result<()> {
    let running = demo_backend::start(config).await?;
    interrupted().await?;
    running.shutdown().await;
    Ok(())
}

#[cfg(unix)]
async fn interrupted() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn interrupted() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
