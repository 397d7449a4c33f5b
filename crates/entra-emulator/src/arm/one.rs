//! One subscription, what is in it, and the tenants of a user.

use serde_json::{Value, json};

use super::answer::ArmError;
use super::bearer::Caller;
use super::page;
use crate::directory::{Directory, ResourceGroup, Subscription};
use crate::state::State;

pub(super) fn subscription(state: &State, caller: &Caller, id: &str) -> Result<Value, ArmError> {
    let directory = state.directory();
    let found = find(&directory, caller, id)?;
    Ok(page::describe(found, &caller.tenant))
}

pub(super) fn resource_groups(state: &State, caller: &Caller, id: &str) -> Result<Value, ArmError> {
    let directory = state.directory();
    let found = find(&directory, caller, id)?;
    let groups = found.resource_groups.iter();
    let groups: Vec<Value> = groups.map(|group| describe(found, group)).collect();
    Ok(json!({ "value": groups }))
}

pub(super) fn resource_group(
    state: &State,
    caller: &Caller,
    id: &str,
    name: &str,
) -> Result<Value, ArmError> {
    let directory = state.directory();
    let found = find(&directory, caller, id)?;
    let mut groups = found.resource_groups.iter();
    groups
        .find(|group| group.name.eq_ignore_ascii_case(name))
        .map(|group| describe(found, group))
        .ok_or_else(|| ArmError::no_resource_group(name))
}

/// The tenants that the user is in, home first.
pub(super) fn tenants(state: &State, caller: &Caller) -> Value {
    let directory = state.directory();
    let user = directory.user_in(&caller.tenant, &caller.oid);
    let mut tenants: Vec<Value> = directory
        .tenants
        .iter()
        .filter(|tenant| {
            let own = tenant.id.eq_ignore_ascii_case(&caller.tenant);
            own || user.is_some_and(|user| user.oid_in(&tenant.id).is_some())
        })
        .map(|tenant| {
            let home = user.is_some_and(|user| user.tenant.eq_ignore_ascii_case(&tenant.id));
            json!({
                "id": format!("/tenants/{}", tenant.id),
                "tenantId": tenant.id,
                "displayName": tenant.display_name,
                "defaultDomain": tenant.domain,
                "domains": [tenant.domain],
                "tenantCategory": if home { "Home" } else { "ProjectedBy" },
                "tenantType": "AAD",
            })
        })
        .collect();
    tenants.sort_by_key(|tenant| tenant["tenantCategory"] != "Home");
    json!({ "value": tenants })
}

/// A subscription of the caller's own: of others' nobody learns whether they exist.
fn find<'a>(
    directory: &'a Directory,
    caller: &Caller,
    id: &str,
) -> Result<&'a Subscription, ArmError> {
    let mut own = page::own(directory, caller).iter();
    own.find(|one| one.id.eq_ignore_ascii_case(id))
        .ok_or_else(|| ArmError::no_subscription(id))
}

fn describe(subscription: &Subscription, group: &ResourceGroup) -> Value {
    let mut described = json!({
        "id": format!("/subscriptions/{}/resourceGroups/{}", subscription.id, group.name),
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "properties": {"provisioningState": "Succeeded"},
    });
    if !group.tags.is_empty() {
        described["tags"] = json!(group.tags);
    }
    described
}
