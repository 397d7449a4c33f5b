//! Where to go after a sign-in.

/// The pages that a sign-in can lead back to.
const PAGES: [&str; 3] = ["/", "/raw", "/what-happened"];

/// The page of ours that was asked for, else `/`. A list of the pages there are leaves nothing to
/// parse, and so nothing that a browser could read differently.
pub(crate) fn return_path(wanted: Option<&str>) -> &'static str {
    PAGES
        .into_iter()
        .find(|page| Some(*page) == wanted)
        .unwrap_or("/")
}

/// The sign-in that leads back to a page of ours.
pub(crate) fn login_for(page: &str) -> &'static str {
    match return_path(Some(page)) {
        "/raw" => "/account/login?return=%2Fraw",
        "/what-happened" => "/account/login?return=%2Fwhat-happened",
        _ => "/account/login",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_its_sign_in() {
        for page in PAGES {
            let (_, query) = login_for(page).split_once('?').unwrap_or_default();
            let mut query = form_urlencoded::parse(query.as_bytes());
            let back = query.find(|(name, _)| name == "return");
            assert_eq!(return_path(back.as_ref().map(|(_, page)| &**page)), page);
        }
    }

    #[test]
    fn ui_04_only_a_page_of_our_own_is_gone_to() {
        for page in PAGES {
            assert_eq!(return_path(Some(page)), page);
        }
        for wanted in [
            "",
            "//evil",
            "/\\evil",
            "https:evil",
            "https://evil",
            "/%09/evil",
            "/\t/evil",
            "/login?return=//evil",
            "/raw/../..//evil",
            "/raw?x",
            "/account/logout",
        ] {
            assert_eq!(return_path(Some(wanted)), "/", "{wanted:?}");
        }
        assert_eq!(return_path(None), "/");
    }
}
