//! The shape of the file: which settings there are, and of what kind. A deserializer stops at the first that
//! is wrong; here each is named, with its line and what would be right.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::Kind::{Choice, Many, Names, Number, One, Switch, Text, Texts};

/// Lines that are no TOML are named up to here: somebody has given another kind of file.
const MOST_LINES: usize = 5;

/// How much alike two names are, from 0 to 1, of which one is likely meant by the other.
const ALIKE: f64 = 0.8;

/// What a setting takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    Switch,
    /// A whole number up to this one.
    Number(u64),
    Texts,
    /// A table whose names are free and whose values are strings.
    Names,
    Choice(&'static [&'static str]),
    One(&'static [Setting]),
    Many(&'static [Setting]),
}

/// A setting of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
}

const fn may(name: &'static str, kind: Kind) -> Setting {
    let required = false;
    Setting {
        name,
        kind,
        required,
    }
}

const fn must(name: &'static str, kind: Kind) -> Setting {
    let required = true;
    Setting {
        name,
        kind,
        required,
    }
}

const U32: u64 = u32::MAX as u64;

pub(super) const FILE: &[Setting] = &[
    may("token_lifetime", Number(U32)),
    may("page_size", Number(U32)),
    may("arm_rate_limit", One(RATE_LIMIT)),
    may("tenant", Many(TENANT)),
    may("user", Many(USER)),
    may("application", Many(APPLICATION)),
    may("consent", Many(CONSENT)),
    may("assignment", Many(ASSIGNMENT)),
];

pub(super) const RATE_LIMIT: &[Setting] =
    &[must("bucket", Number(U32)), must("per_second", Number(U32))];

pub(super) const TENANT: &[Setting] = &[must("id", Text), must("name", Text), must("domain", Text)];

pub(super) const USER: &[Setting] = &[
    must("username", Text),
    may("tenant", Text),
    may("oid", Text),
    may("password", Text),
    may("name", Text),
    may("note", Text),
    may("mfa", Choice(&["not-required", "required", "not-enrolled"])),
    may("disabled", Switch),
    may("subscriptions", Many(SUBSCRIPTION)),
    may("guest_in", Names),
];

pub(super) const SUBSCRIPTION: &[Setting] = &[
    must("name", Text),
    may("id", Text),
    may("count", Number(U32)),
    may("state", Text),
    may("tags", Names),
    may("resource_groups", Many(RESOURCE_GROUP)),
];

pub(super) const RESOURCE_GROUP: &[Setting] = &[
    must("name", Text),
    may("location", Text),
    may("tags", Names),
];

pub(super) const APPLICATION: &[Setting] = &[
    must("client_id", Text),
    must("name", Text),
    may("tenant", Text),
    may("multi_tenant", Switch),
    may("app_id_uris", Texts),
    may("secrets", Texts),
    may("certificates", Texts),
    may("federated_credentials", Many(FEDERATED_CREDENTIAL)),
    may("redirect_uris", Texts),
    may("post_logout_redirect_uris", Texts),
    may("scopes", Many(SCOPE)),
    may("app_roles", Texts),
    may("assignment_required", Switch),
    may("idtyp", Switch),
    may("own_signing_key", Switch),
    may("permissions", Many(PERMISSION)),
    may("known_client_applications", Texts),
    may("token_version", Number(u8::MAX as u64)),
    may("mfa_policy", Text),
];

pub(super) const FEDERATED_CREDENTIAL: &[Setting] = &[
    must("name", Text),
    must("issuer", Text),
    must("subject", Text),
    may("audience", Text),
    may("jwks_file", Text),
];

pub(super) const SCOPE: &[Setting] = &[must("value", Text), must("consent", Text)];

pub(super) const PERMISSION: &[Setting] = &[must("resource", Text), must("scopes", Texts)];

pub(super) const CONSENT: &[Setting] = &[
    must("tenant", Text),
    may("user", Text),
    must("client", Text),
    must("resource", Text),
    must("scopes", Texts),
];

pub(super) const ASSIGNMENT: &[Setting] = &[
    must("tenant", Text),
    must("client", Text),
    must("resource", Text),
    must("roles", Texts),
];

/// All that is wrong with the file's shape, in the order of its lines.
pub(super) fn problems(text: &str) -> Vec<String> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut check = Check {
        text,
        problems: Vec::new(),
    };
    if errors.is_empty() {
        check.table("", FILE, 0, table.get_ref());
        check.problems.sort_by_key(|(line, _)| *line);
    } else {
        check.no_toml(&errors);
    }
    let problems = check.problems.into_iter();
    problems
        .map(|(line, problem)| format!("line {line}: {problem}"))
        .collect()
}

