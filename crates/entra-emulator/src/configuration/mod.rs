//! The emulator's own file: what it knows, in TOML.

mod read;
mod shape;
mod tables;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::arm::rate::RateLimit;
use crate::directory::Directory;

/// What a configuration file says.
///
/// ```
/// use entra_emulator::Configuration;
///
/// let file = r#"
///     [[tenant]]
///     id = "11111111-2222-4333-8444-555555555555"
///     name = "Mine"
///     domain = "mine.example"
///
///     [[user]]
///     username = "ann@mine.example"
///     subscriptions = [{ name = "Production" }]
/// "#;
/// let configuration = Configuration::parse(file, ".")?;
/// assert_eq!(configuration.directory.user("ann").map(|ann| &*ann.password), Some("ann-demo"));
/// # Ok::<(), entra_emulator::ConfigurationError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Configuration {
    /// Tenants, users, applications, consents. Azure Resource Manager and Microsoft Graph are in it
    /// whether or not the file has them.
    pub directory: Directory,
    /// Lifetime of access tokens.
    pub token_lifetime: Option<Duration>,
    /// How many subscriptions ARM puts on a page.
    pub page_size: Option<usize>,
    /// How many reads of one user ARM takes.
    pub arm_rate_limit: Option<RateLimit>,
}

impl Configuration {
    /// The built-in default as a file, with comments: what [`Directory::demo`] is.
    pub const DEFAULT: &str = include_str!("default.toml");

    /// Reads a file's text. Paths in it are looked for in `folder`, unless they are absolute.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] with everything that is wrong: first of the text itself, with lines (it is no TOML,
    /// a setting is not known, is missing or takes another kind of value); where nothing is, of what it says (a
    /// name that something refers to is not in the file, a file can't be read).
    pub fn parse(text: &str, folder: impl AsRef<Path>) -> Result<Self, ConfigurationError> {
        let wrong = shape::problems(text);
        if !wrong.is_empty() {
            return Err(ConfigurationError(wrong));
        }
        let file = toml::from_str(text)
            .map_err(|error| ConfigurationError(vec![error.to_string().trim_end().to_owned()]))?;
        read::read(file, folder.as_ref()).map_err(ConfigurationError)
    }
}

/// What is wrong with a configuration file, all of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigurationError(Vec<String>);

impl ConfigurationError {
    /// Each problem, in a sentence.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigurationError {}

#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod tests;
