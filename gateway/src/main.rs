//! `obo-gateway`: reads its configuration, starts the gateway, waits for a signal.

use std::{
    convert::Infallible,
    env, fs,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use obo_gateway::{
    AccessLog, AuditLog, Config, ConfigFile, OwnLog, Running, Secret, StartError,
    cli::{self, CliError, EX_USAGE, Invocation},
    health::{self, Probe},
    open_files,
    service_manager::{self, Phase},
    start_on,
};
use tokio::runtime::Builder;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    obo_gateway::hide_panic_messages();
    // Read once: what it is may not be there a second time.
    let (file, text) = cli::file(env::args_os()).map(ConfigFile::open).unzip();
    match cli::read_with(env::args_os(), text) {
        Ok(Invocation::Run(config)) => run(*config, file),
        Ok(Invocation::Check(config)) => check(&config),
        Ok(Invocation::CheckOnline(config, token)) => check_online(&config, token),
        Ok(Invocation::Schema) => print_schema(),
        Ok(Invocation::Health(address, probe)) => health(address, probe),
        Ok(_) => ExitCode::from(EX_USAGE),
        Err(CliError::Usage(error)) => {
            let help = !error.use_stderr();
            // Nothing is left to do where even this cannot be printed.
            let _ = error.print();
            if let Some(path) = cli::misplaced_file(&error) {
                complain(format_args!(
                    "\nA configuration file is given as `--config {path}`.\n"
                ));
            }
            if help {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EX_USAGE)
            }
        }
        Err(error @ CliError::NoAdmin) => {
            complain(format_args!("{error}\n"));
            ExitCode::from(EX_USAGE)
        }
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    complain(format_args!(
        "{error}\n\nobo-gateway cannot start like this; `obo-gateway --help` shows all settings.\n"
    ));
    ExitCode::from(EX_USAGE)
}

fn complain(text: std::fmt::Arguments<'_>) {
    // Where standard error is closed, nobody listens.
    let _ = io::stderr().write_fmt(text);
}

