//! Which fields may stand after the bodies of a route.

use http::HeaderName;

use super::{resolve::Resolver, settings::RouteTable};
use crate::{headers::Reserved, message::trailers};

impl Resolver<'_> {
    pub(super) fn trailers(&mut self, table: &RouteTable) -> Vec<String> {
        let Some(given) = table.values.list("trailers") else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for text in given.value {
            match judge(text) {
                Ok(()) => names.push(text.to_ascii_lowercase()),
                Err(message) => {
                    let origin = given.origin.clone();
                    self.problems.push(origin, "route.trailers", message);
                }
            }
        }
        names
    }
}

/// A name of a field, or the beginning of some with `*` behind it.
fn judge(text: &str) -> Result<(), String> {
    let start = text.strip_suffix('*');
    // Whatever `*` lets pass is judged by its name then.
    let Ok(name) = HeaderName::from_bytes(start.unwrap_or(text).as_bytes()) else {
        return if start == Some("") {
            Ok(())
        } else {
            Err(format!(
                "{text:?} is no name of a field such as `x-sum`, nor the beginning of some such as `x-meta-*`"
            ))
        };
    };
    if start.is_none() && (!trailers::could_trail(&name) || Reserved::default().contains(&name)) {
        return Err(format!(
            "`{name}` has a meaning in front of a body only, and never passes behind one"
        ));
    }
    Ok(())
}
