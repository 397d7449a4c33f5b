//! The command line: flags from the table of settings, so that none is forgotten.

use std::{
    env, fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, ArgMatches, Command,
    error::{ContextKind, ContextValue},
};

use crate::{
    config::{
        Config, Problems, Sources,
        keys::{KEYS, Key, Kind},
    },
    health::Probe,
};

/// The exit code for a bad configuration or command line (`EX_USAGE` of BSD's sysexits).
pub const EX_USAGE: u8 = 64;

const ABOUT: &str = "\
On-Behalf-Of gateway: validates a caller's Microsoft Entra ID token, exchanges it for one for the
downstream API, and forwards the request to the upstream with that token in place.";

const AFTER: &str = "\
Settings come from a TOML file, over it the environment, over it the flags. Each flag has a
variable, given in brackets; the file has the same settings and routes besides. The client secret
has no flag: it comes from AZURE_CLIENT_SECRET (or OBO_CLIENT_SECRET), or from a file.

Smallest example:
  export AZURE_TENANT_ID=<guid> AZURE_CLIENT_ID=<guid> AZURE_CLIENT_SECRET=…
  obo-gateway --upstream http://127.0.0.1:3000 --scope access_as_user

The same as a file, with a public route and one more downstream (obo-gateway --config gateway.toml):
  listen   = \"127.0.0.1:8080\"
  upstream = \"http://127.0.0.1:3000\"
  [entra]
  tenant     = \"<guid>\"
  client_id  = \"<guid>\"
  credential = { secret_file = \"/run/secrets/client-secret\" }
  [accept]
  scopes = [\"access_as_user\"]
  [downstream.graph]
  scope = \"https://graph.microsoft.com/User.Read\"
  [[route]]
  path   = \"/healthz\"
  access = \"public\"
  [[route]]
  path       = \"/me/*\"
  downstream = \"graph\"

The file is read anew when it changes, and everything is on SIGHUP; what is wrong then changes nothing
and is said in the log. SIGTERM and SIGINT let running requests finish; a second one ends at once.

Exit code 64: the configuration is wrong; every problem is named at once.";

/// What the command line asks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Invocation {
    /// Run the gateway.
    Run(Box<Config>),
    /// The configuration has been checked and is right.
    Check(Box<Config>),
    /// The configuration has been checked and is right; ask the identity provider whether it works, with
    /// the user's token in that file, if one is named.
    CheckOnline(Box<Config>, Option<PathBuf>),
    /// Print the JSON Schema of the file.
    Schema,
    /// Ask the gateway whose admin listener is here.
    Health(SocketAddr, Probe),
}

/// Why there is nothing to run.
#[derive(Debug)]
#[non_exhaustive]
pub enum CliError {
    /// The command line itself is wrong, or asks for help; clap knows what to print.
    Usage(clap::Error),
    /// The file cannot be read.
    File(PathBuf, io::Error),
    /// The configuration is wrong.
    Config(Problems),
    /// The gateway that should be asked has no admin listener.
    NoAdmin,
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => write!(f, "{error}"),
            Self::File(path, error) => write!(f, "{}: cannot be read: {error}", path.display()),
            Self::Config(problems) => write!(f, "{problems}"),
            Self::NoAdmin => f.write_str(
                "admin.listen: is not set, so that no gateway can be asked; set `admin.listen` (--admin-listen, OBO_ADMIN_LISTEN), as for the gateway itself",
            ),
        }
    }
}

impl std::error::Error for CliError {}

/// Reads the command line, the file and the environment of this process.
///
/// # Errors
///
/// The command line or the configuration is wrong, or the file cannot be read.
pub fn read<I, T>(arguments: I) -> Result<Invocation, CliError>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    read_with(arguments, None)
}

