//! `cargo demo`: the whole system, for people.

mod token;

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use obo_demo::{Demo, Options, Summary};
use tracing_subscriber::EnvFilter;

/// Starts the whole On-Behalf-Of system on this machine: Entra ID and Azure Resource Manager
/// (emulated), demo-backend, obo-gateway and demo-ui. No tenant, no internet and no configuration
/// are needed.
#[derive(Debug, Parser)]
#[command(name = "cargo demo", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Open the web app in the browser.
    #[arg(long)]
    open_browser: bool,
    /// Print one line of JSON in place of the text, once everything answers.
    #[arg(long)]
    json: bool,
    /// Take free ports in place of 8000, 8080, 3000, 9400 and 9401.
    #[arg(long)]
    free_ports: bool,
    /// What to log, on stderr: a level, or `target=level` and so on.
    #[arg(long, env = "RUST_LOG", default_value = "warn")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print an access token of a user, from the demo that runs.
    ///
    /// The user's consent is recorded with it, so that they are not asked when they sign in afterwards.
    Token(token::Token),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&arguments.log).context("--log")?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(Command::Token(token)) = &arguments.command {
        return token.print().await;
    }
    // Listened for before anything starts, so that no signal is missed and none kills half a demo.
    let mut ended = Box::pin(end_signal()?);
    let options = if arguments.free_ports {
        Options::free_ports()
    } else {
        Options::usual_ports()
    };
    let demo = tokio::select! {
        demo = Demo::start(options) => demo?,
        () = &mut ended => return Ok(()),
    };
    print(demo.summary(), arguments.json)?;
    if arguments.open_browser
        && let Err(error) = open_browser(&demo.summary().demo_ui)
    {
        tracing::warn!(%error, "no browser could be opened");
    }
    ended.await;
    demo.shutdown().await;
    Ok(())
}

fn print(summary: &Summary, json: bool) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string(summary)?
    } else {
        summary.to_string()
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    Ok(())
}

/// Resolves at Ctrl-C and, where there is such a thing, at SIGTERM.
#[cfg(unix)]
fn end_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves at Ctrl-C.
#[cfg(not(unix))]
fn end_signal() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

fn open_browser(url: &str) -> std::io::Result<()> {
    use std::process::{Command, Stdio};
    let mut command = if cfg!(windows) {
        let mut command = Command::new("cmd");
        command.args(["/c", "start", ""]);
        command
    } else if cfg!(target_os = "macos") {
        Command::new("open")
    } else {
        Command::new("xdg-open")
    };
    command
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}
