//! Who is refused although the token is good: whom the deny file names, and whom somebody has named on the
//! admin listener since the gateway started.
//!
//! Words that all have to fit: `tid=… oid=…` a user, `tid=… oid=*` everybody of a tenant, `azp=…` an
//! application, `uti=…` one token; with another provider than Entra ID `sub=…`, `azp=…`, `uti=…` (its `jti`).

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tower_obo::{DenyList, DenyRule};

use crate::config::is_guid;

/// So many may be added beside the file: more are a list, which a file keeps over a restart.
pub(crate) const MOST_ADDED: usize = 1_000;

/// The list that is in force, and whether its file says the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denied {
    pub(crate) list: DenyList,
    parts: Arc<Mutex<Parts>>,
    /// The file has changed to what cannot be used, or cannot be read.
    is_stale: Arc<AtomicBool>,
    /// Whether the tokens are another provider's than Entra ID, since a reload for instance.
    is_other: Arc<AtomicBool>,
}

/// What the list is made of.
#[derive(Debug, Default)]
struct Parts {
    of_file: Vec<DenyRule>,
    added: Vec<DenyRule>,
}

/// What became of the wish to take somebody off the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    Done,
    /// The file names them.
    InFile,
    Unknown,
}

impl Denied {
    /// Takes what the file says now; what was added stays.
    pub(crate) fn take_file(&self, rules: Vec<DenyRule>) {
        let mut parts = self.parts();
        parts.of_file = rules;
        self.apply(&parts);
    }

    /// Adds somebody until the process ends; whether there is room. Whoever has been added is not a second
    /// time.
    pub(crate) fn add(&self, rule: DenyRule) -> bool {
        let mut parts = self.parts();
        if parts.added.contains(&rule) {
            return true;
        }
        if parts.added.len() >= MOST_ADDED {
            return false;
        }
        parts.added.push(rule);
        self.apply(&parts);
        true
    }

    /// Takes back what was added.
    pub(crate) fn remove(&self, rule: &DenyRule) -> Removed {
        let mut parts = self.parts();
        // They would be thought to be let in; and what was added stays, for when the file is changed.
        if parts.of_file.contains(rule) {
            return Removed::InFile;
        }
        let before = parts.added.len();
        parts.added.retain(|added| added != rule);
        if parts.added.len() == before {
            return Removed::Unknown;
        }
        self.apply(&parts);
        Removed::Done
    }

    /// All that is in force, in the words of the file: what the file says, and what was added.
    pub(crate) fn entries(&self) -> [Vec<String>; 2] {
        let parts = self.parts();
        [&parts.of_file, &parts.added].map(|rules| rules.iter().map(in_words).collect())
    }