/// As [`read`], where `text` is what has been read of the [`file`](file()) already; `None`: it is read here.
///
/// # Errors
///
/// As of [`read`].
pub fn read_with<I, T>(
    arguments: I,
    text: Option<io::Result<String>>,
) -> Result<Invocation, CliError>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let matches = command()
        .try_get_matches_from(arguments)
        .map_err(CliError::Usage)?;
    if let Some(("schema", _)) = matches.subcommand() {
        return Ok(Invocation::Schema);
    }
    if let Some(("health", matches)) = matches.subcommand() {
        let address = sources(matches, text)?
            .admin_listen()
            .map_err(CliError::Config)?
            .ok_or(CliError::NoAdmin)?;
        let live = matches.get_flag("live");
        let probe = if live { Probe::Live } else { Probe::Ready };
        return Ok(Invocation::Health(address, probe));
    }
    let online = matches.subcommand().and_then(|(name, matches)| {
        (name == "check" && matches.get_flag("online"))
            .then(|| matches.get_one::<PathBuf>("token-file").cloned())
    });
    let (check, matches) = match matches.subcommand() {
        Some(("check", matches)) => (true, matches),
        Some((_, matches)) => (false, matches),
        None => (false, &matches),
    };
    let config = load(matches, check, text)?;
    let config = Box::new(config);
    Ok(match online {
        Some(token_file) => Invocation::CheckOnline(config, token_file),
        None if check => Invocation::Check(config),
        None => Invocation::Run(config),
    })
}

/// The configuration's file, where the command line or the environment names one.
///
/// ```
/// let file = obo_gateway::cli::file(["obo-gateway", "--config", "gateway.toml"]);
/// assert_eq!(file, Some("gateway.toml".into()));
/// ```
#[must_use]
pub fn file<I, T>(arguments: I) -> Option<PathBuf>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let matches = command().try_get_matches_from(arguments).ok()?;
    let inner = matches.subcommand().map(|(_, matches)| matches);
    path(inner.unwrap_or(&matches))
}

/// A file where a command was expected: what is meant is its configuration.
#[must_use]
pub fn misplaced_file(error: &clap::Error) -> Option<&str> {
    let command = error.get(ContextKind::InvalidSubcommand)?;
    match command {
        ContextValue::String(path) if Path::new(path).is_file() => Some(path),
        _ => None,
    }
}

fn path(matches: &ArgMatches) -> Option<PathBuf> {
    // Not every command has one.
    let given = matches.try_get_one::<PathBuf>("config").ok().flatten();
    given.cloned().or_else(|| {
        env::var_os("OBO_CONFIG")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    })
}

fn load(
    matches: &ArgMatches,
    check: bool,
    text: Option<io::Result<String>>,
) -> Result<Config, CliError> {
    let mut sources = sources(matches, text)?;
    if check {
        sources = sources.files_must_exist();
    }
    sources.load().map_err(CliError::Config)
}

/// The three layers as this process has them.
fn sources(
    matches: &ArgMatches,
    text: Option<io::Result<String>>,
) -> Result<Sources<'static>, CliError> {
    let mut sources = Sources::new()
        .environment(|name| env::var(name).ok())
        // An empty one counts as unset.
        .variables(
            env::vars_os()
                .filter(|(_, value)| !value.is_empty())
                .filter_map(|(name, _)| name.into_string().ok()),
        );
    if let Some(path) = path(matches) {
        let text = text.unwrap_or_else(|| fs::read_to_string(&path));
        let text = text.map_err(|error| CliError::File(path.clone(), error))?;
        sources = sources.file(path.display().to_string(), text);
    }
    for key in KEYS.iter().filter(|key| !key.flag.is_empty()) {
        if let Some(values) = values(matches, key) {
            sources = sources.flag(key.flag, &values);
        }
    }
    Ok(sources)
}

fn values(matches: &ArgMatches, key: &Key) -> Option<Vec<String>> {
    if key.kind == Kind::Switch {
        return matches.get_flag(key.name).then(|| vec!["true".to_owned()]);
    }
    let values = matches.get_many::<String>(key.name)?;
    Some(values.cloned().collect())
}

