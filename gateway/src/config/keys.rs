//! Every setting that is one value or one list: its key in the file, its variables, its flag.
//!
//! Adding a setting begins here. Routes, further downstreams and further upstreams are tables with
//! names of their own and stand in the file only; see [`super::file`].

mod route;
mod table;
mod tables;

pub(crate) use self::{
    route::ROUTE_KEYS,
    table::KEYS,
    tables::{DOWNSTREAM_KEYS, UPSTREAM_KEYS},
};

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// As the file has it, with the tables it stands in.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The variables that set it; the first that is set wins.
    pub(crate) environment: &'static [&'static str],
    /// The flag that sets it, dashes included; empty where none does (secrets).
    pub(crate) flag: &'static str,
    /// The word for its value in the help text.
    pub(crate) value: &'static str,
    /// The help text, one line.
    pub(crate) help: &'static str,
}

impl Key {
    /// How to give it, for the message that it is missing.
    pub(crate) fn how(&self) -> String {
        let mut ways = Vec::new();
        if !self.flag.is_empty() {
            ways.push(format!("{} {}", self.flag, self.value));
        }
        // Of a list, the plural and the singular; one is enough to know.
        let names = if self.kind == Kind::List { 1 } else { 2 };
        let variables = self.environment.iter().take(names);
        ways.extend(variables.map(|name| format!("{name}=…")));
        if self.kind != Kind::Secret {
            ways.push(format!("`{}` in the file", self.name));
        }
        ways.join(", or ")
    }
}

/// What a setting's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A list of texts; in the environment separated by commas or white space.
    List,
    /// A text, or a list of texts: read as a list.
    OneOrList,
    Number,
    Switch,
    /// Text, or `true`.
    TextOrTrue,
    /// `"30s"`, `"500ms"`, or a number of seconds.
    Duration,
    /// A number from 0 to 1.
    Ratio,
    /// Never repeated in a message, and never in the file itself.
    Secret,
}

/// The forms of the credential, and what goes with them.
pub(crate) const SECRET: &str = "entra.credential.secret";
pub(crate) const CERTIFICATE: &str = "entra.credential.certificate";
pub(crate) const PASSWORD_FILE: &str = "entra.credential.password_file";
pub(crate) const SEND_X5C: &str = "entra.credential.send_x5c";
pub(crate) const FEDERATED_TOKEN_FILE: &str = "entra.credential.federated_token_file";
pub(crate) const MANAGED_IDENTITY: &str = "entra.credential.managed_identity";
pub(crate) const SECRET_FILE: &str = "entra.credential.secret_file";

/// Each of these alone is a credential; the others go with `certificate`.
pub(crate) const FORMS: [&str; 5] = [
    SECRET,
    SECRET_FILE,
    CERTIFICATE,
    FEDERATED_TOKEN_FILE,
    MANAGED_IDENTITY,
];

/// What `[oidc]` shares with `[entra]`, where the table has it.
pub(crate) const SHARED_WITH_OIDC: [&str; 4] =
    ["client_id", "credential", "ca_file", "allow_http_loopback"];

/// The setting called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lo_06_no_secret_has_a_flag() {
        for key in KEYS {
            assert_eq!(
                // An address may hold a password.
                key.kind == Kind::Secret || key.name == "cache.redis_url",
                key.flag.is_empty(),
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn names_variables_and_flags_are_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for key in KEYS {
            assert!(seen.insert(key.name), "{}", key.name);
            for variable in key.environment {
                assert!(seen.insert(variable), "{variable}");
            }
            assert!(key.flag.is_empty() || seen.insert(key.flag), "{}", key.flag);
        }
    }
}
