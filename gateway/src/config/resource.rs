//! What the API says of itself to clients that look for it (RFC 9728): `public_url` and what goes
//! with it.

use std::{fmt, str::FromStr};

use url::Url;

use super::resolve::Resolver;

/// What the API says of itself to clients that look for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Resource {
    /// Where callers find the API.
    pub url: PublicUrl,
    /// What it is called.
    pub name: Option<String>,
    /// A page about it, for people.
    pub documentation: Option<String>,
}

/// Where callers find the API: its resource identifier, kept byte for byte, since clients compare it
/// so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: Box<str>,
    /// Scheme and authority end here.
    path_at: usize,
}

impl Resource {
    /// What is said where nothing but the address is known.
    #[must_use]
    pub const fn new(url: PublicUrl) -> Self {
        Self {
            url,
            name: None,
            documentation: None,
        }
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        Self::parse(text).map_err(PublicUrlError)
    }
}

/// Why a text is no [`PublicUrl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrlError(String);

impl fmt::Display for PublicUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PublicUrlError {}

impl PublicUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("{text:?} is no address: {error}"))?;
        let local = super::value::is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if local => {}
            _ => return Err("a public address is https".to_owned()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address must not hold a user name or password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("a public address has neither query nor fragment".to_owned());
        }
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'"' | b'\\' | b';'));
        let after_scheme = text.find("://").map(|at| at + 3);
        let Some(start) = after_scheme.filter(|_| plain && !text.contains("/.")) else {
            return Err(
                "only plain characters are allowed, and no segment that begins with a dot: others have more than one spelling"
                    .to_owned(),
            );
        };
        let path_at = text
            .get(start..)
            .and_then(|rest| rest.find('/'))
            .map_or(text.len(), |at| start + at);
        Ok(Self {
            text: text.into(),
            path_at,
        })
    }

    /// As it was configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme and authority.
    pub(crate) fn origin(&self) -> &str {
        self.text.split_at(self.path_at).0
    }

    /// The path, which is empty where only a slash follows the authority.
    pub(crate) fn path(&self) -> &str {
        match self.text.split_at(self.path_at).1 {
            "/" => "",
            path => path,
        }
    }
}

impl Resolver<'_> {
    pub(super) fn resource(&mut self) -> Option<Resource> {
        const DOCUMENTATION: &str = "resource_documentation";
        let documentation = self.settings.text(DOCUMENTATION);
        if let Some(given) = &documentation
            && !Url::parse(given.value).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
        {
            let message = format!("{:?} is no address of a page", given.value);
            self.problems
                .push(given.origin.clone(), DOCUMENTATION, message);
        }
        let Some(given) = self.settings.text("public_url") else {
            for key in ["resource_name", DOCUMENTATION] {
                if let Some(given) = self.settings.text(key)
                    && !self.has_been_said("public_url")
                {
                    let message = "says something only where `public_url` is set";
                    self.problems.push(given.origin, key, message);
                }
            }
            return None;
        };
        match PublicUrl::parse(given.value) {
            Ok(url) => Some(Resource {
                url,
                name: self
                    .settings
                    .text("resource_name")
                    .map(|given| given.value.to_owned()),
                documentation: documentation.map(|given| given.value.to_owned()),
            }),
            Err(message) => {
                self.problems.push(given.origin, "public_url", message);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_kept_byte_for_byte() {
        for (text, origin, path) in [
            ("https://api.example.com", "https://api.example.com", ""),
            ("https://API.example.com/", "https://API.example.com", ""),
            (
                "https://api.example.com:8443/base/v1",
                "https://api.example.com:8443",
                "/base/v1",
            ),
            ("http://127.0.0.1:8080/x/", "http://127.0.0.1:8080", "/x/"),
        ] {
            let url = PublicUrl::parse(text).unwrap();
            assert_eq!(
                (url.as_str(), url.origin(), url.path()),
                (text, origin, path)
            );
        }
        for bad in [
            "api.example.com",
            "http://api.example.com",
            "https://u@api.example.com",
            "https://api.example.com/?x",
            "https://api.example.com/#x",
            "https://api.example.com/%41",
            "https://api.example.com/a/../b",
            "https://api.example.com/a b",
            "ftp://x",
            "",
            "https:api.example.com",
            "https://ä.example.com",
        ] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
