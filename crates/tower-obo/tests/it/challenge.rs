//! A strict reader of `WWW-Authenticate`, which shares nothing with the library's writer.

use std::collections::BTreeMap;

use http::{HeaderMap, header::WWW_AUTHENTICATE};

/// One challenge: its scheme and its auth-params, each of which stands there once.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Challenge {
    pub(crate) scheme: String,
    pub(crate) params: BTreeMap<String, String>,
}

impl Challenge {
    /// The one challenge of a response; `None` if it has no `WWW-Authenticate` at all.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let lines: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
        assert!(lines.len() <= 1, "more than one challenge: {lines:?}");
        let line = lines.first()?.to_str().unwrap();
        let strict = Self::parse(line).unwrap_or_else(|reason| panic!("{reason}: {line}"));
        assert_eq!(strict, Self::parse_as_others_do(line), "{line}");
        Some(strict)
    }

    /// By a parser that nobody here has written.
    fn parse_as_others_do(line: &str) -> Self {
        let challenges = http_auth::parse_challenges(line).unwrap();
        let [challenge] = &challenges[..] else {
            panic!("one challenge: {line}");
        };
        let params = challenge.params.iter();
        Self {
            scheme: challenge.scheme.to_owned(),
            params: params
                .map(|(name, value)| ((*name).to_owned(), value.to_unescaped()))
                .collect(),
        }
    }

    /// `scheme 1*SP auth-param *( "," SP auth-param )`, every value a quoted-string (RFC 9110
    /// §11.6.1, RFC 6750 §3): narrower than the grammar, because that is what clients read.
    pub(crate) fn parse(line: &str) -> Result<Self, &'static str> {
        let (scheme, mut rest) = line.split_once(' ').ok_or("no space after the scheme")?;
        if scheme.is_empty() || !scheme.bytes().all(is_tchar) {
            return Err("the scheme is no token");
        }
        let mut params = BTreeMap::new();
        loop {
            let (name, after) = rest.split_once("=\"").ok_or("no quoted-string")?;
            if name.is_empty() || !name.bytes().all(is_tchar) {
                return Err("a name is no token");
            }
            let (value, after) = quoted(after)?;
            if params.insert(name.to_owned(), value).is_some() {
                return Err("a parameter stands twice");
            }
            if after.is_empty() {
                break;
            }
            rest = after.strip_prefix(", ").ok_or("no comma and space")?;
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            params,
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.params.keys().map(String::as_str).collect()
    }
}

/// The text up to the closing quote, and what stands behind it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(chars.next().ok_or("an escape without a character")?.1),
            ' '..='~' => value.push(char),
            _ => return Err("a character that no quoted-string has"),
        }
    }
    Err("no closing quote")
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[test]
fn a_challenge_is_read_strictly() {
    let good = Challenge::parse(r#"Bearer realm="", error="a \"b\" \\c""#).unwrap();
    assert_eq!(good.scheme, "Bearer");
    assert_eq!(good.names(), ["error", "realm"]);
    assert_eq!(good.get("error"), Some(r#"a "b" \c"#));
    for bad in [
        "Bearer",
        "Bearer ",
        " realm=\"\"",
        "Bearer realm=x",
        "Bearer realm=\"x",
        "Bearer realm=\"x\" error=\"y\"",
        "Bearer realm=\"x\",error=\"y\"",
        "Bearer realm=\"x\", ",
        "Bearer realm=\"x\", realm=\"y\"",
        "Bearer realm=\"ä\"",
        "Bearer realm=\"x\", Bearer error=\"y\"",
    ] {
        assert!(Challenge::parse(bad).is_err(), "{bad}");
    }
}
