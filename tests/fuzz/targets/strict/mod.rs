//! JSON objects read once more, by other means than the library's: the yardstick of two targets.

use std::fmt;

use serde_json::{
    Value,
    de::{Deserializer, SliceRead},
    value::RawValue,
};

/// The members in order, also those that stand twice; `None` if the text is not one object.
pub struct Members(pub Vec<(String, Box<RawValue>)>);

impl Members {
    pub fn read(text: &[u8]) -> Option<Self> {
        std::str::from_utf8(text).ok()?;
        let mut json = Deserializer::new(SliceRead::new(text));
        let members = serde::de::Deserializer::deserialize_map(&mut json, Visitor).ok()?;
        json.end().ok()?;
        Some(Self(members))
    }

    /// More than any token has are not read.
    pub fn are_few(&self) -> bool {
        self.0.len() <= 256
    }

    pub fn are_unique(&self) -> bool {
        let names = self.0.iter().map(|(name, _)| name);
        names.collect::<std::collections::HashSet<_>>().len() == self.0.len()
    }

    /// No value has more than 128 lists and objects in each other.
    pub fn are_shallow(&self) -> bool {
        self.0.iter().all(|(_, value)| depth(value.get()) <= 128)
    }

    pub fn get(&self, name: &str) -> Option<&RawValue> {
        let (_, value) = self.0.iter().find(|(own, _)| own == name)?;
        Some(value)
    }

    /// The text of a string; `Some(None)` if the value is something else.
    pub fn text(&self, name: &str) -> Option<Option<String>> {
        self.get(name).map(text)
    }

    /// The texts of a list of strings.
    pub fn texts(&self, name: &str) -> Option<Option<Vec<String>>> {
        self.get(name).map(texts)
    }
}

pub fn text(raw: &RawValue) -> Option<String> {
    // serde_json takes an object with one magic member for the JSON in it; the first byte tells.
    if !raw.get().starts_with('"') {
        return None;
    }
    match serde_json::from_str(raw.get()) {
        Ok(Value::String(text)) => Some(text),
        _ => None,
    }
}

pub fn texts(raw: &RawValue) -> Option<Vec<String>> {
    if !raw.get().starts_with('[') {
        return None;
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    items.into_iter().map(text).collect()
}

fn depth(json: &str) -> usize {
    let (mut chars, mut open, mut deepest) = (json.chars(), 0_usize, 0);
    while let Some(char) = chars.next() {
        match char {
            '[' | '{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            ']' | '}' => open -= 1,
            '"' => loop {
                match chars.next() {
                    Some('\\') => drop(chars.next()),
                    Some('"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    deepest
}

struct Visitor;

impl<'de> serde::de::Visitor<'de> for Visitor {
    type Value = Vec<(String, Box<RawValue>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
