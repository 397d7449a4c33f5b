//! What the program says once it runs: where it is, and who and what it knows.

use std::fmt::Write as _;

use entra_emulator::directory::Application;
use entra_emulator::{Directory, Emulator};

/// Users and applications of each kind that are listed.
const LISTED: usize = 50;

pub(super) fn text(emulator: &Emulator) -> String {
    let directory = emulator.directory();
    let url = emulator.url();
    let tenant = (directory.tenants.first()).map_or("common", |tenant| &tenant.id);
    let https = match (emulator.https_url(), emulator.arm_https_url()) {
        (Some(url), Some(arm)) => {
            format!("  Entra ID, https          {url}\n  Resource Manager, https  {arm}\n")
        }
        _ => String::new(),
    };
    let command = directory.token_command(url).unwrap_or_else(|| {
        "none: it takes a user, an API and an application that calls it".to_owned()
    });
    format!(
        "\
entra-emulator (not Microsoft: never type a real password into it)

  Entra ID                 {url}
  Azure Resource Manager   {arm}
{https}  Discovery                {url}/{tenant}/v2.0/.well-known/openid-configuration
  Open in a browser        {url}/

{known}
A token for curl: {command}
",
        arm = emulator.arm_url(),
        known = known(&directory),
    )
}

/// Tenants, applications and users, as the configuration has them.
fn known(directory: &Directory) -> String {
    let mut text = "Tenants (id, name, domain)\n".to_owned();
    for tenant in directory.tenants.iter().take(LISTED) {
        let (id, name, domain) = (&tenant.id, &tenant.display_name, &tenant.domain);
        let _ = writeln!(text, "  {id}  {name:<24} {domain}");
    }
    // Microsoft's own are of no tenant, and are there always.
    let own: Vec<_> = (directory.applications.iter())
        .filter(|app| !app.tenant.is_empty())
        .collect();
    text += "\nApplications (client id, name, how it proves itself)\n";
    for app in own.iter().take(LISTED) {
        let _ = writeln!(
            text,
            "  {}  {:<24} {}",
            app.client_id,
            app.display_name,
            proof(app)
        );
    }
    text += "\nUsers (name, password)\n";
    for user in directory.users.iter().take(LISTED) {
        let _ = writeln!(
            text,
            "  {:<24} {:<14} {}",
            user.username, user.password, user.note
        );
    }
    let more = [&own.len(), &directory.users.len()].map(|count| count.saturating_sub(LISTED));
    if more != [0, 0] {
        let [apps, users] = more;
        let _ = writeln!(
            text,
            "  and {apps} more applications and {users} more users"
        );
    }
    text
}

fn proof(app: &Application) -> String {
    let mut all: Vec<String> = (app.secrets.iter())
        .map(|secret| format!("secret {secret}"))
        .collect();
    if !app.certificates.is_empty() {
        all.push("certificate".to_owned());
    }
    if !app.federated_credentials.is_empty() {
        all.push("federated credential".to_owned());
    }
    match (all.is_empty(), app.is_public()) {
        (false, _) => all.join(", "),
        (true, true) => "public client: nothing".to_owned(),
        (true, false) => "no credential yet".to_owned(),
    }
}
