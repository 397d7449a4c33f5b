//! The JSON Schema of the file, from the tables by which it is read.

use serde_json::{Map, Value, json};

use super::keys::{DOWNSTREAM_KEYS, KEYS, Key, Kind, ROUTE_KEYS, SHARED_WITH_OIDC, UPSTREAM_KEYS};

/// The JSON Schema (2020-12) of the file, for editors and for whoever makes such files.
///
/// It knows every key and the form of its value. What one setting means for another (a route without an upstream, a
/// duplicate) only `obo-gateway check` finds.
///
/// ```
/// let schema = obo_gateway::schema();
/// assert_eq!(schema["properties"]["listen"]["type"], "string");
/// assert_eq!(schema["additionalProperties"], false);
/// ```
#[must_use]
pub fn schema() -> Value {
    let mut root = Map::new();
    for key in KEYS {
        put(&mut root, key.name, key);
    }
    for key in KEYS {
        let shared = key.name.strip_prefix("entra.");
        if let Some(name) = shared.filter(|name| SHARED_WITH_OIDC.contains(&first(name))) {
            put(&mut root, &format!("oidc.{name}"), key);
        }
    }
    root.insert("downstream".to_owned(), named(DOWNSTREAM_KEYS));
    root.insert("upstreams".to_owned(), named(UPSTREAM_KEYS));
    let mut route = Map::new();
    for key in ROUTE_KEYS {
        put(&mut route, key.name, key);
    }
    let headers = json!({
        "description": "Claims that the upstream gets as headers: { oid = \"X-Obo-Oid\" }",
        "type": "object",
        "additionalProperties": { "type": "string" },
    });
    route.insert("identity_headers".to_owned(), headers);
    let mut route = table(route);
    route["required"] = json!(["path"]);
    root.insert(
        "route".to_owned(),
        json!({ "type": "array", "items": route }),
    );
    if let Some(oidc) = root.get_mut("oidc") {
        oidc["required"] = json!(["issuer"]);
    }
    let mut schema = table(root);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("obo-gateway");
    schema
}

fn first(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// A table with these keys and no others.
fn table(properties: Map<String, Value>) -> Value {
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// Tables with names of the user's choice.
fn named(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        put(&mut properties, key.name, key);
    }
    json!({ "type": "object", "additionalProperties": table(properties) })
}

/// Adds a key, in the tables that it stands in.
fn put(properties: &mut Map<String, Value>, name: &str, key: &Key) {
    let Some((group, rest)) = name.split_once('.') else {
        if let Some(value) = value(key) {
            properties.insert(name.to_owned(), value);
        }
        return;
    };
    let group = properties.entry(group).or_insert_with(|| table(Map::new()));
    if let Some(Value::Object(inner)) = group.get_mut("properties") {
        put(inner, rest, key);
    }
}

/// What a value looks like; `None` for what is never in the file.
fn value(key: &Key) -> Option<Value> {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let mut value = match key.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::List => texts,
        Kind::OneOrList => json!({ "anyOf": [{ "type": "string" }, texts] }),
        Kind::Number => json!({ "type": "integer", "minimum": 0 }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::TextOrTrue => json!({ "anyOf": [{ "type": "string" }, { "const": true }] }),
        Kind::Duration => json!({ "anyOf": [
            { "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h) *$" },
            { "type": "integer", "minimum": 1 },
        ] }),
        Kind::Ratio => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Secret => return None,
    };
    value["description"] = json!(key.help);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of `file` the schema does not have, by the few words of the language that it uses.
    fn strange(schema: &Value, file: &toml::Value, at: &str, found: &mut Vec<String>) {
        if let Some(ways) = schema["anyOf"].as_array() {
            let fits = ways.iter().any(|way| {
                let mut wrong = Vec::new();
                strange(way, file, at, &mut wrong);
                wrong.is_empty()
            });
            if !fits {
                found.push(at.to_owned());
            }
            return;
        }
        let kind = schema["type"].as_str().unwrap_or_default();
        match file {
            toml::Value::Table(table) if kind == "object" => {
                for (name, value) in table {
                    let at = format!("{at}.{name}");
                    match schema["properties"].get(name) {
                        Some(schema) => strange(schema, value, &at, found),
                        None if schema["additionalProperties"].is_object() => {
                            strange(&schema["additionalProperties"], value, &at, found);
                        }
                        None => found.push(at),
                    }
                }
            }
            toml::Value::Array(items) if kind == "array" => {
                for item in items {
                    strange(&schema["items"], item, at, found);
                }
            }
            toml::Value::String(_) if kind == "string" => {}
            toml::Value::Integer(_) if matches!(kind, "integer" | "number") => {}
            toml::Value::Float(_) if kind == "number" => {}
            toml::Value::Boolean(_) if kind == "boolean" => {}
            toml::Value::Boolean(true) if schema["const"] == true => {}
            _ => found.push(at.to_owned()),
        }
    }

    fn of(file: &str) -> Vec<String> {
        let file = toml::Value::Table(file.parse().unwrap());
        let mut found = Vec::new();
        strange(&schema(), &file, "", &mut found);
        found
    }

    #[test]
    fn the_example_has_nothing_that_the_schema_lacks() {
        assert_eq!(of(include_str!("../../../docs/gateway.toml")), [""; 0]);
    }

    #[test]
    fn the_parser_and_the_schema_know_the_same_keys() {
        for (file, strange) in [
            ("lisen = 'x'", ".lisen"),
            ("workers = 'two'", ".workers"),
            (
                "[entra]\ncredential = { secret = 'x' }",
                ".entra.credential.secret",
            ),
            ("[downstream.x]\nscop = 's'", ".downstream.x.scop"),
            ("[upstreams.x]\nurll = 'u'", ".upstreams.x.urll"),
            (
                "[[route]]\npath = '/'\ncors = { origin = [] }",
                ".route.cors.origin",
            ),
            ("[oidc]\nissuer = 'x'\nauthority = 'x'", ".oidc.authority"),
        ] {
            assert_eq!(of(file), [strange]);
            let sources = crate::Sources::new().file("f", file);
            let said = sources.load().unwrap_err().to_string();
            assert!(
                said.contains(strange.trim_start_matches('.')),
                "{strange} in\n{said}"
            );
        }
        for file in [
            "[oidc]\nissuer = 'x'\nclient_id = 'c'\ncredential = { secret_file = 'f' }",
            "drain_timeout = 3",
            "[entra]\ncredential = { managed_identity = true }",
            "[downstream.x]\naudience = ['a']\nresource = 'b'",
        ] {
            assert_eq!(of(file), [""; 0], "{file}");
        }
    }
}
