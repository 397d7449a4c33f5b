//! The settings themselves, each in the file of what it is about.

use super::{Key, Kind};

mod accept;
mod gateway;
mod limits;
mod log;
mod provider;

const PARTS: [&[Key]; 5] = [
    gateway::KEYS,
    provider::KEYS,
    accept::KEYS,
    limits::KEYS,
    log::KEYS,
];

/// All of them, in the order in which the pages and `--help` show them.
pub(crate) const KEYS: &[Key] = &ALL;

const ALL: [Key; count()] = joined();

const fn count() -> usize {
    let (mut count, mut part) = (0, 0);
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
}

/// One list of the parts, made while this is compiled.
const fn joined() -> [Key; count()] {
    let mut all = [NONE; count()];
    let (mut at, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut key = 0;
        while key < PARTS[part].len() {
            all[at] = PARTS[part][key];
            at += 1;
            key += 1;
        }
        part += 1;
    }
    all
}

/// What each place has before its key is put there.
const NONE: Key = Key {
    name: "",
    kind: Kind::Text,
    environment: &[],
    flag: "",
    value: "",
    help: "",
};