    /// How many were added.
    pub(crate) fn added(&self) -> usize {
        self.parts().added.len()
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stale(&self, is_stale: bool) {
        self.is_stale.store(is_stale, Ordering::Relaxed);
    }

    /// Whose tokens they are from now on: the words are others where that is another provider.
    pub(crate) fn are_of_entra(&self, entra: bool) {
        self.is_other.store(!entra, Ordering::Relaxed);
    }

    pub(crate) fn is_of_entra(&self) -> bool {
        !self.is_other.load(Ordering::Relaxed)
    }

    /// Under the lock, so that the list in force is that of the parts.
    fn apply(&self, parts: &Parts) {
        let all = parts.of_file.iter().chain(&parts.added);
        self.list.replace(all.cloned());
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As a line of the file has it.
pub(crate) fn in_words(rule: &DenyRule) -> String {
    let text = rule.to_string();
    let has = |name: &str| text.split(' ').any(|word| word.starts_with(name));
    match has("tid=") && !has("oid=") {
        true => format!("{text} oid=*"),
        false => text,
    }
}

/// Which words there are, for messages.
const ENTRA: &str = "`tid=… oid=…` for a user, `tid=… oid=*` for a tenant, `azp=…` for an application or `uti=…` for a token";
const OTHER: &str =
    "`sub=…` for a user, `azp=…` for an application or `uti=…` for a token (its jti)";

/// Whom these words mean. `entra`: the tokens are Entra ID's.
///
/// # Errors
///
/// Why they mean nobody, and what would be right.
pub(crate) fn rule(words: &[&str], entra: bool) -> Result<DenyRule, String> {
    let known = if entra { ENTRA } else { OTHER };
    let mut claims = [None; 5];
    for word in words {
        let (name, value) = word
            .split_once('=')
            .filter(|(_, value)| !value.is_empty())
            .ok_or_else(|| format!("{word:?} says nothing: write {known}"))?;
        let at = match name {
            "tid" if entra => 0,
            "oid" if entra => 1,
            "sub" if !entra => 2,
            "azp" => 3,
            "uti" => 4,
            _ => return Err(format!("{name:?} is no word of a deny list: write {known}")),
        };
        let is_guid = is_guid(value) || (name == "oid" && value == "*");
        if entra && at != 4 && !is_guid {
            return Err(format!(
                "{name}: {value:?} is no GUID such as 11111111-2222-3333-4444-555555555555"
            ));
        }
        if claims
            .get_mut(at)
            .is_some_and(|claim| claim.replace(value).is_some())
        {
            return Err(format!("{name} is there twice; give each its own line"));
        }
    }
    let [tenant, user, subject, application, token] = claims;
    let user = match (tenant, user) {
        (Some(tenant), Some("*")) => Some(DenyRule::tenant(tenant)),
        (Some(tenant), Some(user)) => Some(DenyRule::user(tenant, user)),
        (Some(_), None) => {
            return Err(
                "tid alone is a whole tenant: add oid=… for a user, or oid=* if all are meant"
                    .to_owned(),
            );
        }
        (None, Some(_)) => {
            return Err("oid alone is nobody: a user is known by tid and oid together".to_owned());
        }
        (None, None) => None,
    };
    let rules = [
        user,
        subject.map(DenyRule::subject),
        application.map(DenyRule::application),
        token.map(DenyRule::token),
    ];
    let rule = rules.into_iter().flatten().reduce(DenyRule::and);
    rule.ok_or_else(|| format!("it names nobody: write {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTOSO: &str = "c0a705a0-0000-4000-8000-000000000001";
    const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";

    #[test]
    fn what_is_in_force_is_said_in_words_that_mean_the_same() {
        for words in [
            &[format!("tid={CONTOSO}"), format!("oid={ALICE}")][..],
            &[format!("tid={CONTOSO}"), "oid=*".to_owned()],
            &[format!("azp={ALICE}"), "uti=a-b".to_owned()],
        ] {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let meant = rule(&words, true).unwrap();
            let said = in_words(&meant);
            let said: Vec<&str> = said.split(' ').collect();
            assert_eq!(rule(&said, true), Ok(meant), "{said:?}");
        }
    }

    #[test]
    fn what_was_added_outlives_a_change_of_the_file_and_no_file_entry_is_taken_back() {
        let denied = Denied::default();
        let [of_file, added] = [DenyRule::token("a"), DenyRule::token("b")];
        denied.take_file(vec![of_file.clone()]);
        assert!(denied.add(added.clone()) && denied.add(added.clone()));
        assert_eq!((denied.list.len(), denied.added()), (2, 1));
        denied.take_file(Vec::new());
        assert_eq!(denied.list.len(), 1);
        denied.take_file(vec![of_file.clone()]);
        assert_eq!(denied.remove(&of_file), Removed::InFile);
        assert_eq!(denied.remove(&added), Removed::Done);
        assert_eq!(denied.remove(&added), Removed::Unknown);
        assert_eq!(denied.list.len(), 1);
        assert_eq!(denied.entries(), [vec!["uti=a".to_owned()], vec![]]);
    }

    #[test]
    fn there_is_an_end_to_what_may_be_added() {
        let denied = Denied::default();
        for number in 0..MOST_ADDED {
            assert!(denied.add(DenyRule::token(&number.to_string())));
        }
        assert!(!denied.add(DenyRule::token("one more")));
        assert!(denied.add(DenyRule::token("0")), "it is there");
        assert_eq!(denied.list.len(), MOST_ADDED);
    }
}
