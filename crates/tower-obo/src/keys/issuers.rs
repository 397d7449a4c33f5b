//! The issuers of an authority: templates that a token's tenant fills.

/// The issuers that an authority puts into its tokens, as its discovery documents name them.
///
/// Each may hold `{tenantid}`, which stands for the `tid` of the token, as in the documents of
/// `/organizations` and `/common`.
///
/// ```
/// use tower_obo::Issuers;
///
/// let issuers = Issuers::new("https://login.microsoftonline.com/{tenantid}/v2.0")
///     .with_v1("https://sts.windows.net/{tenantid}/");
/// assert_eq!(issuers.v1(), Some("https://sts.windows.net/{tenantid}/"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issuers {
    v2: Box<str>,
    v1: Option<Box<str>>,
}

impl Issuers {
    /// The issuer of v2.0 tokens.
    #[must_use]
    pub fn new(v2: &str) -> Self {
        Self {
            v2: v2.into(),
            v1: None,
        }
    }

    /// The issuer of v1.0 tokens, if the authority mints such.
    #[must_use]
    pub fn with_v1(mut self, v1: &str) -> Self {
        self.v1 = Some(v1.into());
        self
    }

    /// The issuer of v2.0 tokens.
    #[must_use]
    pub fn v2(&self) -> &str {
        &self.v2
    }

    /// The issuer of v1.0 tokens.
    #[must_use]
    pub fn v1(&self) -> Option<&str> {
        self.v1.as_deref()
    }
}

/// Whether `template`, with `{tenantid}` replaced by `tenant`, is exactly `issuer`. Compared byte
/// by byte: case and the last slash matter (RFC 8725 §3.8). A template of one tenant names that one, as
/// a segment of its path, and no other.
pub(crate) fn names(template: &str, tenant: &str, issuer: &str) -> bool {
    if !issuer.split('/').any(|segment| segment == tenant) {
        return false;
    }
    let mut rest = Some(issuer);
    for (at, part) in template.split("{tenantid}").enumerate() {
        if at > 0 {
            rest = rest.and_then(|rest| rest.strip_prefix(tenant));
        }
        rest = rest.and_then(|rest| rest.strip_prefix(part));
    }
    rest == Some("")
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_template_names_exactly_one_issuer_per_tenant() {
        let template = "https://login/{tenantid}/v2.0";
        assert!(names(template, "t", "https://login/t/v2.0"));
        for other in [
            "https://login/T/v2.0",
            "https://login/t/v2.0/",
            "https://login/u/v2.0",
            "https://login/t/v2.0.evil",
            "http://login/t/v2.0",
            "https://login/v2.0",
        ] {
            assert!(!names(template, "t", other), "{other}");
        }
        let external = "https://{tenantid}.ciamlogin/{tenantid}/v2.0";
        assert!(names(external, "t", "https://t.ciamlogin/t/v2.0"));
        for other in ["https://t.ciamlogin/u/v2.0", "https://u.ciamlogin/t/v2.0"] {
            assert!(!names(external, "t", other), "{other}");
        }
        assert!(names("https://login/t/v2.0", "t", "https://login/t/v2.0"));
        assert!(!names("https://login/t/v2.0", "u", "https://login/t/v2.0"));
        assert!(!names(
            "https://login/tu/v2.0",
            "u",
            "https://login/tu/v2.0"
        ));
        assert!(!names("https://login/t/v2.0", "t", "https://login/t/v2.0/"));
    }
}
