//! What the README shows works.

use obo_gateway::Sources;

const README: &str = include_str!("../../README.md");

#[test]
fn the_gateways_file_in_the_readme_is_a_good_configuration() {
    let (_, rest) = README.split_once("```toml\n").expect("a TOML file");
    let (file, _) = rest.split_once("```").expect("its end");
    let file = ["TENANT_ID", "CLIENT_ID"]
        .iter()
        .fold(file.to_owned(), |file, id| {
            file.replace(id, "c0a70500-0000-4000-8000-000000000001")
        });
    let config = Sources::new().file("README.md", file).load();
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.routes.len(), 2);
}

#[test]
fn the_files_that_the_readme_links_are_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut links = 0;
    for link in README.split("](").skip(1) {
        let target = link.split(')').next().unwrap();
        if !target.starts_with("http") {
            assert!(root.join(target).exists(), "{target}");
            links += 1;
        }
    }
    assert!(links > 10);
}
