//! The last token requests, as the home page shows them.

use crate::clock::entra_time;
use crate::decision::Decision;

/// So many are shown.
const SHOWN: usize = 25;

/// One request, in a line and opened up.
pub(super) struct RequestView {
    pub(super) at: String,
    pub(super) title: String,
    pub(super) tenant: String,
    pub(super) scope: String,
    pub(super) user: String,
    pub(super) passed: Vec<String>,
    /// Code and text.
    pub(super) refused: Option<(u32, String)>,
    pub(super) challenge: bool,
    /// What came in place of an answer.
    pub(super) fault: Option<String>,
    /// `AADSTS50076`, or that there was a token or a fault.
    pub(super) outcome: String,
}

/// Newest first.
pub(super) fn shown(decisions: &[Decision]) -> Vec<RequestView> {
    let newest = decisions.iter().rev().take(SHOWN);
    newest.map(view).collect()
}

fn view(decision: &Decision) -> RequestView {
    let or = |text: &str, other: &str| if text.is_empty() { other } else { text }.to_owned();
    let grant = or(&decision.grant, "no grant");
    let client = or(&decision.client, "nobody");
    let refused = decision.refused.as_ref();
    RequestView {
        at: entra_time(decision.at),
        title: format!("{grant} · {client}"),
        tenant: decision.tenant.clone(),
        scope: decision.scope.clone(),
        user: decision.user.clone(),
        passed: decision.passed.clone(),
        refused: refused.map(|refused| (refused.code, refused.message.clone())),
        challenge: refused.is_some_and(|refused| refused.challenge),
        fault: decision.fault.clone(),
        outcome: match (refused, &decision.fault) {
            (Some(refused), _) => format!("AADSTS{}", refused.code),
            (None, Some(_)) => "fault".to_owned(),
            (None, None) => "token".to_owned(),
        },
    }
}
