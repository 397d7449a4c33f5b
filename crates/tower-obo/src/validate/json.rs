//! JSON objects read strictly: no member twice, no number that is not an integer.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::TokenDefect;

/// Reads the object in `bytes`, gives each member to `member` and refuses a member that stands
/// twice, also when its name is written with escapes (RFC 7515 §4, RFC 7519 §4).
///
/// `member` must take the value off the map.
pub(super) fn read_object<'a, F>(bytes: &'a [u8], member: F) -> Result<(), TokenDefect>
where
    F: FnMut(&str, &mut dyn TakeValue<'a>) -> Result<(), TokenDefect>,
{
    // Strings that are skipped over are not checked by the parser, so all of it is checked here.
    let text = std::str::from_utf8(bytes).map_err(|_| TokenDefect::Json)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let mut defect = None;
    let read = json.deserialize_map(Members {
        member,
        defect: &mut defect,
    });
    if let Some(defect) = defect {
        return Err(defect);
    }
    read.map_err(|_| TokenDefect::Json)?;
    json.end().map_err(|_| TokenDefect::Json)
}

/// A value, as far as any claim or header parameter looks into it.
///
/// Told by how it is written. A [`serde_json::Value`] would not do: it takes an object with one
/// magic member for the JSON in that member's text, so that an object could pass for a string.
///
/// Texts are parts of the token, unless they are written with escapes: most tokens are refused or
/// interned, and need none of their own.
pub(super) enum Json<'a> {
    Text(Cow<'a, str>),
    Texts(Vec<Cow<'a, str>>),
    /// Without sign, fraction or exponent.
    Integer(u64),
    /// As it is written, to be read in its turn.
    Object(&'a str),
    Other,
}

/// A value that has not been read yet.
pub(super) trait TakeValue<'a> {
    /// Reads the value.
    fn take(&mut self) -> Result<Json<'a>, TokenDefect>;
    /// Passes over the value.
    fn skip(&mut self) -> Result<(), TokenDefect>;
}

struct Members<'a, F> {
    member: F,
    defect: &'a mut Option<TokenDefect>,
}

impl<'de, F> Visitor<'de> for Members<'_, F>
where
    F: FnMut(&str, &mut dyn TakeValue<'de>) -> Result<(), TokenDefect>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let mut seen = Names::default();
        let mut slot = Slot(map);
        while let Some(Text(name)) = slot.0.next_key()? {
            let result = match seen.insert(name.clone()) {
                Ok(()) => (self.member)(&name, &mut slot),
                Err(defect) => Err(defect),
            };
            if let Err(defect) = result {
                *self.defect = Some(defect);
                return Err(de::Error::custom(""));
            }
        }
        Ok(())
    }
}

/// The names that have been met. As many as a token of Entra ID has are compared one by one, which
/// costs less than a hash of each; more of them are not left to grow with their square.
#[derive(Default)]
struct Names<'a> {
    usual: SmallVec<[Cow<'a, str>; USUAL_MEMBERS]>,
    more: HashSet<Cow<'a, str>>,
}

/// What an access token of Entra ID has, and some.
const USUAL_MEMBERS: usize = 40;

/// More than any token has. To compare thousands of names, which a token of 16 KiB has room for, would
/// cost more than its signature.
const MOST_MEMBERS: usize = 256;

impl<'a> Names<'a> {
    /// Takes a name that is new.
    fn insert(&mut self, name: Cow<'a, str>) -> Result<(), TokenDefect> {
        if self.usual.contains(&name) {
            return Err(TokenDefect::DuplicateMember);
        }
        if self.usual.len() < USUAL_MEMBERS {
            self.usual.push(name);
            return Ok(());
        }
        if self.usual.len() + self.more.len() == MOST_MEMBERS {
            return Err(TokenDefect::TooLarge);
        }
        match self.more.insert(name) {
            true => Ok(()),
            false => Err(TokenDefect::DuplicateMember),
        }
    }
}

/// A part of the text, unless it is written with escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Slot<A>(A);

impl<'de, A: MapAccess<'de>> TakeValue<'de> for Slot<A> {
    fn take(&mut self) -> Result<Json<'de>, TokenDefect> {
        Json::read(self.text()?)
    }

    fn skip(&mut self) -> Result<(), TokenDefect> {
        self.text().map(drop)
    }
}

impl<'de, A: MapAccess<'de>> Slot<A> {
    /// The value as it is written. The parser passes over it without recursion.
    fn text(&mut self) -> Result<&'de str, TokenDefect> {
        let raw: &RawValue = self.0.next_value().map_err(|_| TokenDefect::Json)?;
        let text = raw.get();
        // Nobody behind us, who may read it all, shall get what fills the stack of a parser.
        if is_deep(text) {
            return Err(TokenDefect::Json);
        }
        Ok(text)
    }
}

/// Lists and objects may stand this deep in each other, as in most parsers.
const MAX_DEPTH: usize = 128;

