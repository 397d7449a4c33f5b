//! Where settings were given, for what is found wrong with them later.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Origin, Settings};

/// Where settings were given.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<BTreeMap<String, Origin>>);

impl Places {
    pub(super) fn new(settings: &Settings) -> Self {
        let values = settings.values.0.iter();
        let mut places: BTreeMap<String, Origin> = values
            .map(|(key, given)| ((*key).to_owned(), given.origin.clone()))
            .collect();
        for (name, table) in &settings.upstreams {
            places.insert(format!("upstreams.{name}"), table.origin.clone());
            for (field, given) in &table.values.0 {
                places.insert(format!("upstreams.{name}.{field}"), given.origin.clone());
            }
        }
        Self(Arc::new(places))
    }

    /// Where that key, or the first that begins with it, was given.
    pub(crate) fn of(&self, key: &str) -> Origin {
        let table = format!("{key}.");
        let within = || {
            let mut all = self.0.iter();
            all.find(|(name, _)| name.starts_with(&table))
                .map(|(_, origin)| origin)
        };
        // What `upstream` gives is an upstream of that name.
        let place = match key {
            "upstreams.default" if !self.0.contains_key(key) => self.0.get("upstream"),
            _ => self.0.get(key).or_else(within),
        };
        place.cloned().unwrap_or(Origin::Nowhere)
    }
}

impl fmt::Debug for Places {
    // Two configurations are the same wherever they stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}
