//! Whether the provider takes the credential.

use tower_obo::GrantType;

use super::{
    Place,
    report::{Finding, Outcome, Report},
    request::{self, About, Refusal},
};
use crate::config::{Config, DownstreamApi};

/// What the provider says of the client, and of each API that it was asked for with client credentials.
pub(super) struct Standing {
    /// Whether anything may be asked for: not where the client is refused, or nobody answers.
    pub(super) is_good: bool,
    /// By the name of the downstream.
    pub(super) answers: Vec<(String, Result<(), Refusal>)>,
}

impl Standing {
    /// Whether a token has been given for it.
    pub(super) fn is_accepted(&self) -> bool {
        self.answers.iter().any(|(_, answer)| answer.is_ok())
    }

    const fn of_nothing() -> Self {
        Self {
            is_good: false,
            answers: Vec::new(),
        }
    }
}

const SUBJECT: &str = "credential";

/// Microsoft Graph by its client id, which is the same in every cloud: a tenant without it there is not.
const GRAPH: &str = "00000003-0000-0000-c000-000000000000/.default";

/// Shows the credential, once for each API.
pub(super) async fn ask(place: &Place<'_>, names: &[&str], report: &mut Report) -> Standing {
    let which = place.config.entra.credential.describe();
    let subject = place.subject(SUBJECT);
    if let Err(problem) = look(place.config).await {
        let advice =
            "put a good one in the file's place, or name another credential; nothing was asked";
        report.failed(subject, format!("{which}: {problem}"), advice);
        return Standing::of_nothing();
    }
    let mut standing = Standing {
        is_good: true,
        answers: Vec::new(),
    };
    let apis = names.iter().filter_map(|name| {
        let api = place.config.downstreams.get(*name)?;
        Some((*name, scopes_for(place, api)?))
    });
    let mut apis: Vec<(&str, Vec<String>)> = apis.collect();
    if apis.is_empty() {
        let scope = match place.tenant {
            Some(_) => GRAPH,
            None => "openid",
        };
        apis.push(("", vec![scope.to_owned()]));
    }
    for (name, scopes) in apis {
        let answer = request::application(place.core, place.tenant, &scopes).await;
        let about = answer.as_ref().err().map(Refusal::about);
        standing.answers.push((name.to_owned(), answer));
        // A wrong secret is not presented again and again.
        if matches!(about, Some(About::Client | About::Provider)) {
            standing.is_good = false;
            break;
        }
    }
    tell(place, subject, &which, &standing, report);
    standing
}

/// Looks at the credential's files, which may hang.
async fn look(config: &Config) -> Result<(), String> {
    let credential = config.entra.credential.clone();
    let looking = tokio::task::spawn_blocking(move || credential.look());
    match tokio::time::timeout(config.limits.exchange_timeout, looking).await {
        Ok(Ok(looked)) => looked,
        Ok(Err(_)) => Err("its file cannot be looked at".to_owned()),
        Err(_) => Err("reading its file takes too long".to_owned()),
    }
}

/// By which scopes the application itself can ask for that API; `None` where it cannot.
fn scopes_for(place: &Place<'_>, api: &DownstreamApi) -> Option<Vec<String>> {
    match api.grant {
        GrantType::ClientCredentials => Some(api.scopes.clone()),
        // Of other providers a user's exchange says nothing of what the application itself may have.
        _ if place.tenant.is_none() => None,
        _ => {
            let scope = api.scopes.first()?;
            // A scope without a resource is Microsoft Graph's.
            let resource = scope.rsplit_once('/').map(|(resource, _)| resource);
            Some(vec![match resource {
                Some(resource) => format!("{resource}/.default"),
                None => GRAPH.to_owned(),
            }])
        }
    }
}

fn tell(place: &Place<'_>, subject: String, which: &str, standing: &Standing, report: &mut Report) {
    let answers = standing.answers.iter();
    let refusals = || {
        answers
            .clone()
            .filter_map(|(_, answer)| answer.as_ref().err())
    };
    let client_id = &place.config.entra.client_id;
    if standing.is_accepted() {
        return report.ok(subject, format!("{which}: accepted, of client {client_id}"));
    }
    let of = |about| refusals().find(|refusal| refusal.about() == about);
    if let Some(refusal) = of(About::Client) {
        // That the tenant is not known has been said, and says nothing of the credential.
        if refusal.aadsts() == Some(90002) && !place.has_documents {
            let message = format!("{which}: not asked: the tenant is not known");
            return report.unknown(subject, message, None);
        }
        return report.push(refusal.failed(format!("{subject} ({which})")));
    }
    if let Some(refusal) = of(About::Provider) {
        // Neither does that nobody answers.
        if !place.has_documents {
            let message = format!("{which}: not asked: {}", refusal.message());
            return report.unknown(subject, message, None);
        }
        return report.push(refusal.failed(format!("{subject} ({which})")));
    }
    // Whether a provider looks at the client first is its own affair.
    let said = refusals().map(Refusal::message).next().unwrap_or_default();
    let message = format!("{which}: the provider says nothing of it, but: {said}");
    let advice = match refusals().find_map(Refusal::oauth_error) {
        Some("unauthorized_client") if place.tenant.is_none() => {
            "a client that may not ask for tokens of its own (client credentials) is told the same by some providers as one with a wrong secret: --token-file has the answer"
        }
        _ => "mend what is said of the downstreams first, or give a user's token with --token-file",
    };
    report.push(
        Finding::new(subject, Outcome::Unknown, message).with_advice(Some(advice.to_owned())),
    );
}

/// Any tenant will do, and none is named.
pub(super) fn tell_of_no_tenant(config: &Config, report: &mut Report) {
    let which = config.entra.credential.describe();
    let message = format!("{which}: not asked: it is shown to a tenant, and none is named");
    let advice = "name the application's own tenant (`entra.tenant`), or give a user's token with --token-file";
    report.unknown(SUBJECT, message, Some(advice));
}