/// Whether a text that is known to be one JSON value is nested too deep.
fn is_deep(text: &str) -> bool {
    if !text.starts_with(['[', '{']) {
        return false;
    }
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

impl<'a> Json<'a> {
    /// Reads a text that is known to be one JSON value.
    fn read(text: &'a str) -> Result<Self, TokenDefect> {
        match text.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Ok(Self::Text(Cow::Borrowed(&text[1..text.len() - 1])))
            }
            [b'"', ..] => serde_json::from_str(text)
                .map(|Text(text)| Self::Text(text))
                .map_err(|_| TokenDefect::Json),
            [b'[', ..] => Ok(serde_json::from_str::<Vec<Text<'_>>>(text)
                .map_or(Self::Other, |texts| {
                    Self::Texts(texts.into_iter().map(|Text(text)| text).collect())
                })),
            [b'{', ..] => Ok(Self::Object(text)),
            [b'0'..=b'9', ..] => Ok(text.parse().map_or(Self::Other, Self::Integer)),
            _ => Ok(Self::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &[u8]) -> Result<Vec<String>, TokenDefect> {
        let mut names = Vec::new();
        read_object(text, |name, value| {
            names.push(name.to_owned());
            value.skip()
        })?;
        Ok(names)
    }

    #[test]
    fn members_are_given_in_order() {
        assert_eq!(names(br#"{"b":[1,{"b":2}],"a":"x"}"#).unwrap(), ["b", "a"]);
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_however_it_is_written() {
        for text in [r#"{"alg":1,"alg":2}"#, r#"{"alg":1,"\u0061lg":2}"#] {
            let result = names(text.as_bytes());
            assert_eq!(result, Err(TokenDefect::DuplicateMember), "{text}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_whoever_reads_it() {
        let read = |value: &str| {
            let text = format!("{{\"a\":{value}}}");
            let taken = read_object(text.as_bytes(), |_, value| value.take().map(drop));
            assert_eq!(taken, names(text.as_bytes()).map(drop), "{value}");
            taken
        };
        let nested = |open: &str, close: &str, depth| {
            format!("{}1{}", open.repeat(depth), close.repeat(depth))
        };
        for (open, close) in [("[", "]"), ("[2,", "]"), ("{\"b\":", "}")] {
            assert_eq!(read(&nested(open, close, MAX_DEPTH)), Ok(()), "{open}");
            for depth in [MAX_DEPTH + 1, 10_000] {
                let result = read(&nested(open, close, depth));
                assert_eq!(result, Err(TokenDefect::Json), "{open} {depth}");
            }
        }
        // Neither brackets in texts count, nor those that stand beside each other.
        let brackets = nested("[", "]", 200);
        for shallow in [
            format!("\"{brackets}\""),
            format!("[\"{}\"]", "[".repeat(200)),
            format!("[\"\\\"{}\"]", "[".repeat(200)),
            format!("[{}1]", "[],".repeat(200)),
        ] {
            assert_eq!(read(&shallow), Ok(()), "{shallow}");
        }
        // A backslash at the end of a text escapes no quote.
        let behind = format!("[\"\\\\\",{}]", nested("[", "]", MAX_DEPTH));
        assert_eq!(read(&behind), Err(TokenDefect::Json));
    }

    #[test]
    fn more_members_than_any_token_has_are_not_compared() {
        for (count, expected) in [
            (MOST_MEMBERS, Ok(MOST_MEMBERS)),
            (MOST_MEMBERS + 1, Err(TokenDefect::TooLarge)),
            (2_000, Err(TokenDefect::TooLarge)),
        ] {
            let members: Vec<_> = (0..count).map(|n| format!("\"{n}\":0")).collect();
            let text = format!("{{{}}}", members.join(","));
            let read = names(text.as_bytes()).map(|names| names.len());
            assert_eq!(read, expected, "{count}");
        }
    }

    #[test]
    fn nor_does_it_matter_how_many_stand_between() {
        for between in [0, 1, 38, 39, 40, 41, 253] {
            let between: String = (0..between).map(|n| format!("\"{n}\":0,")).collect();
            let text = |last| format!("{{\"alg\":0,{between}\"{last}\":0}}");
            let twice = names(text("alg").as_bytes());
            assert_eq!(twice, Err(TokenDefect::DuplicateMember), "{between}");
            assert!(names(text("other").as_bytes()).is_ok(), "{between}");
            let late = format!("{{{between}\"a\":0,\"\\u0061\":0}}");
            let twice = names(late.as_bytes());
            assert_eq!(twice, Err(TokenDefect::DuplicateMember), "{late}");
        }
    }

    #[test]
    fn texts_are_read_with_and_without_escapes() {
        let mut texts = Vec::new();
        read_object(
            br#"{"a":"x/y","b":"\u0078\/\"y","c":["p","\u0071"],"d":["p",1]}"#,
            |_, value| {
                texts.push(match value.take()? {
                    Json::Text(text) => text.into_owned(),
                    Json::Texts(texts) => texts.join(" "),
                    Json::Integer(_) | Json::Object(_) | Json::Other => "other".to_owned(),
                });
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(texts, ["x/y", "x/\"y", "p q", "other"]);
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(9_999));
        let texts: &[&[u8]] = &[
            b"",
            b"[]",
            b"1",
            b"\"{}\"",
            b"{} {}",
            b"{}x",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\"}",
            deep.as_bytes(),
        ];
        for text in texts {
            assert_eq!(
                names(text),
                Err(TokenDefect::Json),
                "{}",
                text.escape_ascii()
            );
        }
    }
}
