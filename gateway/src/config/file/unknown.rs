//! What to say of a key that is unknown.

use crate::config::keys::{KEYS, Key, Kind};

/// Tables that stand in the file only.
const FILE_TABLES: [&str; 2] = ["upstreams", "route"];

/// Names that say who a user is for a person, and that their owner or an administrator can change.
const MUTABLE_CLAIMS: [&str; 4] = ["upn", "email", "preferred_username", "unique_name"];

pub(super) fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

/// Names that have a meaning and no effect yet; `*` stands for a name of the user's choice.
const NOT_YET: &[&str] = &["metrics"];

fn is_not_yet(name: &str) -> bool {
    NOT_YET.iter().any(|known| match known.split_once('*') {
        None => *known == name,
        Some((group, field)) => name
            .strip_prefix(group)
            .and_then(|rest| rest.strip_suffix(field))
            .is_some_and(|between| !between.is_empty()),
    })
}

/// What to say of a key that is unknown, and the key that was meant, if one is near.
pub(super) fn unknown(name: &str, fields: &[&'static str]) -> (String, Option<String>) {
    let (table, last) = name.rsplit_once('.').unwrap_or(("", name));
    if MUTABLE_CLAIMS
        .iter()
        .any(|claim| last.trim_end_matches('s') == *claim)
    {
        let message = format!(
            "nothing is decided by `{last}`: it can be changed and reused. Decide by scopes, roles, clients or tenants"
        );
        return (message, None);
    }
    if is_not_yet(name) {
        return ("not supported yet".to_owned(), None);
    }
    let prefix = if table.is_empty() {
        String::new()
    } else {
        format!("{table}.")
    };
    let mut known = fields.to_vec();
    if fields.is_empty() {
        let candidates = KEYS
            .iter()
            .filter(|key| key.kind != Kind::Secret)
            .filter_map(|key| key.name.strip_prefix(&prefix)?.split('.').next());
        let tables = FILE_TABLES.into_iter().filter(|_| table.is_empty());
        for candidate in candidates.chain(tables) {
            if !known.contains(&candidate) {
                known.push(candidate);
            }
        }
    }
    let near = known
        .iter()
        .find(|candidate| distance(candidate, last) <= 2);
    match near {
        Some(near) => (
            format!("unknown key; `{near}` is meant?"),
            Some(format!("{prefix}{near}")),
        ),
        None => (
            format!("unknown key; known here: {}", known.join(", ")),
            None,
        ),
    }
}

/// Levenshtein's distance: how many letters to change, add or leave out.
pub(in crate::config) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(0);
            let left = row.get(j).copied().unwrap_or(0);
            let best = (diagonal + usize::from(x != *y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(j + 1) {
                *cell = best;
            }
        }
    }
    row.last().copied().unwrap_or(0)
}
