//! Debian's Chromium, driven by its own driver; each browser has a profile of its own.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use thirtyfour::{ChromiumLikeCapabilities, DesiredCapabilities, WebDriver, prelude::*};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a page may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A browser of one person.
pub(crate) struct Browser {
    driver: WebDriver,
    process: Child,
    profile: PathBuf,
}

impl Browser {
    /// Opens a browser that has never been anywhere.
    pub(crate) async fn open() -> Self {
        let (process, port) = start_driver().await;
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("obo-browser-{}-{number}", std::process::id());
        let profile = std::env::temp_dir().join(name);

        let mut capabilities = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1200,720",
            &format!("--user-data-dir={}", profile.display()),
        ] {
            capabilities.add_arg(argument).unwrap();
        }
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities)
            .await
            .expect("chromium starts");
        Self {
            driver,
            process,
            profile,
        }
    }

    pub(crate) async fn goto(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// The browser's Back button.
    pub(crate) async fn back(&self) {
        self.driver.back().await.unwrap();
    }

    pub(crate) async fn url(&self) -> String {
        self.driver.current_url().await.unwrap().to_string()
    }

    pub(crate) async fn title(&self) -> String {
        self.driver.title().await.unwrap()
    }

    /// All the text on the page.
    pub(crate) async fn text(&self) -> String {
        self.find("body").await.text().await.unwrap()
    }

    /// The texts of all elements that `css` selects.
    pub(crate) async fn texts(&self, css: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for element in self.driver.find_all(By::Css(css)).await.unwrap() {
            texts.push(element.text().await.unwrap());
        }
        texts
    }

    /// Waits for the element that `css` selects.
    pub(crate) async fn find(&self, css: &str) -> WebElement {
        let found = self
            .driver
            .query(By::Css(css))
            .wait(PATIENCE, Duration::from_millis(50))
            .first()
            .await;
        match found {
            Ok(element) => element,
            Err(error) => panic!(
                "{css} is not on {}: {error}\n{}",
                self.url().await,
                self.driver.source().await.unwrap_or_default()
            ),
        }
    }

    pub(crate) async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap();
    }

    pub(crate) async fn type_into(&self, css: &str, text: &str) {
        self.find(css).await.send_keys(text).await.unwrap();
    }

    pub(crate) async fn cookies(&self) -> Vec<Cookie> {
        self.driver.get_all_cookies().await.unwrap()
    }

    /// Presses a key where the focus is.
    pub(crate) async fn press(&self, key: impl Into<TypingData>) {
        let focused = self.driver.active_element().await.unwrap();
        focused.send_keys(key).await.unwrap();
    }

    /// What has the focus: its id, or else its text.
    pub(crate) async fn focused(&self) -> String {
        let focused = self.driver.active_element().await.unwrap();
        match focused.id().await.unwrap() {
            Some(id) if !id.is_empty() => id,
            _ => focused.text().await.unwrap(),
        }
    }

    /// Forgets every cookie of the page's host, as a browser does with a session that has expired.
    pub(crate) async fn forget(&self) {
        self.driver.delete_all_cookies().await.unwrap();
    }

    /// Tells the browser something in Chromium's own protocol.
    pub(crate) async fn tell(&self, command: &str, parameters: Value) {
        let told = self.driver.cdp().send_raw(command, parameters).await;
        told.unwrap();
    }

    /// From now on no page runs a script.
    pub(crate) async fn without_javascript(&self) {
        let command = "Emulation.setScriptExecutionDisabled";
        self.tell(command, json!({"value": true})).await;
    }

    /// What an expression of the page's language gives.
    pub(crate) async fn evaluate(&self, script: &str) -> Value {
        let value = self.driver.execute(script, Vec::new()).await.unwrap();
        value.json().clone()
    }

    /// The whole page as a picture, below what the window shows too.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        // Asking for its size has the page laid out as it is now, whatever was open or how wide it was before.
        let size =
            "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]";
        let size = self.evaluate(size).await;
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        self.capture(clip).await
    }

    /// What `css` selects as a picture, with a little of what is around it.
    pub(crate) async fn picture_of(&self, css: &str) -> Vec<u8> {
        let place = format!(
            "const place = document.querySelector({css:?}).getBoundingClientRect();
             return [place.x + scrollX - 12, place.y + scrollY - 12, place.width + 24, place.height + 24]"
        );
        let place = self.evaluate(&place).await;
        let clip = json!({
            "x": place[0], "y": place[1], "width": place[2], "height": place[3], "scale": 1,
        });
        self.capture(clip).await
    }

    async fn capture(&self, clip: Value) -> Vec<u8> {
        let parameters = json!({"captureBeyondViewport": true, "clip": clip});
        let cdp = self.driver.cdp();
        let answer = cdp.send_raw("Page.captureScreenshot", parameters).await;
        let answer = answer.unwrap();
        STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }

    pub(crate) async fn close(self) {
        let Self {
            driver,
            mut process,
            profile,
        } = self;
        driver.quit().await.unwrap();
        process.kill().await.unwrap();
        // Chromium may still write there while it ends.
        let _ = std::fs::remove_dir_all(profile);
    }
}

async fn start_driver() -> (Child, u16) {
    let mut process = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("chromedriver is installed: scripts/install-test-tools");
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return port.trim_end_matches('.').parse().unwrap();
            }
        }
        panic!("chromedriver did not start");
    });
    let port = port.await.expect("chromedriver starts in time");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (process, port)
}
