//! Continuous access evaluation: whether the sign-in behind a token was revoked since.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::verify::Verified;
use crate::state::State;

/// The claims that a resource asks for then, in base64. Only clients that said they can handle it
/// (`xms_cc`: `cp1`, which some write in capitals) are asked; others keep their token to its end.
pub(crate) fn claims_challenge(state: &State, verified: &Verified) -> Option<String> {
    let capabilities = verified.capabilities();
    if !capabilities
        .iter()
        .any(|one| one.eq_ignore_ascii_case("cp1"))
    {
        return None;
    }
    let directory = state.directory();
    let user = directory.user_in(&verified.tenant, verified.text("oid")?)?;
    verified.revoked(user).then(|| {
        let now = state.now().to_string();
        let claims = json!({"access_token": {"nbf": {"essential": true, "value": now}}});
        STANDARD.encode(claims.to_string())
    })
}
