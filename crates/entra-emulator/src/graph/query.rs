//! The query of a request: `$filter` and `$select`. Whatever else Graph knows there is refused rather than passed over.

use serde_json::{Map, Value};

use super::answer::GraphError;
use super::filter::Filter;

/// What of a collection or an object is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    filter: Option<String>,
    select: Option<Vec<String>>,
}

impl Query {
    pub(super) fn parse(encoded: &str) -> Result<Self, GraphError> {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(encoded.as_bytes()) {
            match &*name {
                "$filter" => query.filter = Some(value.into_owned()),
                "$select" => {
                    let names = value.split(',').map(|name| name.trim().to_owned());
                    query.select = Some(names.collect());
                }
                // Whether the number of objects is said as well.
                "$count" => {}
                other => return Err(GraphError::query_option(other)),
            }
        }
        Ok(query)
    }

    /// Those of a collection that the filter lets through.
    pub(super) fn list(
        &self,
        objects: Vec<Value>,
        kind: &str,
        filterable: &[&str],
    ) -> Result<Vec<Value>, GraphError> {
        let filter = match &self.filter {
            Some(text) => Some(Filter::parse(text, kind, filterable)?),
            None => None,
        };
        Ok(objects
            .into_iter()
            .filter(|object| filter.as_ref().is_none_or(|filter| filter.holds(object)))
            .map(|object| self.selected(object))
            .collect())
    }

    /// The properties that were asked for.
    pub(super) fn selected(&self, object: Value) -> Value {
        match (&self.select, object) {
            (Some(names), Value::Object(all)) => {
                let kept = all.into_iter().filter(|(name, _)| names.contains(name));
                Value::Object(kept.collect::<Map<_, _>>())
            }
            (_, object) => object,
        }
    }
}
