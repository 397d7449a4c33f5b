//! `docs/configuration.md`, from the tables by which the file is read.

use std::fmt::Write as _;

use super::{
    keys::{DOWNSTREAM_KEYS, KEYS, Key, Kind, ROUTE_KEYS, SHARED_WITH_OIDC, UPSTREAM_KEYS},
    restart::NEED_A_RESTART,
};

const BEFORE: &str = "\
# Configuration

Settings come from a TOML file (`--config FILE`, `OBO_CONFIG`); the environment overrides the file, and flags override both. Each
setting has one key, which is its place in the file; most have variables and a flag as well. [gateway.toml](gateway.toml) shows
all of them. This page is generated from the table by which the gateway reads them; a test compares the two.

- `obo-gateway check` reads everything and names every problem at once, with file, line and key; exit code 64. With `--online` it
  also asks the identity provider: see [operations](operations.md#before-it-serves-check---online).
- `obo-gateway schema` prints a JSON Schema of the file, for editors.
- A secret is never written in the file and has no flag: it comes from a file that the configuration names, or from the environment.
- In the environment the items of a list are separated by commas or white space; a list's flag is given several times.
- A variable that begins with `OBO_` and belongs to no setting gives a warning; if it resembles the name of a setting, `check` refuses it.
- A duration is a number and a unit (`500ms`, `30s`, `5m`, `1h`); in the file a number alone means seconds.

## Reload

The gateway reads the file again in about two seconds after its contents change, and on SIGHUP; variables and flags stay as they were at the
start. Settings marked ⟳ need a restart: a reload leaves them as they were and says so in the log. What a reload keeps, and what happens with a
file that is wrong: [Changing the configuration](operations.md#changing-the-configuration).
";

/// The page.
fn page() -> String {
    let mut page = BEFORE.to_owned();
    let groups: [(&str, &str, &str); 11] = [
        ("General", "", ""),
        ("`[tls]`", "tls", "TLS towards clients."),
        ("`[admin]`", "admin", "Probes and metrics."),
        (
            "`[entra]`",
            "entra",
            "Microsoft Entra ID, and who the gateway is to it. Of `credential` one form is given; where none is, it is the first that the `AZURE_…` variables tell of, `AZURE_CLIENT_SECRET` first.",
        ),
        (
            "`[oidc]`",
            "oidc",
            "Another provider, in place of `[entra]`.",
        ),
        (
            "`[accept]`",
            "accept",
            "Which tokens are valid, and what routes ask for that say nothing else.",
        ),
        (
            "`[downstream.<name>]`",
            "downstream",
            "What the upstream's tokens are for. `arm` is there without being named.",
        ),
        (
            "`[upstreams.<name>]`",
            "upstreams",
            "Further services behind the gateway.",
        ),
        (
            "`[[route]]`",
            "route",
            "Which requests are let in, and where they go: the most specific host and path count, not the first. Without any there is one for everything, with the downstream `arm`. In the file only.",
        ),
        (
            "`[cache]`",
            "cache",
            "Tokens that are kept, and shared with other gateways.",
        ),
        ("`[limits]`", "limits", ""),
    ];
    for (title, group, about) in groups {
        section(&mut page, title, group, about);
    }
    section(&mut page, "`[log]`", "log", "");
    for key in KEYS {
        let group = key.name.split_once('.').map_or("", |(group, _)| group);
        let known = groups.iter().any(|(_, known, _)| *known == group) || group == "log";
        if !known {
            let group = format!("`[{group}]`");
            if !page.contains(&format!("## {group}\n")) {
                section(&mut page, &group, group.trim_matches(['`', '[', ']']), "");
            }
        }
    }
    page
}

fn section(page: &mut String, title: &str, group: &str, about: &str) {
    let _ = write!(page, "\n## {title}\n\n");
    if !about.is_empty() {
        let _ = write!(page, "{about}\n\n");
    }
    let keys: Vec<(String, &Key)> = match group {
        "route" => fields(group, ROUTE_KEYS),
        "downstream" => fields("downstream.<name>", DOWNSTREAM_KEYS),
        "upstreams" => fields("upstreams.<name>", UPSTREAM_KEYS),
        _ => {
            let of_group =
                |key: &&Key| key.name.split_once('.').map_or("", |(group, _)| group) == group;
            let keys = KEYS.iter().filter(of_group);
            keys.map(|key| (key.name.to_owned(), key)).collect()
        }
    };
    page.push_str("| key | value | variable, flag | what |\n|---|---|---|---|\n");
    for (name, key) in &keys {
        row(page, name, key);
    }
    if group == "downstream" {
        // The one of them that has variables.
        for key in KEYS
            .iter()
            .filter(|key| key.name.starts_with("downstream."))
        {
            row(page, key.name, key);
        }
    }
    if group == "oidc" {
        let shared = SHARED_WITH_OIDC.map(|name| format!("`{name}`")).join(", ");
        let _ = write!(
            page,
            "\n{shared} are those of `[entra]`, and mean the same under `[oidc]`; each stands in one of the two tables. \
             Nothing else of `[entra]` goes with `[oidc]`.\n"
        );
    }
    if group == "route" {
        page.push_str("| `route.identity_headers` | table | – | Claims that the upstream gets as headers: `{ oid = \"X-Obo-Oid\" }` |\n");
    }
}

fn fields(group: &str, keys: &'static [Key]) -> Vec<(String, &'static Key)> {
    keys.iter()
        .map(|key| (format!("{group}.{}", key.name), key))
        .collect()
}

fn row(page: &mut String, name: &str, key: &Key) {
    let kind = match key.kind {
        Kind::Text => "text",
        Kind::List => "list",
        Kind::OneOrList => "text or list",
        Kind::Number => "number",
        Kind::Switch => "true or false",
        Kind::TextOrTrue => "text or true",
        Kind::Duration => "duration",
        Kind::Ratio => "number from 0 to 1",
        Kind::Secret => "text, never in the file",
    };
    let mut ways: Vec<String> = key
        .environment
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    if !key.flag.is_empty() {
        ways.push(format!("`{}`", key.flag));
    }
    let ways = if ways.is_empty() {
        "–".to_owned()
    } else {
        ways.join(", ")
    };
    let restart = NEED_A_RESTART.iter().any(|one| {
        name == *one
            || name
                .strip_prefix(one)
                .is_some_and(|rest| rest.starts_with('.'))
    });
    let mark = if restart { " ⟳" } else { "" };
    let help = key.help.replace('|', "\\|").replace('<', "&lt;");
    let _ = writeln!(page, "| `{name}`{mark} | {kind} | {ways} | {help} |");
}

#[test]
fn the_page_of_settings_is_the_table_by_which_they_are_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == page,
        "docs/configuration.md is not what the table says: UPDATE_DOCS=1 writes it anew (make configuration-page)"
    );
    for key in KEYS {
        assert!(page.contains(&format!("| `{}`", key.name)), "{}", key.name);
    }
    for name in NEED_A_RESTART {
        let known = |key: &&Key| {
            key.name
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        assert!(KEYS.iter().any(|key| known(&key)), "{name}");
    }
}
