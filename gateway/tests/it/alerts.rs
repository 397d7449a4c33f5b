//! The alerts that the project brings: Prometheus's own tool accepts them and finds that each tells of
//! its trouble, docs/operations.md says of each what to do, and every metric that either names exists.

use std::{collections::BTreeSet, process::Command};

use crate::prometheus::is_installed;

const RULES: &str = include_str!("../../../deploy/prometheus/obo-gateway.rules.yaml");
const PAGE: &str = include_str!("../../../docs/operations.md");
const METRICS: &str = include_str!("../../../docs/metrics.md");

#[test]
fn promtool_accepts_the_alerts_and_each_tells_of_its_trouble() {
    if !is_installed("promtool") {
        return;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/");
    for (verb, file) in [
        ("check", "obo-gateway.rules.yaml"),
        ("test", "obo-gateway.rules.test.yaml"),
    ] {
        let output = Command::new("promtool")
            .args([verb, "rules", &format!("{folder}{file}")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = said + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

/// The words after `prefix` at the beginning of a line.
fn after<'t>(text: &'t str, prefix: &str) -> BTreeSet<&'t str> {
    let lines = text.lines().map(str::trim_start);
    let words = lines.filter_map(|line| line.strip_prefix(prefix));
    words.map(str::trim).collect()
}

#[test]
fn every_alert_has_its_section_and_is_tested() {
    let alerts = after(RULES, "- alert: ");
    assert!(alerts.len() >= 15, "{alerts:?}");
    let sections: BTreeSet<_> = (after(PAGE, "### ").into_iter())
        .filter(|section| section.starts_with("Obo"))
        .collect();
    assert_eq!(alerts, sections);
    let tests = include_str!("../../../deploy/prometheus/obo-gateway.rules.test.yaml");
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{alert}");
    }
}

#[test]
fn every_expression_of_the_page_is_the_rule_s() {
    // White space is folded: YAML breaks lines.
    let folded = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let rules = folded(&RULES.replace("expr: >- ", "expr: "));
    for (at, alert) in after(RULES, "- alert: ").into_iter().enumerate() {
        let section = PAGE.split(&format!("### {alert}\n")).nth(1).unwrap();
        let expression = section.split("```promql").nth(1).unwrap();
        let expression = folded(expression.split("```").next().unwrap());
        let wanted = [
            format!("- alert: {alert} expr: {expression} "),
            format!("- alert: {alert} expr: >- {expression} "),
        ];
        let is_there = wanted.iter().any(|wanted| rules.contains(wanted));
        assert!(is_there, "{at}: {alert}: {expression}");
    }
}

#[test]
fn every_metric_that_is_named_exists() {
    let known: BTreeSet<&str> = METRICS
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .collect();
    assert!(known.contains("obo_ready"), "{known:?}");
    for (file, text) in [("rules", RULES), ("page", PAGE)] {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("obo_") || word.starts_with("process_")) {
            let histogram = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix));
            let exists = known.contains(word) || histogram.is_some_and(|name| known.contains(name));
            assert!(exists, "{file}: {word} is none of docs/metrics.md");
        }
    }
}
