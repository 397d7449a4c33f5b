//! One page of a caller's subscriptions.

use serde_json::{Value, json};

use super::answer::ArmError;
use super::bearer::Caller;
use crate::directory::{Directory, Subscription};
use crate::encoding::{base64url, from_base64url};
use crate::state::State;

pub(super) fn subscriptions(
    state: &State,
    caller: &Caller,
    api_version: &str,
    skip_token: Option<&str>,
) -> Result<Value, ArmError> {
    let directory = state.directory();
    let all = own(&directory, caller);
    let start = match skip_token {
        Some(token) => decode(token)
            .filter(|start| *start <= all.len())
            .ok_or_else(ArmError::invalid_skip_token)?,
        None => 0,
    };
    let end = all
        .len()
        .min(start.saturating_add(state.settings.page_size));
    let mut body = json!({
        "value": all[start..end]
            .iter()
            .map(|one| describe(one, &caller.tenant))
            .collect::<Vec<_>>(),
        "count": {"type": "Total", "value": all.len()},
    });
    if end < all.len() {
        body["nextLink"] = format!(
            "{}/subscriptions?api-version={api_version}&%24skiptoken={}",
            state.arm_url,
            encode(end)
        )
        .into();
    }
    Ok(body)
}

/// Those that the caller may see: only those of the token's own tenant. A guest sees none of home.
pub(super) fn own<'a>(directory: &'a Directory, caller: &Caller) -> &'a [Subscription] {
    directory
        .user_in(&caller.tenant, &caller.oid)
        .filter(|user| user.tenant.eq_ignore_ascii_case(&caller.tenant))
        .map_or(&[][..], |user| &user.subscriptions)
}

pub(super) fn describe(subscription: &Subscription, tenant: &str) -> Value {
    let mut described = json!({
        "id": format!("/subscriptions/{}", subscription.id),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.id,
        "tenantId": tenant,
        "displayName": subscription.display_name,
        "state": subscription.state,
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    });
    if !subscription.tags.is_empty() {
        described["tags"] = json!(subscription.tags);
    }
    described
}

fn encode(start: usize) -> String {
    base64url(format!("from:{start}"))
}

fn decode(token: &str) -> Option<usize> {
    String::from_utf8(from_base64url(token)?)
        .ok()?
        .strip_prefix("from:")?
        .parse()
        .ok()
}
