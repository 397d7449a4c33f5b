//! What is wrong with a configuration: all of it at once.

use std::{error::Error, fmt};

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting that is wrong.
    pub setting: &'static str,
    /// What is wrong with it, and how to mend it.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

/// Everything that is wrong with a configuration, one problem a line.
///
/// ```
/// use tower_obo::{Core, Entra};
///
/// let errors = Core::builder(Entra::tenant("common")).build().unwrap_err();
/// let wrong: Vec<_> = errors.iter().map(|error| error.setting).collect();
/// assert_eq!(wrong, ["tenant", "client_id"]);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    pub(crate) fn new(
        setting: &'static str,
        problem: String,
        mut others: Vec<ConfigError>,
    ) -> Self {
        others.push(ConfigError { setting, problem });
        Self(others)
    }

    /// These and those.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Each problem.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl From<Vec<ConfigError>> for ConfigErrors {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self(errors)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}
