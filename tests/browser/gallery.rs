//! Looks at a page as people have it before them: at a desk, on a phone, in the dark. Each time axe-core
//! judges whether everybody can use it, and a picture is taken.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::browser::Browser;

/// A screen: its name, width and height in pixels, and the colours that its user prefers.
const SCREENS: [(&str, u32, u32, &str); 3] = [
    ("desktop", 1200, 720, "light"),
    ("phone", 390, 844, "light"),
    ("dark", 1200, 720, "dark"),
];

/// The pages by the names of their pictures, in the order in which people come by them, and what they are.
const PAGES: [(&str, &str); 28] = [
    ("ui-start", "The web app before a sign-in"),
    ("emulator-sign-in", "The emulator's sign-in"),
    ("emulator-accounts", "The emulator's choice of an account"),
    (
        "emulator-consent",
        "The emulator's consent, with the scopes explained",
    ),
    (
        "emulator-second-factor",
        "The emulator's second factor, which the gateway's claims challenge led to",
    ),
    ("ui-subscriptions", "The list"),
    ("ui-no-subscriptions", "An empty list says what to check"),
    ("ui-raw", "The API's answers as they came"),
    (
        "ui-what-happened",
        "*What happened*: this request, the one with the exchange, and what became of the token",
    ),
    (
        "ui-what-happened-unexplained",
        "*What happened*, where neither a gateway nor the API says so",
    ),
    ("ui-signed-out", "After the sign-out"),
    (
        "ui-signed-out-here-only",
        "A sign-out while Entra ID is away",
    ),
    (
        "ui-still-signed-in",
        "A sign-out that the store of sessions did not take",
    ),
    ("ui-declined", "A declined consent"),
    (
        "ui-second-factor-cancelled",
        "A second factor that was turned down",
    ),
    (
        "ui-still-asks-for-more",
        "A second factor that is never enough",
    ),
    ("ui-disabled", "A disabled account"),
    (
        "ui-no-longer-accepted",
        "A sign-in that is no longer accepted",
    ),
    ("ui-busy", "Azure Resource Manager is throttled"),
    ("ui-gateway-away", "The gateway is away"),
    ("ui-entra-away", "Entra ID is away"),
    ("ui-sessions-away", "The store of sessions is away"),
    ("ui-failure", "An address without a page"),
    (
        "emulator-home",
        "The emulator's home page, with its recent requests and its faults",
    ),
    (
        "emulator-about-an-error",
        "The emulator about an error code",
    ),
    (
        "emulator-error",
        "A request that the emulator does not take",
    ),
    ("emulator-signed-out", "The emulator after a sign-out"),
    (
        "emulator-resource-manager",
        "The emulated Azure Resource Manager",
    ),
];

/// Looks at the page that the browser shows, and leaves it as it was.
pub(crate) async fn look(browser: &Browser, page: &str) {
    assert!(
        PAGES.iter().any(|(name, _)| *name == page),
        "{page} has its line in PAGES"
    );
    let hidden = |hidden: bool| json!({"hidden": hidden});
    let bars = "Emulation.setScrollbarsHidden";
    browser.tell(bars, hidden(true)).await;
    for (screen, width, height, colours) in SCREENS {
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        let media = json!({"features": features});
        browser.tell("Emulation.setEmulatedMedia", media).await;
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": screen == "phone",
        });
        let command = "Emulation.setDeviceMetricsOverride";
        browser.tell(command, size).await;
        fits(browser, page, screen, width).await;
        everybody_can_use(browser, page, screen).await;
        let folder = folder();
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{page}-{screen}.png"));
        std::fs::write(file, browser.picture().await).unwrap();
    }
    browser.tell(bars, hidden(false)).await;
    browser.tell("Emulation.setEmulatedMedia", json!({})).await;
    let command = "Emulation.clearDeviceMetricsOverride";
    browser.tell(command, json!({})).await;
}

