//! A browser without a screen: cookies, forms, redirects one at a time.

use std::collections::HashMap;

use entra_emulator::{Emulator, demo};
use url::Url;

use crate::support::{Answer, client, token};

/// base64url of the SHA-256 of [`VERIFIER`] (RFC 7636, appendix B).
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// Keeps cookies; follows nothing by itself.
pub(crate) struct Browser<'a> {
    emulator: &'a Emulator,
    pub(crate) cookies: HashMap<String, String>,
}

/// A page, or a redirect.
pub(crate) struct Shown {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) html: String,
}

impl Shown {
    /// The value of the first hidden field of this name.
    #[track_caller]
    pub(crate) fn hidden(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        self.html
            .split(&marker)
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_else(|| panic!("no field {name} in {}", self.html))
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn location(&self) -> Url {
        let location = self
            .headers
            .get("location")
            .unwrap_or_else(|| panic!("{}: {}", self.status, self.html));
        Url::parse(location.to_str().unwrap()).unwrap()
    }

    /// A parameter of the redirect's query.
    #[track_caller]
    pub(crate) fn answered(&self, name: &str) -> Option<String> {
        self.location()
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    #[track_caller]
    pub(crate) fn assert_shows(&self, title: &str) {
        assert_eq!(self.status, 200, "{}", self.html);
        let title = format!("<title>{title} · entra-emulator</title>");
        assert!(self.html.contains(&title), "no {title} in {}", self.html);
        assert!(self.html.contains("This is not Microsoft"));
    }

    /// Panics unless the client is told that the user pressed Cancel: no code belongs to that, nor a text.
    #[track_caller]
    pub(crate) fn assert_cancelled(&self) {
        let location = self.location();
        let told: Vec<_> = location.query_pairs().collect();
        let told: Vec<_> = told
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(
            told,
            [
                ("error", "access_denied"),
                ("error_subcode", "cancel"),
                ("state", "st&te")
            ]
        );
    }

    /// Panics unless the client is told exactly this.
    #[track_caller]
    pub(crate) fn assert_refused(&self, error: &str, code: u32) {
        assert_eq!(self.answered("error").as_deref(), Some(error));
        let description = self.answered("error_description").unwrap();
        let code = format!("AADSTS{code}: ");
        assert!(description.starts_with(&code), "{description}");
        assert_eq!(self.answered("state").as_deref(), Some("st&te"));
        assert!(self.answered("code").is_none());
    }
}

impl<'a> Browser<'a> {
    pub(crate) fn new(emulator: &'a Emulator) -> Self {
        Self {
            emulator,
            cookies: HashMap::new(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Shown {
        let url = format!("{}{path}", self.emulator.url());
        self.send(client().get(url)).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Shown {
        let url = format!("{}{path}", self.emulator.url());
        self.send(client().post(url).form(form)).await
    }

    /// A good authorization request; `changes` replace parameters, or with an empty value take them
    /// away.
    pub(crate) async fn authorize(&mut self, changes: &[(&str, &str)]) -> Shown {
        self.authorize_at(demo::CONTOSO, changes).await
    }

    pub(crate) async fn authorize_at(&mut self, tenant: &str, changes: &[(&str, &str)]) -> Shown {
        let scope = format!("{} openid profile offline_access", demo::API_DEFAULT_SCOPE);
        let mut parameters = vec![
            ("client_id", demo::UI_CLIENT_ID),
            ("response_type", "code"),
            ("redirect_uri", demo::UI_REDIRECT_URI),
            ("scope", &scope),
            ("state", "st&te"),
            ("nonce", "n0nce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in changes {
            parameters.retain(|(known, _)| known != name);
            if !value.is_empty() {
                parameters.push((name, value));
            }
        }
        let url = format!("{}/{tenant}/oauth2/v2.0/authorize", self.emulator.url());
        self.send(client().get(url).query(&parameters)).await
    }

    /// Types a name and a password into a sign-in page.
    pub(crate) async fn sign_in(&mut self, page: &Shown, username: &str, password: &str) -> Shown {
        let flow = page.hidden("flow");
        let form = [
            ("flow", flow.as_str()),
            ("username", username),
            ("password", password),
        ];
        self.post("/sign-in", &form).await
    }

    pub(crate) async fn accept(&mut self, page: &Shown) -> Shown {
        let flow = page.hidden("flow");
        self.post("/consent", &[("flow", &flow), ("decision", "accept")])
            .await
    }

    /// From nothing to a code, through every page.
    pub(crate) async fn code(&mut self, user: &str, changes: &[(&str, &str)]) -> String {
        let mut page = self.authorize(changes).await;
        if page.html.contains("action=\"/sign-in\"") {
            let (username, password) = (format!("{user}@contoso.example"), format!("{user}-demo"));
            page = self.sign_in(&page, &username, &password).await;
        }
        if page.html.contains("action=\"/second-factor\"") {
            let (flow, code) = (page.hidden("flow"), shown_code(&page));
            page = self
                .post("/second-factor", &[("flow", &flow), ("code", &code)])
                .await;
        }
        if page.html.contains("action=\"/consent\"") {
            page = self.accept(&page).await;
        }
        page.answered("code")
            .unwrap_or_else(|| panic!("{}", page.location()))
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Shown {
        if !self.cookies.is_empty() {
            let line: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header("cookie", line.join("; "));
        }
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Shown {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            html: response.text().await.unwrap(),
        }
    }
}

/// The code on the emulated authenticator.
#[track_caller]
pub(crate) fn shown_code(page: &Shown) -> String {
    page.html
        .split("id=\"shown-code\">")
        .nth(1)
        .and_then(|rest| rest.split('<').next())
        .unwrap_or_else(|| panic!("no code in {}", page.html))
        .to_owned()
}

/// Redeems a code as the demo web app; `changes` as in [`Browser::authorize`].
pub(crate) async fn redeem(emulator: &Emulator, code: &str, changes: &[(&str, &str)]) -> Answer {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("client_id", demo::UI_CLIENT_ID),
        ("client_secret", demo::UI_CLIENT_SECRET),
        ("code", code),
        ("redirect_uri", demo::UI_REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in changes {
        form.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.push((name, value));
        }
    }
    token(emulator, &form).await
}
