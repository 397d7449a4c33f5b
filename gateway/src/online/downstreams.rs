//! Whether there are tokens for each downstream that a route names.

use tower_obo::{Core, GrantType};

use super::{
    Place,
    caller::{self, Caller},
    credential::Standing,
    report::Report,
    request::About,
};
use crate::config::{Config, DownstreamApi};

/// The downstreams that routes name, each once, in the order of the routes.
pub(super) fn used(config: &Config) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in config.routes.iter().flat_map(|route| &route.downstreams) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn subject_of(name: &str, api: &DownstreamApi) -> String {
    format!("downstream {name} ({})", api.scopes.join(" "))
}

const NOT_ASKED: &str = "not asked for, as long as the credential is not taken";
const GIVE_A_TOKEN: &str = "give a user's access token for this API in a file: --token-file PATH";

/// Codes that say that the API is not there, or cannot be meant, whoever asks.
fn is_of_api(code: Option<u32>) -> bool {
    matches!(
        code,
        Some(28002 | 50001 | 70011 | 500_011 | 650_052 | 700_022)
    )
}

/// Says what is known without a user: of what the application calls as itself everything, of the others
/// whether the tenant knows the API.
pub(super) async fn ask(
    place: &Place<'_>,
    names: &[&str],
    standing: &Standing,
    caller: &Caller<'_>,
    report: &mut Report,
) {
    for name in names {
        let Some(api) = place.config.downstreams.get(*name) else {
            continue;
        };
        let subject = place.subject(&subject_of(name, api));
        let is_of_users = api.grant != GrantType::ClientCredentials;
        // Its exchange says more, and is reported once.
        if is_of_users && matches!(caller, Caller::User(..)) {
            continue;
        }
        let answer = standing.answers.iter().find(|(of, _)| of == name);
        match answer.map(|(_, answer)| answer) {
            Some(Ok(())) if is_of_users => {
                let message = "the API is known in the tenant; whether users' tokens are exchanged for it (consent) only such an exchange tells";
                report.unknown(subject, message, Some(GIVE_A_TOKEN));
            }
            Some(Ok(())) => report.ok(
                subject,
                "a token is given; what it may do there is the API's to say",
            ),
            Some(Err(refusal)) => match refusal.about() {
                About::Api if is_of_users && !is_of_api(refusal.aadsts()) => {
                    let message = format!(
                        "the application itself gets no token for it ({}), which says nothing of users",
                        refusal.message()
                    );
                    report.unknown(subject, message, Some(GIVE_A_TOKEN));
                }
                About::Api => report.push(refusal.failed(subject)),
                // It has been said of the credential, unless that was taken before.
                About::Client | About::Provider if standing.is_accepted() => {
                    report.push(refusal.failed(subject));
                }
                About::Client | About::Provider => report.unknown(subject, NOT_ASKED, None),
            },
            None if standing.is_good => {
                let message = "it is a user's token that is exchanged for one, and none was given";
                report.unknown(subject, message, Some(GIVE_A_TOKEN));
            }
            None => report.unknown(subject, NOT_ASKED, None),
        }
    }
}

/// Exchanges the user's token for each of them that is for users.
pub(super) async fn exchange(
    config: &Config,
    core: &Core,
    names: &[&str],
    is_client_good: bool,
    caller: &Caller<'_>,
    report: &mut Report,
) {
    let Caller::User(token, _) = caller else {
        return;
    };
    for name in names {
        let Some(api) = config.downstreams.get(*name) else {
            continue;
        };
        if api.grant == GrantType::ClientCredentials {
            continue;
        }
        let subject = subject_of(name, api);
        if !is_client_good {
            report.unknown(subject, NOT_ASKED, None);
            continue;
        }
        match caller::exchange(core, token, name, api).await {
            Ok(Ok(())) => report.ok(subject, "the user's token is exchanged for one"),
            Ok(Err(refusal)) => report.push(refusal.failed(subject)),
            Err(errors) => report.failed(subject, errors.to_string(), "mend the downstream"),
        }
    }
}

/// Any tenant will do, and none is named.
pub(super) fn tell_of_no_tenant(names: &[&str], report: &mut Report) {
    for name in names {
        let message = "not asked for: no tenant is named";
        report.unknown(format!("downstream {name}"), message, Some(GIVE_A_TOKEN));
    }
}