fn check(config: &Config) -> ExitCode {
    if let Err(error) = obo_gateway::check(config) {
        return refuse(&error);
    }
    for warning in &config.warnings() {
        complain(format_args!("warning: {warning}\n"));
    }
    let routes = config.routes.len();
    match writeln!(
        io::stdout(),
        "The configuration is right: {routes} route(s)."
    ) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn check_online(config: &Config, token_file: Option<PathBuf>) -> ExitCode {
    let offline = check(config);
    if offline != ExitCode::SUCCESS {
        return offline;
    }
    let token = match token_file.map(|path| (fs::read_to_string(&path), path)) {
        None => None,
        Some((Ok(text), _)) => Some(Secret::new(text.trim())),
        Some((Err(error), path)) => {
            let path = path.display();
            complain(format_args!(
                "--token-file: {path} cannot be read: {error}\n"
            ));
            return ExitCode::from(EX_USAGE);
        }
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("cannot ask: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    let report = runtime.block_on(obo_gateway::check_online(config, token.as_ref()));
    // A file that hangs must not keep it from ending.
    runtime.shutdown_background();
    match report {
        Ok(report) => match write!(io::stdout(), "{report}") {
            Ok(()) if !report.has_failures() => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
        Err(error) => refuse(&error),
    }
}

fn print_schema() -> ExitCode {
    match writeln!(io::stdout(), "{:#}", obo_gateway::schema()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn health(address: SocketAddr, probe: Probe) -> ExitCode {
    match health::ask(address, probe) {
        Ok(health) => {
            // The exit code says it too.
            let _ = writeln!(io::stdout(), "{}", health.text);
            if health.healthy {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            complain(format_args!("{address} does not answer: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn run(mut config: Config, file: Option<ConfigFile>) -> ExitCode {
    // Before there is a second thread: it clears variables.
    let sockets = match service_manager::sockets() {
        Ok(sockets) => sockets,
        Err(error) => {
            complain(format_args!("cannot start: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    let log = match OwnLog::start(&config.log, io::stderr(), io::stderr().is_terminal()) {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    config.own_log_dropped = Some(log.dropped());
    config.access_log = config.log.access.then(|| match config.log.json {
        true => AccessLog::json(io::stdout()),
        false => AccessLog::text(io::stdout()),
    });
    config.audit_log = config.log.audit.then(|| match config.log.json {
        true => AuditLog::json(io::stdout()),
        false => AuditLog::text(io::stdout()),
    });
    let needed = open_files::needed(&config);
    if let Some(most) = open_files::raise_limit().filter(|most| *most < needed) {
        tracing::warn!(
            most,
            needed,
            "the process may open fewer files than its limits allow connections and requests: raise \
             the limit (`ulimit -Hn`, systemd's LimitNOFILE) or lower limits.connections"
        );
    }
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("cannot start: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        let signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => {
                complain(format_args!("cannot listen for signals: {error}\n"));
                return ExitCode::FAILURE;
            }
        };
        // Without the logs, whose last lines are written when nobody has them any more.
        let mut asked = config.clone();
        (asked.access_log, asked.audit_log) = (None, None);
        match start_on(config, sockets).await {
            Ok(gateway) => serve(gateway, signals, file).await,
            Err(
                error @ (StartError::Config(_)
                | StartError::SharedStore(_)
                | StartError::DenyFile(_)
                | StartError::Tls(_)
                | StartError::Upstream { .. }),
            ) => {
                // All that is wrong, and where, in place of the first.
                refuse(&obo_gateway::check(&asked).err().unwrap_or(error))
            }
            Err(error @ StartError::Exposed(_)) => refuse(&error),
            Err(error) => {
                complain(format_args!("{error}\n"));
                ExitCode::FAILURE
            }
        }
    });
    // Dropped, it would wait for who reads a file, and a file system may hang.
    runtime.shutdown_background();
    drop(log);
    code
}

async fn serve(gateway: Running, mut signals: Signals, mut file: Option<ConfigFile>) -> ExitCode {
    service_manager::tell(Phase::Listening);
    {
        let Signals { end, reload } = &mut signals;
        tokio::select! {
            () = end.next() => {}
            never = tell_when_ready(&gateway) => match never {},
            never = reload_when_asked(&gateway, reload, file.as_mut()) => match never {},
        }
    }
    service_manager::tell(Phase::Stopping);
    tracing::info!("shutting down: running requests may finish; a second signal ends at once");
    tokio::select! {
        () = gateway.shutdown() => ExitCode::SUCCESS,
        () = signals.end.next() => ExitCode::FAILURE,
    }
}

/// Reads the configuration anew on SIGHUP, and when its file has changed. What fails because something is not
/// there is tried again.
async fn reload_when_asked(
    gateway: &Running,
    asked: &mut Reload,
    mut file: Option<&mut ConfigFile>,
) -> Infallible {
    let mut missing: Option<Missing> = None;
    loop {
        let text = tokio::select! {
            () = asked.next() => match &mut file {
                Some(file) => Some(file.settled().await),
                None => None,
            },
            text = changed(file.as_deref_mut()) => Some(text),
            () = Missing::wait(missing.as_ref()) => {
                missing = match missing.take() {
                    Some(missing) => missing.again(gateway).await,
                    None => None,
                };
                continue;
            }
        };
        missing = None;
        let read = tokio::task::spawn_blocking(move || cli::read_with(env::args_os(), text)).await;
        match read {
            Ok(Ok(Invocation::Run(config))) => {
                if let Err(StartError::Reload(_)) = gateway.reload((*config).clone()).await {
                    tracing::info!(
                        "it is tried again until that is there or the configuration is another"
                    );
                    missing = Some(Missing {
                        config,
                        pause: FIRST_PAUSE,
                    });
                }
            }
            Ok(Err(error)) => gateway.reload_failed(&error),
            // The arguments are those of the start.
            Ok(Ok(_)) => {}
            Err(error) => gateway.reload_failed(&error),
        }
    }
}

/// How soon a configuration is tried again that lacks something, and how seldom at last.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// A configuration that holds once what it needs is there.
struct Missing {
    config: Box<Config>,
    pause: Duration,
}

impl Missing {
    async fn wait(this: Option<&Self>) {
        match this {
            Some(missing) => tokio::time::sleep(missing.pause).await,
            None => std::future::pending().await,
        }
    }

    /// What is still missing then.
    async fn again(self, gateway: &Running) -> Option<Self> {
        match gateway.reload_again((*self.config).clone()).await {
            Ok(_) => None,
            Err(StartError::Reload(_)) => Some(Self {
                pause: (self.pause * 2).min(LAST_PAUSE),
                ..self
            }),
            Err(error) => {
                gateway.reload_failed(&error);
                None
            }
        }
    }
}

async fn changed(file: Option<&mut ConfigFile>) -> io::Result<String> {
    match file {
        Some(file) => file.changed().await,
        None => std::future::pending().await,
    }
}

async fn tell_when_ready(gateway: &Running) -> Infallible {
    while !gateway.is_ready() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    service_manager::tell(Phase::Serving);
    std::future::pending().await
}

/// What may come from outside.
struct Signals {
    end: End,
    reload: Reload,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            end: End::new()?,
            reload: Reload::new()?,
        })
    }
}

/// SIGTERM and SIGINT; elsewhere than on Unix, Ctrl-C.
#[cfg(unix)]
struct End {
    terminate: Signal,
    interrupt: Signal,
}

#[cfg(unix)]
impl End {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP; there is none elsewhere than on Unix.
#[cfg(unix)]
struct Reload(Signal);

#[cfg(unix)]
impl Reload {
    fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}

#[cfg(not(unix))]
struct End;

#[cfg(not(unix))]
impl End {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
struct Reload;

#[cfg(not(unix))]
impl Reload {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        std::future::pending().await
    }
}
