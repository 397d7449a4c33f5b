//! What can be wrong with a configuration beyond its text: files that cannot be used, and what the library
//! would refuse. All of it at once, for `check`, and for a reload before anything is taken.

use std::collections::BTreeMap;

use tokio::runtime::Handle;
use tower_obo::{ConfigErrors, DenyList};

use crate::{
    authorize,
    config::{Accept, Config, Limits, Places, Problems, SharedStore, Tls, Upstream},
    deny_file::DenyFile,
    metrics::LibraryFigures,
    net::backend::Backend,
    run::StartError,
    server_tls::ServerTls,
};

/// What is wrong, by whether it may pass by itself.
#[derive(Debug, Default)]
pub(crate) struct Wrong {
    /// With what the settings say.
    pub(crate) settings: Problems,
    /// With the files that they name, which may still come.
    pub(crate) files: Problems,
}

impl Wrong {
    /// Looks at all of it. Reads files; `control` is where a core would work, and nothing is begun there.
    pub(crate) fn of(config: &Config, control: &Handle) -> Self {
        let files = Files {
            tls: config.tls.as_ref(),
            accept: Some(&config.accept),
            entra: config.entra.other.is_none(),
            upstreams: &config.upstreams,
            limits: &config.limits,
            store: config.shared_store.as_ref(),
        };
        let mut wrong = Self {
            files: files.problems(&config.places),
            ..Self::default()
        };
        wrong.library(config, control);
        wrong
    }

    /// All of it.
    pub(crate) fn into_problems(mut self) -> Problems {
        self.settings.append(self.files);
        self.settings
    }

    /// What the library would refuse.
    fn library(&mut self, config: &Config, control: &Handle) {
        let mut config = config.clone();
        // What is wrong with its files has been said.
        if (config.shared_store.as_ref()).is_some_and(|store| store.read().is_err()) {
            config.shared_store = None;
        }
        let observer = std::sync::Arc::<LibraryFigures>::default();
        let core = authorize::core(
            &config,
            control.clone(),
            observer,
            DenyList::default(),
            None,
        );
        match core {
            Ok(_) => {}
            Err(StartError::Config(errors)) => self.refused(&config, &errors),
            Err(other) => self
                .settings
                .push(crate::config::Origin::Nowhere, "", other.to_string()),
        }
    }

    fn refused(&mut self, config: &Config, errors: &ConfigErrors) {
        for error in errors.iter() {
            let key = key_of(error.setting, config.entra.other.is_some());
            let into = match error.setting {
                "ca_file" => &mut self.files,
                _ => &mut self.settings,
            };
            into.push(config.places.of(key), key, error.problem.as_str());
        }
    }
}

/// What the configuration calls a setting of the library.
fn key_of(setting: &'static str, is_oidc: bool) -> &'static str {
    match setting {
        "client_id" => "entra.client_id",
        "credential" => "entra.credential",
        "tenant" | "tenants" if !is_oidc => "entra.tenant",
        "authority" => "entra.authority",
        "issuer" => "oidc.issuer",
        "ca_file" => "entra.ca_file",
        "resource_metadata" => "public_url",
        "audience" => "accept.audiences",
        "algorithms" => "accept.algorithms",
        "leeway" => "accept.clock_skew",
        "unknown_key_cool_down" => "accept.key_cool_down",
        "key_max_age" => "accept.key_max_age",
        "shared_store" => "cache.redis_url",
        "cache_max_bytes" => "cache.max_bytes",
        "max_exchanges" => "limits.exchanges",
        "max_token_bytes" => "limits.token_bytes",
        "http_timeout" => "limits.exchange_timeout",
        "downstream_in" => "downstream",
        "identity_header" => "route.identity_headers",
        other => other,
    }
}

/// Which of an upstream's files it is that a message begins with.
fn field_of(upstream: &Upstream, message: &str) -> Option<&'static str> {
    let client = upstream.tls.client.as_ref();
    let files = [
        ("ca_file", upstream.tls.ca_file.as_ref()),
        (
            "client_certificate",
            client.map(|client| &client.certificate),
        ),
        ("client_key", client.map(|client| &client.key)),
    ];
    let is_of = |path: &std::path::PathBuf| {
        let rest = message.strip_prefix(&path.display().to_string());
        rest.is_some_and(|rest| rest.starts_with(':'))
    };
    files
        .into_iter()
        .find_map(|(field, path)| path.filter(|path| is_of(path)).map(|_| field))
}

/// Parts of a configuration that name files; each can be looked at though others are wrong.
pub(crate) struct Files<'a> {
    pub(crate) tls: Option<&'a Tls>,
    pub(crate) accept: Option<&'a Accept>,
    /// Whether the tokens are Entra ID's.
    pub(crate) entra: bool,
    pub(crate) upstreams: &'a BTreeMap<String, Upstream>,
    pub(crate) limits: &'a Limits,
    pub(crate) store: Option<&'a SharedStore>,
}

impl Files<'_> {
    /// What is wrong with the files, all of them. The credential's are not among them.
    pub(crate) fn problems(&self, places: &Places) -> Problems {
        let mut problems = Problems::default();
        if let Some(accept) = self.accept
            && let Err(error) = DenyFile::load(accept, self.entra)
        {
            const KEY: &str = "accept.deny_file";
            for line in error.to_string().lines() {
                let message = line.strip_prefix("accept.deny_file: ").unwrap_or(line);
                problems.push(places.of(KEY), KEY, message);
            }
        }
        for error in self.tls.map(ServerTls::problems).unwrap_or_default() {
            let (key, text) = (error.key(), error.to_string());
            let message = text.strip_prefix(key).unwrap_or(&text);
            problems.push(places.of(key), key, message.trim_start_matches(": "));
        }
        for (name, upstream) in self.upstreams {
            if let Err(error) = Backend::new(upstream, self.limits) {
                let message = error.to_string();
                let key = match field_of(upstream, &message) {
                    Some(field) => format!("upstreams.{name}.{field}"),
                    None => format!("upstreams.{name}"),
                };
                problems.push(places.of(&key), key, message);
            }
        }
        if let Some(Err(message)) = self.store.map(SharedStore::read) {
            let is_of_authority = (self.store.and_then(|store| store.ca_file.as_ref()))
                .is_some_and(|path| message.starts_with(&path.display().to_string()));
            let key = match is_of_authority {
                true => "cache.redis_ca_file",
                false => "cache.redis_key_file",
            };
            problems.push(places.of(key), key, message);
        }
        problems
    }
}