/// The command line's grammar, from which the help text is made.
#[must_use]
pub fn command() -> Command {
    let run = Command::new("run").about("Run the gateway (the default)");
    let check = Command::new("check")
        .about("Read the whole configuration, name every problem, run nothing")
        .long_about(
            "Reads the whole configuration and the files that it names, and says everything that is wrong, \
             each with its place. With --online it asks the identity provider, too: for its documents and \
             keys, whether it takes the credential, and for tokens of each downstream; each is said to be \
             ok, failed or not known, with what to do. \
             Exit code 0: nothing is wrong; 1: something of --online failed; 64: the configuration is wrong.",
        )
        .arg(
            Arg::new("online")
                .long("online")
                .action(ArgAction::SetTrue)
                .help("Ask the identity provider whether discovery, keys, credential and each downstream work"),
        )
        .arg(
            Arg::new("token-file")
                .long("token-file")
                .value_name("PATH")
                .value_parser(clap::value_parser!(PathBuf))
                .requires("online")
                .help("A file with a user's access token for this API, to be exchanged for each downstream: tells whether consent is given"),
        );
    let health = Command::new("health")
        .about("Ask the gateway that runs with the same settings whether it is ready; exit code 0 or 1")
        .long_about(
            "Asks /readyz of the gateway whose admin.listen is the same, and prints what it says. \
             Exit code 0: ready; 1: not ready, or nobody answers within 3 s; 64: there is no admin.listen. \
             For container health checks: HEALTHCHECK CMD [\"obo-gateway\", \"health\"]",
        )
        .arg(
            Arg::new("live")
                .long("live")
                .action(ArgAction::SetTrue)
                .help("Ask /livez instead: whether the process answers at all"),
        );
    let schema = Command::new("schema")
        .about("Print a JSON Schema of the file, for editors")
        .long_about(
            "Prints a JSON Schema (2020-12) of the TOML file, made from the table by which it is read. \
             Editors complete and check with it: `obo-gateway schema > gateway.schema.json`, and \
             `#:schema ./gateway.schema.json` as the file's first line. What settings mean for each other \
             only `obo-gateway check` finds.",
        );
    with_flags(Command::new("obo-gateway"))
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER)
        .args_conflicts_with_subcommands(true)
        .subcommand(with_flags(run))
        .subcommand(with_flags(check))
        .subcommand(schema)
        .subcommand(with_flags(health))
}

fn with_flags(command: Command) -> Command {
    let config = Arg::new("config")
        .long("config")
        .short('c')
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("The TOML file [env: OBO_CONFIG]");
    KEYS.iter()
        .filter(|key| !key.flag.is_empty())
        .fold(command.arg(config), |command, key| command.arg(flag(key)))
}

fn flag(key: &'static Key) -> Arg {
    let variables = key.environment.join(", ");
    let arg = Arg::new(key.name)
        .help_heading(heading(key.name))
        .long(key.flag.trim_start_matches('-'))
        .help(format!("{} [env: {variables}]", key.help));
    match key.kind {
        Kind::Switch => arg.action(ArgAction::SetTrue),
        Kind::List | Kind::OneOrList => arg.value_name(key.value).action(ArgAction::Append),
        _ => arg.value_name(key.value),
    }
}

/// Under which words the help text has a setting: those of one table of the file stand together.
fn heading(name: &str) -> &'static str {
    match name.split('.').next().unwrap_or(name) {
        "listen" | "workers" | "drain_timeout" | "tls" | "allowed_hosts" | "trusted_proxies" => {
            "Listener"
        }
        "public_url" | "resource_name" | "resource_documentation" => {
            "Metadata of the API (RFC 9728)"
        }
        "upstream" | "allow_plaintext_upstream" | "downstream" | "retry_challenges" => {
            "Upstream and downstream"
        }
        "admin" => "Admin listener",
        "entra" => "Entra ID and the credential",
        "oidc" => "Another provider of OpenID Connect",
        "accept" => "Who may call",
        "cache" => "Cache",
        "limits" => "Limits and time-outs (bytes; durations such as 500ms, 30s, 5m)",
        "log" | "traces" => "Logs and traces",
        _ => "Further settings",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn help_names_every_setting_and_the_secret_s_variable() {
        let help = command().render_long_help().to_string();
        for key in KEYS {
            assert!(help.contains(key.flag), "{}", key.flag);
        }
        assert!(help.contains("AZURE_CLIENT_SECRET"));
    }

    #[test]
    fn every_setting_stands_under_words_that_say_what_it_is_about() {
        for key in KEYS.iter().filter(|key| !key.flag.is_empty()) {
            let arg = flag(key);
            let heading = arg.get_help_heading().unwrap_or_default();
            assert!(
                !heading.is_empty() && heading != "Further settings",
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn a_secret_as_a_flag_is_refused() {
        let error = read(["obo-gateway", "--client-secret", "hunter2"]);
        assert!(matches!(error, Err(CliError::Usage(_))));
    }
}
