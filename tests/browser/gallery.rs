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

/// Looks at the page that the browser shows, and leaves it as it was.
pub(crate) async fn look(browser: &Browser, page: &str) {
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
