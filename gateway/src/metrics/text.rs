//! The older text format, for who does not ask for OpenMetrics: the same samples, but a counter is
//! declared under the name that its samples have, there is no type `info`, and no end is marked.

/// Rewrites OpenMetrics as the text format of Prometheus, version 0.0.4.
pub(super) fn classic(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    // The type stands in the line after the help, and decides how the help names its figure.
    let mut help: Option<(&str, &str)> = None;
    for line in openmetrics.lines() {
        if let Some((name, words)) = line.strip_prefix("# HELP ").and_then(split) {
            help = Some((name, words));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(split) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((name, words)) = help.take() {
                text.push_str(&format!("# HELP {name}{suffix} {words}\n"));
            }
            text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with("# ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn split(rest: &str) -> Option<(&str, &str)> {
    rest.split_once(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_declared_under_the_names_of_their_samples() {
        let openmetrics = "# HELP a About a b.\n# TYPE a counter\n# UNIT a x\na_total{l=\"# v\"} 1\n\
             # HELP i Info.\n# TYPE i info\ni_info{v=\"1\"} 1\n\
             # HELP g G.\n# TYPE g gauge\ng 2\n# EOF\n";
        let classic = classic(openmetrics);
        let expected = "# HELP a_total About a b.\n# TYPE a_total counter\na_total{l=\"# v\"} 1\n\
             # HELP i_info Info.\n# TYPE i_info gauge\ni_info{v=\"1\"} 1\n\
             # HELP g G.\n# TYPE g gauge\ng 2\n";
        assert_eq!(classic, expected);
    }
}
