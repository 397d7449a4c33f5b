//! The settings of one or more layers, before they are judged.

use std::{collections::BTreeMap, fmt};

use super::{
    keys::{FORMS, KEYS, Key, Kind, SECRET},
    problem::{Origin, Problems},
};

/// A value and where it was given.
#[derive(Clone, Debug)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

impl<T> Given<T> {
    pub(crate) const fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// A value in the form its [`Kind`] has. Texts are parsed further when they are judged.
#[derive(Clone)]
pub(crate) enum Value {
    Text(String),
    List(Vec<String>),
    Number(u64),
    Switch(bool),
}

impl fmt::Debug for Value {
    // A text may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(…)")
    }
}

/// What the layers gave, by key, the later layer over the earlier.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) values: Values,
    pub(crate) routes: Vec<RouteTable>,
    /// By name; `arm`'s scope stands in `values` too.
    pub(crate) downstreams: BTreeMap<String, DownstreamTable>,
    /// By name.
    pub(crate) upstreams: BTreeMap<String, UpstreamTable>,
    /// Keys that were meant where another word stands. That they are missing has been said.
    pub(crate) misspelt: Vec<String>,
}

/// One `[[route]]`, before it is judged.
#[derive(Clone, Debug)]
pub(crate) struct RouteTable {
    pub(crate) origin: Origin,
    /// By key of [`super::keys::ROUTE_KEYS`].
    pub(crate) values: Values,
    pub(crate) identity_headers: Vec<(String, Given<String>)>,
    /// Keys whose values have been found wrong, and keys that were meant.
    pub(crate) faulty: Vec<String>,
}

impl RouteTable {
    /// Whether something was wrong with this key when it was read.
    pub(crate) fn has_been_said(&self, key: &str) -> bool {
        self.faulty.iter().any(|faulty| faulty == key)
    }

    /// Where a key of this route was given, if it was.
    pub(crate) fn origin_of(&self, key: &str) -> Option<&Origin> {
        self.values.0.get(key).map(|given| &given.origin)
    }
}

/// One `[downstream.<name>]`, before it is judged.
#[derive(Clone, Debug)]
pub(crate) struct DownstreamTable {
    pub(crate) origin: Origin,
    pub(crate) scope: Option<Given<String>>,
    pub(crate) scopes: Option<Given<Vec<String>>>,
    pub(crate) resource_url: Option<Given<String>>,
    pub(crate) header: Option<Given<String>>,
    pub(crate) grant: Option<Given<String>>,
    pub(crate) audience: Option<Given<Vec<String>>>,
    pub(crate) resource: Option<Given<Vec<String>>>,
}

/// One `[upstreams.<name>]`, before it is judged.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamTable {
    pub(crate) origin: Origin,
    /// By field of [`super::keys::UPSTREAM_KEYS`].
    pub(crate) values: Values,
}

/// Values by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(pub(crate) BTreeMap<&'static str, Given<Value>>);

impl Values {
    pub(crate) fn text(&self, name: &str) -> Option<Given<&str>> {
        let given = self.0.get(name)?;
        match &given.value {
            Value::Text(text) => Some(Given::new(text, given.origin.clone())),
            _ => None,
        }
    }

