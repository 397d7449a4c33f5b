//! Where settings come from, the later over the earlier: the file, the environment, the flags.

use std::{fmt, net::SocketAddr};

use super::{Config, Origin, Problems, Settings, file, keys, oidc, resolve, variables::Misnamed};

/// The three layers, before they are read.
#[derive(Default)]
pub struct Sources<'a> {
    file: Option<(String, String)>,
    environment: Option<Box<dyn Fn(&str) -> Option<String> + 'a>>,
    variables: Vec<String>,
    flags: Settings,
    problems: Problems,
    files_must_exist: bool,
}

impl<'a> Sources<'a> {
    /// No layer yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The lowest layer: the text of a TOML file, and the name it has in messages.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.file = Some((name.into(), text.into()));
        self
    }

    /// The middle layer: environment variables, read through `read`.
    #[must_use]
    pub fn environment(mut self, read: impl Fn(&str) -> Option<String> + 'a) -> Self {
        self.environment = Some(Box::new(read));
        self
    }

    /// The names of all variables that there are: one that begins with `OBO_` and that no setting has is a
    /// warning, or a problem, where it looks like a misspelt one and nothing is run
    /// ([`files_must_exist`](Self::files_must_exist)) or something else is wrong.
    ///
    /// ```
    /// let sources = obo_gateway::Sources::new().variables(["OBO_UPSTREEM".to_owned()]);
    /// let problems = sources.load().unwrap_err().to_string();
    /// assert!(problems.contains("OBO_UPSTREEM: no setting has this variable; OBO_UPSTREAM is meant?"));
    /// ```
    #[must_use]
    pub fn variables(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.variables.extend(names);
        self.variables.sort();
        self
    }

    /// The upper layer: flags, given as their names (dashes included) and values.
    #[must_use]
    pub fn flag(mut self, flag: &str, values: &[String]) -> Self {
        match keys::KEYS
            .iter()
            .find(|key| !flag.is_empty() && key.flag == flag)
        {
            Some(key) => {
                let origin = Origin::Flag(key.flag);
                self.flags.put_text(key, values, origin, &mut self.problems);
            }
            None => self.problems.push(Origin::Nowhere, flag, "unknown flag"),
        }
        self
    }

    /// Makes it a problem if a file that the settings name cannot be used, and looks at whatever else could keep a
    /// gateway from starting. Without this a credential that is missing is a warning, since it may appear
    /// once the gateway runs, and what is wrong with the other files is said at the start.
    /// Reads the files, so that it blocks.
    #[must_use]
    pub const fn files_must_exist(mut self) -> Self {
        self.files_must_exist = true;
        self
    }

    /// Reads all layers.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with where it stands.
    pub fn load(mut self) -> Result<Config, Problems> {
        let (settings, problems) = self.settings()?;
        let none = |_: &str| None;
        let environment: &dyn Fn(&str) -> Option<String> = match &self.environment {
            Some(read) => read.as_ref(),
            None => &none,
        };
        let Misnamed { misspelt, unknown } =
            Misnamed::among(self.variables.iter().map(String::as_str));
        let resolved = resolve::resolve(&settings, problems, self.files_must_exist, environment);
        match resolved {
            Ok(_) if self.files_must_exist && !misspelt.is_empty() => Err(misspelt),
            Ok(mut config) => {
                config.ignored.append(misspelt);
                config.ignored.append(unknown);
                Ok(config)
            }
            Err(mut problems) => {
                problems.append(misspelt);
                Err(problems)
            }
        }
    }

    /// Reads where the admin listener is, whatever else is missing or wrong; `None`: nowhere.
    ///
    /// # Errors
    ///
    /// The file cannot be read as TOML, or the address is none.
    pub fn admin_listen(mut self) -> Result<Option<SocketAddr>, Problems> {
        let (settings, _) = self.settings()?;
        let Some(given) = settings.values.text("admin.listen") else {
            return Ok(None);
        };
        match given.value.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => {
                let mut problems = Problems::default();
                let message = resolve::no_address(given.value);
                problems.push(given.origin, "admin.listen", message);
                Err(problems)
            }
        }
    }

    /// Lays the layers over each other.
    fn settings(&mut self) -> Result<(Settings, Problems), Problems> {
        let mut problems = std::mem::take(&mut self.problems);
        let mut settings = Settings::default();
        if let Some((name, text)) = &self.file {
            let before = problems.iter().count();
            settings.overlay(file::parse(name, text, &mut problems));
            if problems
                .iter()
                .skip(before)
                .any(|problem| problem.key().is_empty())
            {
                // No TOML at all: whatever else is missing may stand in it.
                return Err(problems);
            }
        }
        if let Some(read) = &self.environment {
            let is_there = |settings: &Settings| settings.values.text(oidc::ISSUER).is_some();
            let other = is_there(&settings)
                || is_there(&self.flags)
                || read(oidc::ISSUER_VARIABLE).is_some_and(|issuer| !issuer.is_empty());
            let environment = Settings::from_environment(read.as_ref(), !other, &mut problems);
            settings.overlay(environment);
        }
        settings.overlay(std::mem::take(&mut self.flags));
        Ok((settings, problems))
    }
}

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}
