//! The page about a code, where each refusal leads.

use crate::browser::Browser;
use crate::support::start;

#[tokio::test]
async fn a_code_has_its_meaning_who_acts_and_what_helps_here() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    for asked in ["65001", "AADSTS65001", "%36%35001", " 65001"] {
        let page = browser.get(&format!("/error?code={asked}")).await;
        page.assert_shows("About a code");
        for text in [
            "AADSTS65001",
            "consent has not been given",
            "user or administrator",
            "consent to the permissions",
            "<code>entra-emulator user NAME --consent</code>",
            "https://login.microsoftonline.com/error?code=65001",
        ] {
            assert!(page.html.contains(text), "{asked}: {text}: {}", page.html);
        }
    }
    // A refusal on a page says the same at once.
    let refused = browser
        .authorize(&[("redirect_uri", "http://localhost/elsewhere")])
        .await;
    assert_eq!(refused.status, 400);
    for text in [
        "AADSTS50011",
        "the redirect URI is not one of those",
        "<code>--redirect-uri</code>",
    ] {
        assert!(refused.html.contains(text), "{text}: {}", refused.html);
    }
}

#[tokio::test]
async fn what_is_no_code_and_what_is_not_known_lead_to_the_codes() {
    let emulator = start().await;
    let mut browser = Browser::new(&emulator);
    for (query, title, says) in [
        ("", "AADSTS codes", "the codes that the emulator knows"),
        (
            "?code=",
            "AADSTS codes",
            "the codes that the emulator knows",
        ),
        ("?code=x", "AADSTS codes", "is no code"),
        ("?code=99999999999", "AADSTS codes", "is no code"),
        ("?code=-1", "AADSTS codes", "is no code"),
        ("?code=<b>", "AADSTS codes", "is no code"),
        ("?code=12345", "About a code", "knows nothing about it"),
    ] {
        let page = browser.get(&format!("/error{query}")).await;
        page.assert_shows(title);
        assert!(page.html.contains(says), "{query}: {}", page.html);
        assert!(
            page.html.contains("<a href=\"/error?code=50013\">"),
            "{query}"
        );
        assert!(!page.html.contains("<b>"), "{query}");
    }
}