/// A picture of what `css` selects, as at a desk, next to those of the whole page.
pub(crate) async fn cut_out(browser: &Browser, css: &str, name: &str) {
    let hidden = |hidden: bool| json!({"hidden": hidden});
    let bars = "Emulation.setScrollbarsHidden";
    browser.tell(bars, hidden(true)).await;
    let (_, width, height, _) = SCREENS[0];
    let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
    let command = "Emulation.setDeviceMetricsOverride";
    browser.tell(command, size).await;
    let file = folder().join(format!("{name}.png"));
    std::fs::write(file, browser.picture_of(css).await).unwrap();
    browser.tell(bars, hidden(false)).await;
    let command = "Emulation.clearDeviceMetricsOverride";
    browser.tell(command, json!({})).await;
}

/// What is cut out of a page.
pub(crate) const EXCHANGE: &str = "ui-exchange";

/// The page that lists the pictures.
fn index() -> String {
    let mut text = "# Pages\n\nEach page at a desk, on a phone and in the dark, as `make screenshots` takes them. This list is made by it too.\n".to_owned();
    for (page, what) in PAGES {
        let row = SCREENS.map(|(screen, ..)| format!("![{page}, {screen}]({page}-{screen}.png)"));
        let heads = SCREENS.map(|(screen, ..)| screen);
        text.push_str(&format!(
            "\n## {what}\n\n| {} |\n|---|---|---|\n| {} |\n",
            heads.join(" | "),
            row.join(" | ")
        ));
    }
    text
}

#[test]
fn every_picture_is_of_a_page_that_is_listed() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/screenshots");
    let list = docs.join("README.md");
    if std::env::var_os("UPDATE_SCREENSHOTS").is_some() {
        std::fs::write(&list, index()).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&list).unwrap_or_default();
    assert!(
        known == index(),
        "docs/screenshots/README.md is not what `make screenshots` makes"
    );
    let mut expected: Vec<String> = PAGES
        .iter()
        .flat_map(|(page, _)| SCREENS.map(|(screen, ..)| format!("{page}-{screen}.png")))
        .chain([format!("{EXCHANGE}.png"), "README.md".to_owned()])
        .collect();
    expected.sort();
    let files = std::fs::read_dir(docs).unwrap();
    let mut files: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, expected);
}

/// `target/screenshots`, or with UPDATE_SCREENSHOTS `docs/screenshots`, where the documentation shows
/// them.
fn folder() -> PathBuf {
    let folder = match std::env::var_os("UPDATE_SCREENSHOTS") {
        Some(_) => "../docs/screenshots",
        None => "../target/screenshots",
    };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// Nobody has to move the page that the browser shows sideways on a phone; no picture is taken.
pub(crate) async fn fits_a_phone(browser: &Browser, page: &str) {
    let (screen, width, height, _) = SCREENS[1];
    let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": true});
    let command = "Emulation.setDeviceMetricsOverride";
    browser.tell(command, size).await;
    fits(browser, page, screen, width).await;
    let command = "Emulation.clearDeviceMetricsOverride";
    browser.tell(command, json!({})).await;
}

/// Nobody has to move a page sideways to read it.
async fn fits(browser: &Browser, page: &str, screen: &str, width: u32) {
    let script = "return document.documentElement.scrollWidth";
    let wide = browser.evaluate(script).await;
    assert!(
        wide.as_u64().unwrap() <= width.into(),
        "{page} is {wide} pixels wide on {screen}"
    );
}

/// axe-core finds nothing that is serious or worse, also in what can be opened.
async fn everybody_can_use(browser: &Browser, page: &str, screen: &str) {
    let script = format!(
        "{}\nconst closed = [...document.querySelectorAll('details:not([open])')];
        for (const one of closed) one.open = true;
        return axe.run(document, {{resultTypes: ['violations']}}).then(found => found.violations.map(
            one => [one.impact, one.id, one.help, one.nodes.map(node => node.html).join('\\n')]))
            .finally(() => {{ for (const one of closed) one.open = false; }})",
        axe()
    );
    let found: Value = browser.evaluate(&script).await;
    let serious: Vec<&Value> = found
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| matches!(one[0].as_str(), Some("serious" | "critical")))
        .collect();
    assert!(serious.is_empty(), "{page} on {screen}: {serious:#?}");
}

fn axe() -> String {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    let file = tools.join("axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!(
            "axe-core is installed by scripts/install-test-tools: {}: {error}",
            file.display()
        )
    })
}
