//! Where traces go, and which.

use url::Url;

use super::{problem::Origin, resolve::Resolver};

/// Where traces go (OTLP over HTTP), and which of those that begin here.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Traces {
    /// The whole address, `http://127.0.0.1:4318/v1/traces` for instance.
    pub endpoint: Url,
    /// The share of the traces that begin here that is told of, from 0 to 1. Whoever calls with a context
    /// decides for itself.
    pub ratio: f64,
}

/// What stands behind the collector's address.
const PATH: &str = "/v1/traces";

/// The one variable of OpenTelemetry that gives the whole address.
const WHOLE: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

impl Resolver<'_> {
    pub(super) fn traces(&mut self) -> Option<Traces> {
        let ratio = self.ratio();
        let given = self.settings.text("traces.endpoint")?;
        let is_whole = matches!(given.origin, Origin::Environment(WHOLE));
        let of_others =
            matches!(given.origin, Origin::Environment(name) if name.starts_with("OTEL_"));
        let unwanted = of_others.then(|| self.what_turns_it_off()).flatten();
        let read = unwanted.map_or_else(|| endpoint(given.value, is_whole), Err);
        match read {
            Ok(endpoint) => Some(Traces { endpoint, ratio }),
            // Variables that all programs of a machine share must not keep this one from starting.
            Err(message) if of_others => {
                let message = format!("no traces: {message}");
                self.ignored.push(given.origin, "traces.endpoint", message);
                None
            }
            Err(message) => {
                self.problems.push(given.origin, "traces.endpoint", message);
                None
            }
        }
    }

    /// Which of OpenTelemetry's variables says that a collector that others name is not for us.
    fn what_turns_it_off(&self) -> Option<String> {
        let is = |name: &str, value: &str| {
            let given = self.variable(name);
            given.is_some_and(|given| given.trim().eq_ignore_ascii_case(value))
        };
        let protocol = [
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ]
        .into_iter()
        .find(|name| self.variable(name).is_some());
        if is("OTEL_SDK_DISABLED", "true") {
            Some("OTEL_SDK_DISABLED is true".to_owned())
        } else if is("OTEL_TRACES_EXPORTER", "none") {
            Some("OTEL_TRACES_EXPORTER is none".to_owned())
        } else {
            let grpc = protocol.filter(|name| is(name, "grpc"));
            grpc.map(|name| {
                format!(
                    "{name} is grpc, and here is http/protobuf only (port 4318 as a rule): give traces.endpoint"
                )
            })
        }
    }

    fn ratio(&mut self) -> f64 {
        let Some(given) = self.settings.text("traces.ratio") else {
            return 1.;
        };
        match given.value.parse() {
            Ok(ratio) if (0. ..=1.).contains(&ratio) => ratio,
            _ => {
                let message = format!("{:?} is no number from 0 to 1", given.value);
                self.problems.push(given.origin, "traces.ratio", message);
                1.
            }
        }
    }
}

fn endpoint(text: &str, is_whole: bool) -> Result<Url, String> {
    let wanted = "http://127.0.0.1:4318 for instance is wanted";
    let mut url =
        Url::parse(text).map_err(|error| format!("{text:?} is no address ({error}): {wanted}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("{text:?} is not http or https: {wanted}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "an address with a password in it: put it into OTEL_EXPORTER_OTLP_HEADERS; {wanted}"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("an address with a query: {wanted}"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if !is_whole && !path.ends_with(PATH) {
        url.set_path(&format!("{path}{PATH}"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Problems, Sources};

    fn read(traces: &str) -> Result<Config, Problems> {
        let guid = "00000000-0000-0000-0000-000000000001";
        let text = format!(
            "upstream = 'http://127.0.0.1:9'\naccept.scopes = ['s']\n[entra]\ntenant = '{guid}'\n\
             client_id = '{guid}'\ncredential = {{ secret_file = '/nowhere' }}\n[traces]\n{traces}"
        );
        Sources::new().file("gw.toml", text).load()
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        for (ratio, value) in [("", 1.), ("ratio = 0", 0.), ("ratio = 0.25", 0.25)] {
            let config = read(&format!("endpoint = 'http://c'\n{ratio}")).unwrap();
            assert!(
                (config.traces.unwrap().ratio - value).abs() < 1e-9,
                "{ratio}"
            );
        }
        for bad in ["1.5", "-1", "nan", "'half'", "true"] {
            let problems = read(&format!("endpoint = 'http://c'\nratio = {bad}")).unwrap_err();
            assert!(problems.to_string().contains("from 0 to 1"), "{problems}");
        }
        assert!(
            read("ratio = 0.5").unwrap().traces.is_none(),
            "nobody to tell"
        );
    }

    #[test]
    fn the_address_of_a_collector_and_the_whole_one_lead_to_the_same() {
        for (given, is_whole, whole) in [
            ("http://c:4318", false, "http://c:4318/v1/traces"),
            ("http://c:4318/", false, "http://c:4318/v1/traces"),
            ("https://c/otlp", false, "https://c/otlp/v1/traces"),
            (
                "https://c/otlp/v1/traces",
                false,
                "https://c/otlp/v1/traces",
            ),
            ("https://c/mine", true, "https://c/mine"),
        ] {
            assert_eq!(
                endpoint(given, is_whole).unwrap().as_str(),
                whole,
                "{given}"
            );
        }
        for bad in [
            "c:4318",
            "grpc://c",
            "http://u:secret@c",
            "http://c?q",
            "http://",
        ] {
            let error = endpoint(bad, false).unwrap_err();
            assert!(
                error.contains("is wanted") && !error.contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_opentelemetry_s_variables_say_to_others_keeps_nothing_from_starting() {
        let guid = "00000000-0000-0000-0000-000000000001";
        let text = format!(
            "upstream = 'http://127.0.0.1:9'\naccept.scopes = ['s']\n[entra]\ntenant = '{guid}'\n\
             client_id = '{guid}'\ncredential = {{ secret_file = '/nowhere' }}"
        );
        const AT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for (variables, warning) in [
            (&[AT][..], None),
            (
                &[AT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")],
                None,
            ),
            (
                &[AT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                Some("PROTOCOL is grpc"),
            ),
            (
                &[AT, ("OTEL_SDK_DISABLED", "true")],
                Some("OTEL_SDK_DISABLED"),
            ),
            (
                &[AT, ("OTEL_TRACES_EXPORTER", "none")],
                Some("OTEL_TRACES_EXPORTER"),
            ),
            (&[(AT.0, "collector:4317")], Some("is wanted")),
        ] {
            let config = Sources::new()
                .file("gw.toml", text.clone())
                .environment(|name| {
                    let found = variables.iter().find(|(known, _)| *known == name);
                    found.map(|(_, value)| (*value).to_owned())
                })
                .load()
                .unwrap();
            assert_eq!(config.traces.is_some(), warning.is_none(), "{variables:?}");
            if let Some(warning) = warning {
                let said = config.warnings().to_string();
                assert!(
                    said.contains(warning) && said.contains("no traces"),
                    "{said}"
                );
            }
        }
    }
}
