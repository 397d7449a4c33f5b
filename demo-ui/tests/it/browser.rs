//! What a browser does, as far as the tests need it: it keeps cookies and follows nothing by itself.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::http::{HeaderMap, StatusCode};
use url::Url;

pub(crate) struct Browser {
    base: Url,
    client: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// A page that has been read.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    /// Where the page leads, if it is a redirect.
    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.text);
        self.headers["location"].to_str().unwrap()
    }

    /// Where the page goes on to by itself, as the one at the end of a sign-in does.
    pub(crate) fn goes_on_to(&self) -> &str {
        assert_eq!(self.status, 200, "{}", self.text);
        let refresh = self.headers["refresh"].to_str().unwrap();
        let path = refresh.strip_prefix("0; url=").unwrap();
        let link = format!(r#"href="{path}""#);
        assert!(self.shows(&link), "for browsers that do not: {}", self.text);
        path
    }

    /// The value of the hidden field that goes with the sign-out button.
    pub(crate) fn csrf_token(&self) -> String {
        let (_, after) = self
            .text
            .split_once(r#"name="csrf_token" value=""#)
            .unwrap();
        after.split_once('"').unwrap().0.to_owned()
    }

    pub(crate) fn shows(&self, text: &str) -> bool {
        self.text.contains(text)
    }
}

impl Browser {
    pub(crate) fn new(base: &str) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            base: Url::parse(base).unwrap(),
            client,
            cookies: Mutex::default(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(self.request(reqwest::Method::GET, path)).await
    }

    /// Sends the form as a page of the app does.
    pub(crate) async fn sign_out(&self, csrf_token: &str) -> Page {
        let request = self
            .request(reqwest::Method::POST, "/account/logout")
            .header("origin", "null")
            .header("sec-fetch-site", "same-origin")
            .form(&[("csrf_token", csrf_token)]);
        self.send(request).await
    }

    /// A request with this browser's cookies; `path` may be a whole URL of the app.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let url = self.base.join(path).unwrap();
        assert_eq!(
            url.origin(),
            self.base.origin(),
            "not an address of the app"
        );
        let cookies: Vec<_> = self
            .cookies
            .lock()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = self.client.request(method, url);
        if cookies.is_empty() {
            request
        } else {
            request.header("cookie", cookies.join("; "))
        }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let mut cookies = self.cookies.lock().unwrap();
            if attributes.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Page {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    /// The one cookie there is, as `name` and value.
    pub(crate) fn cookie(&self) -> (String, String) {
        let cookies = self.cookies.lock().unwrap();
        assert_eq!(cookies.len(), 1, "one cookie expected");
        let (name, value) = cookies.first_key_value().unwrap();
        (name.clone(), value.clone())
    }

    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        self.cookies
            .lock()
            .unwrap()
            .insert(name.to_owned(), value.to_owned());
    }
}