struct Check<'a> {
    text: &'a str,
    /// With their lines.
    problems: Vec<(usize, String)>,
}

impl Check<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn wrong(&mut self, at: usize, problem: String) {
        self.problems.push((self.line(at), problem));
    }

    /// Each line that is no TOML, once. What the parser guesses behind it would be problems that nobody has.
    fn no_toml(&mut self, errors: &[toml::de::Error]) {
        let mut lines = BTreeMap::new();
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let message = || error.message().to_owned();
            lines.entry(self.line(at)).or_insert_with(message);
        }
        let more = lines.len().saturating_sub(MOST_LINES);
        self.problems.extend(lines.into_iter().take(MOST_LINES));
        if more > 0
            && let Some((_, last)) = self.problems.last_mut()
        {
            // Writing to a string can't fail.
            let _ = write!(last, "; so are {more} more lines: is this file TOML?");
        }
    }

    /// A table that stands at `at`, and is called so in messages.
    fn table(&mut self, of: &str, known: &[Setting], at: usize, table: &DeTable<'_>) {
        for (name, value) in table {
            let at = name.span().start;
            let name: &str = name.get_ref().as_ref();
            match known.iter().find(|setting| setting.name == name) {
                Some(setting) => self.setting(&path(of, name), setting.kind, value),
                None => self.wrong(at, unknown(of, name, known)),
            }
        }
        for setting in known.iter().filter(|setting| setting.required) {
            if !table.keys().any(|name| name.get_ref() == setting.name) {
                self.wrong(at, format!("{}: is missing", path(of, setting.name)));
            }
        }
    }

    fn setting(&mut self, of: &str, kind: Kind, value: &Spanned<DeValue<'_>>) {
        let at = value.span().start;
        let wanted = match (kind, value.get_ref()) {
            (Text, DeValue::String(_)) | (Switch, DeValue::Boolean(_)) => return,
            (Number(most), DeValue::Integer(number)) => {
                match u64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) if number <= most => return,
                    _ => {
                        let problem = format!("{of}: a whole number from 0 to {most} is wanted");
                        return self.wrong(at, problem);
                    }
                }
            }
            (Choice(choices), DeValue::String(choice)) => {
                if !choices.contains(&choice.as_ref()) {
                    let problem = format!(
                        "{of}: {choice:?} is none of what there is: {}",
                        choices.join(", ")
                    );
                    self.wrong(at, problem);
                }
                return;
            }
            (Texts, DeValue::Array(items)) => {
                for item in items.iter() {
                    self.setting(of, Text, item);
                }
                return;
            }
            (Names, DeValue::Table(table)) => {
                for (name, value) in table {
                    self.setting(&path(of, name.get_ref()), Text, value);
                }
                return;
            }
            (One(known), DeValue::Table(table)) => return self.table(of, known, at, table),
            (Many(known), DeValue::Array(items)) => {
                for item in items.iter() {
                    self.setting(of, One(known), item);
                }
                return;
            }
            (Text | Choice(_), _) => "a string",
            (Switch, _) => "true or false",
            (Number(_), _) => "a whole number",
            (Texts, _) => "a list of strings",
            (Names, _) => "a table of strings",
            (One(_), _) => "a table",
            (Many(_), _) => "a list of tables",
        };
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) {
            "an"
        } else {
            "a"
        };
        self.wrong(
            at,
            format!("{of}: {wanted} is wanted, not {article} {found}"),
        );
    }
}

fn path(of: &str, name: &str) -> String {
    if of.is_empty() {
        name.to_owned()
    } else {
        format!("{of}.{name}")
    }
}

/// What to say of a name that no setting has.
fn unknown(of: &str, name: &str, known: &[Setting]) -> String {
    let alike = |known: &Setting| strsim::jaro_winkler(known.name, name);
    let near = known
        .iter()
        .max_by(|one, other| alike(one).total_cmp(&alike(other)));
    let of = path(of, name);
    match near.filter(|near| alike(near) >= ALIKE) {
        Some(near) => format!("{of}: there is no such setting; is {:?} meant?", near.name),
        None => {
            let known: Vec<_> = known.iter().map(|known| known.name).collect();
            format!(
                "{of}: there is no such setting; there are: {}",
                known.join(", ")
            )
        }
    }
}