    pub(crate) fn list(&self, name: &str) -> Option<Given<&[String]>> {
        let given = self.0.get(name)?;
        match &given.value {
            Value::List(list) => Some(Given::new(list, given.origin.clone())),
            _ => None,
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<Given<u64>> {
        let given = self.0.get(name)?;
        match given.value {
            Value::Number(number) => Some(Given::new(number, given.origin.clone())),
            _ => None,
        }
    }

    pub(crate) fn switch(&self, name: &str) -> bool {
        matches!(
            self.0.get(name),
            Some(Given {
                value: Value::Switch(true),
                ..
            })
        )
    }
}

impl Settings {
    /// Lays `later` over these.
    pub(crate) fn overlay(&mut self, mut later: Self) {
        later.forget_azures_secret(&self.values);
        // A credential is one setting with several forms: giving a later layer's form replaces an
        // earlier layer's other form, instead of standing beside it. What only goes with a form
        // (a password's file) leaves the form as it is.
        const CREDENTIAL: &str = "entra.credential.";
        if later.values.0.keys().any(|key| FORMS.contains(key)) {
            self.values.0.retain(|key, _| !key.starts_with(CREDENTIAL));
        }
        self.values.0.extend(later.values.0);
        self.routes.extend(later.routes);
        self.downstreams.extend(later.downstreams);
        self.upstreams.extend(later.upstreams);
        self.misspelt.extend(later.misspelt);
    }

    /// A secret that Azure's variable holds may be there for somebody else. It counts where no credential is
    /// given, as what the other variables of Azure tell of.
    fn forget_azures_secret(&mut self, earlier: &Values) {
        let given = self.values.0.get(SECRET);
        let is_azures = given.is_some_and(
            |given| matches!(given.origin, Origin::Environment(name) if name.starts_with("AZURE_")),
        );
        let others = self.values.0.keys().filter(|key| **key != SECRET);
        let mut forms = others.chain(earlier.0.keys());
        if is_azures && forms.any(|key| FORMS.contains(key)) {
            self.values.0.remove(SECRET);
        }
    }

    /// The layer of the environment: `read` gives a variable's value, or `None` where it is unset.
    ///
    /// Variables of Azure are passed over where `with_azure` is false: what they name is Entra ID's, and none
    /// of another provider's business.
    pub(crate) fn from_environment(
        read: &dyn Fn(&str) -> Option<String>,
        with_azure: bool,
        problems: &mut Problems,
    ) -> Self {
        let mut settings = Self::default();
        for key in KEYS {
            // An empty variable counts as unset: deployments write `NAME=` to say just that.
            let set = key
                .environment
                .iter()
                .filter(|name| with_azure || !name.starts_with("AZURE_"))
                .find_map(|name| Some((*name, read(name).filter(|text| !text.is_empty())?)));
            if let Some((name, text)) = set {
                settings.put_text(key, &[text], Origin::Environment(name), problems);
            }
        }
        settings
    }

    /// Adds a setting whose value came as text, from the environment or a flag.
    pub(crate) fn put_text(
        &mut self,
        key: &'static Key,
        texts: &[String],
        origin: Origin,
        problems: &mut Problems,
    ) {
        let Some(text) = texts.last() else { return };
        let text = text.trim();
        let value = match key.kind {
            Kind::Text | Kind::TextOrTrue | Kind::Duration | Kind::Ratio | Kind::Secret => {
                Value::Text(text.to_owned())
            }
            Kind::List | Kind::OneOrList => Value::List(
                texts
                    .iter()
                    .flat_map(|text| text.split(|c: char| c == ',' || c.is_whitespace()))
                    .filter(|item| !item.is_empty())
                    .map(str::to_owned)
                    .collect(),
            ),
            Kind::Number => {
                let Ok(number) = text.parse() else {
                    problems.push(origin, key.name, format!("{text:?} is no whole number"));
                    return;
                };
                Value::Number(number)
            }
            Kind::Switch => match text {
                "true" | "1" | "yes" => Value::Switch(true),
                "false" | "0" | "no" => Value::Switch(false),
                _ => {
                    problems.push(
                        origin,
                        key.name,
                        format!("{text:?} is neither true nor false"),
                    );
                    return;
                }
            },
        };
        self.values.0.insert(key.name, Given::new(value, origin));
    }

    pub(crate) fn text(&self, name: &str) -> Option<Given<&str>> {
        self.values.text(name)
    }

    pub(crate) fn list(&self, name: &str) -> Option<Given<&[String]>> {
        self.values.list(name)
    }

    pub(crate) fn number(&self, name: &str) -> Option<Given<u64>> {
        self.values.number(name)
    }

    pub(crate) fn switch(&self, name: &str) -> bool {
        self.values.switch(name)
    }
}
