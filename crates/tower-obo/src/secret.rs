//! Text that must not be seen.

use std::fmt;

use zeroize::Zeroize;

/// A secret, an assertion or a token: its `Debug` is one fixed word, it has no `Display` and no
/// `Serialize`, and its memory is wiped when it is dropped.
///
/// ```
/// use tower_obo::Secret;
///
/// let secret = Secret::from("correct horse".to_owned());
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// assert_eq!(secret.expose(), "correct horse");
/// ```
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// The text itself. Whoever calls this takes care that it goes nowhere it should not.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        // `into_boxed_str` may move to a smaller allocation and leave the old one unwiped.
        let exact = Box::from(text.as_str());
        let mut text = text;
        text.zeroize();
        Self(exact)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
