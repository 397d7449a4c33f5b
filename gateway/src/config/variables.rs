//! Environment variables that are meant for the gateway and that no setting has.

use super::{Origin, Problems, file::distance, keys::KEYS, oidc};

/// What all of ours begin with.
const PREFIX: &str = "OBO_";

/// Those that are ours and stand for no setting: the file's name, and what a build was told.
const OTHERS: [&str; 2] = ["OBO_CONFIG", "OBO_COMMIT"];

/// What is wrong with the names of variables.
#[derive(Debug, Default)]
pub(super) struct Misnamed {
    /// Another is meant, by the look of them.
    pub(super) misspelt: Problems,
    /// Nobody knows what is meant; perhaps they are not for us.
    pub(super) unknown: Problems,
}

impl Misnamed {
    pub(super) fn among<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut misnamed = Self::default();
        let ours = names
            .into_iter()
            .filter(|name| name.starts_with(PREFIX) && !is_of_kubernetes(name));
        for name in ours {
            if known().any(|known| known == name) {
                continue;
            }
            let origin = Origin::UnknownVariable(name.into());
            let near = known()
                .map(|known| (distance(known, name), known))
                .filter(|(distance, _)| *distance <= 2)
                .min();
            match near {
                Some((_, near)) => {
                    let message = format!("no setting has this variable; {near} is meant?");
                    misnamed.misspelt.push(origin, "", message);
                }
                None => {
                    let message = "no setting has this variable; it changes nothing";
                    misnamed.unknown.push(origin, "", message);
                }
            }
        }
        misnamed
    }
}

fn known() -> impl Iterator<Item = &'static str> {
    let of_settings = KEYS.iter().flat_map(|key| key.environment).copied();
    of_settings
        .filter(|name| name.starts_with(PREFIX))
        .chain(OTHERS)
        .chain([oidc::ISSUER_VARIABLE])
}

/// A service `obo-x` has these in the environment of every pod of its namespace.
fn is_of_kubernetes(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_PORT")
        || ["_SERVICE_PORT", "_PORT_"]
            .iter()
            .any(|part| name.contains(part))
}
