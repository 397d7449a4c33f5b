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

#[cfg(test)]
mod tests {
    use super::*;

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
