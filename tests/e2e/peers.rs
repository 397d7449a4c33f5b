//! The comparison with others is true: what we claim is shown by a test.

use std::path::Path;

const PAGE: &str = include_str!("../../docs/peers.md");

/// What we do not have at all, by number: forward-auth and a token API, which the design leaves out. Whoever adds one
/// takes it from here, and no row says ✗ only because nobody looked at it again.
const MISSING: [&str; 2] = ["3", "4"];

/// The last cell of every feature's row.
fn ours() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let number = cells.first()?;
        number.parse::<u32>().ok()?;
        assert_eq!(cells.len(), 12, "{line}");
        Some((*number, *cells.last()?))
    })
}

#[test]
fn every_feature_that_we_claim_leads_to_a_test_that_exists() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut claimed = 0;
    for (number, cell) in ours() {
        let Some(link) = cell.strip_prefix("[✓](") else {
            assert!(
                cell.starts_with("~ ") || cell == "✗" && MISSING.contains(&number),
                "{number}: {cell:?} is neither a test nor ~ with a reason nor ✗ for what is missing"
            );
            continue;
        };
        let (file, name) = link.trim_end_matches("\")").split_once(" \"").unwrap();
        let source = std::fs::read_to_string(docs.join(file));
        let source = source.unwrap_or_else(|error| panic!("{number}: {file}: {error}"));
        let (before, _) = source
            .split_once(&format!("fn {name}("))
            .unwrap_or_else(|| panic!("{number}: {file} has no {name}"));
        let attributes = before.rsplit("\n\n").next().unwrap_or_default();
        assert!(
            attributes.contains("test]") || attributes.contains("test("),
            "{number}: {name} is no test"
        );
        assert!(
            !attributes.contains("ignore"),
            "{number}: {name} is not run"
        );
        claimed += 1;
    }
    assert!(claimed > 40, "{claimed}");
}

#[test]
fn every_feature_stands_once_in_order() {
    let numbers: Vec<u32> = ours().map(|(number, _)| number.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=52).collect::<Vec<_>>());
}
