//! The names in the documentation.

use super::{
    Refusal,
    names::{self, Kind},
    of_the_gateway,
};

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

/// The table that the document should have.
fn table() -> String {
    let mut table = "| name | type | labels | what |\n|---|---|---|---|\n".to_owned();
    for name in names::ALL {
        let kind = match name.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        };
        let labels = match name.labels {
            "" => "–".to_owned(),
            labels => format!("`{}`", labels.replace(", ", "`, `")),
        };
        let full = format!("{}{}", name.name, name.kind.suffix());
        table.push_str(&format!(
            "| `{full}` | {kind} | {labels} | {} |\n",
            name.help
        ));
    }
    table
}

#[test]
fn the_document_lists_every_name_with_its_labels_and_meaning() {
    let table = table();
    assert!(
        DOCUMENT.contains(&table),
        "docs/metrics.md should have this table:\n\n{table}"
    );
}

#[test]
fn what_the_gateway_is_to_blame_for_is_counted_from_0_on() {
    for Refusal { problem, actor } in of_the_gateway() {
        assert_eq!(actor, "gateway", "{problem}");
    }
}

#[test]
fn every_name_says_what_it_is_by_its_end() {
    for name in names::ALL {
        assert!(!name.name.ends_with("_total"), "{}", name.name);
        let in_seconds = name.name.ends_with("_seconds");
        assert!(in_seconds || name.kind != Kind::Histogram, "{}", name.name);
        assert!(!name.help.contains('\n') && !name.help.ends_with('.'));
    }
}
