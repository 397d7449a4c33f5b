//! Which paths a route is for, as the configuration writes it.

use std::{fmt, str::FromStr};

use super::has_dot_segment;

/// Which paths a route is for.
///
/// `/healthz` is exactly that path. `/subscriptions/*` is `/subscriptions` and everything below it,
/// but not `/subscriptionsX`. `/*` is everything. Letter case matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Without the final `/*`.
    text: String,
    below: bool,
}

impl Pattern {
    /// The pattern `/*`.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            text: String::new(),
            below: true,
        }
    }

    /// Whether `path` fits.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        match path.strip_prefix(self.text.as_bytes()) {
            Some([]) => true,
            Some([b'/', ..]) => self.below,
            Some(_) | None => false,
        }
    }

    /// Orders patterns, the most specific first: exact before prefix, long before short.
    pub(crate) fn specificity(&self) -> impl Ord + use<> {
        (self.below, std::cmp::Reverse(self.text.len()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.below {
            f.write_str("/*")
        } else {
            Ok(())
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError("a path begins with `/`"));
        }
        let (text, below) = match text.strip_suffix("/*") {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if text.contains('*') {
            return Err(PatternError(
                "`*` stands only as `/*` at the end, for everything below",
            ));
        }
        if below && text.ends_with('/') || text.contains("//") {
            return Err(PatternError("a path has no empty segment"));
        }
        if text.contains(['?', '#']) {
            return Err(PatternError(
                "routes are picked by the path alone, without query or fragment",
            ));
        }
        if text.contains(['%', ';', '\\']) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PatternError(
                "only plain characters are allowed: others have more than one spelling",
            ));
        }
        if has_dot_segment(text.as_bytes()) {
            return Err(PatternError("`.` and `..` segments are never forwarded"));
        }
        Ok(Self {
            text: text.to_owned(),
            below,
        })
    }
}

/// Why a text is no [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternError(&'static str);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for PatternError {}
