//! The user's token that is exchanged, if one was given.

use http::{HeaderValue, Request, header::AUTHORIZATION};
use tower_obo::{
    AccessPolicy, Admitted, BoundPolicy, ConfigErrors, Core, Decision, Head, Policy, Principal,
    Rejection,
};

use super::{
    report::{Finding, Outcome, Report},
    request::Refusal,
};
use crate::config::{DownstreamApi, Secret};

/// Whose tokens are asked for.
pub(super) enum Caller<'a> {
    /// Nobody's: no token was given.
    Absent,
    /// A token was given that is of no use, which has been said.
    Refused,
    /// A user with a good token.
    User(&'a Secret, Principal),
}

const SUBJECT: &str = "token";

impl<'a> Caller<'a> {
    pub(super) fn not_judged(report: &mut Report) -> Self {
        let message = "not judged: there are no signing keys";
        report.unknown(SUBJECT, message, None);
        Self::Refused
    }

    /// Judges the token as the gateway would on a route that asks for nothing in particular.
    pub(super) async fn judge(core: &Core, token: &'a Secret, report: &mut Report) -> Self {
        let bound = core.bind(Policy::new(AccessPolicy::any_user()));
        let admitted = match bound {
            Ok(policy) => decide(core, &policy, token).await,
            Err(errors) => {
                report.push(Finding::new(SUBJECT, Outcome::Failed, errors.to_string()));
                return Self::Refused;
            }
        };
        match admitted {
            Ok(admitted) => match admitted.principal() {
                Some(user) => {
                    let name = |id: Option<&str>| id.unwrap_or("none").to_owned();
                    report.ok(
                        SUBJECT,
                        format!(
                            "valid, of a user (tid {}, oid {})",
                            user.tenant_id(),
                            name(user.object_id())
                        ),
                    );
                    Self::User(token, user.clone())
                }
                None => Self::Refused,
            },
            Err(rejection) => {
                let advice = "give an access token of a user for this API: its audience is `entra.client_id` or `api://` and that, or one of `accept.audiences`";
                report.failed(SUBJECT, rejection.detail(), advice);
                Self::Refused
            }
        }
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        match self {
            Self::User(_, user) => Some(user.tenant_id()),
            Self::Absent | Self::Refused => None,
        }
    }
}

/// Exchanges the token for one for that API, as on a route that names it.
pub(super) async fn exchange(
    core: &Core,
    token: &Secret,
    name: &str,
    api: &DownstreamApi,
) -> Result<Result<(), Refusal>, ConfigErrors> {
    let policy = Policy::new(AccessPolicy::any_user()).downstream(api.for_library(name));
    let policy = core.bind(policy)?;
    let decided = decide(core, &policy, token).await;
    Ok(decided.map(drop).map_err(Refusal::from))
}

async fn decide(
    core: &Core,
    policy: &std::sync::Arc<BoundPolicy>,
    token: &Secret,
) -> Result<Admitted, Rejection> {
    let mut request = Request::new(());
    // What no header can hold is no token: it is refused as missing.
    if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.expose())) {
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    match core.decide(&Head::from(&request), policy) {
        Decision::Admit(admitted) => Ok(admitted),
        Decision::Wait(pending) => pending.await,
        Decision::Refuse(rejection) => Err(rejection),
    }
}
