//! Details of a failure: what is shown at once, what is folded, and what people read in place of names that are
//! made for programs.

/// A detail for those who look into it.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What support asks for, the most useful first. Two of them are shown at once.
pub(crate) const IDS: [&str; 4] = ["aadsts", "code", "request_id", "correlation_id"];

/// The names of the facts that are shown at once.
pub(crate) fn open(facts: &[(String, String)]) -> Vec<&'static str> {
    let there = IDS
        .into_iter()
        .filter(|id| facts.iter().any(|(name, _)| name == id));
    there.take(2).collect()
}

/// What people read in place of the name of a member.
pub(crate) fn label(name: &str) -> String {
    match name {
        "aadsts" => "Error code".to_owned(),
        "type" => "Kind of problem".to_owned(),
        "error" => "OAuth error".to_owned(),
        "actor" => "Who has to act".to_owned(),
        name => {
            let words = name.split('_').map(|word| match word {
                "id" => "ID",
                word => word,
            });
            capital(&words.collect::<Vec<_>>().join(" "))
        }
    }
}

pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect());
    format!("{first}{}", chars.as_str())
}
