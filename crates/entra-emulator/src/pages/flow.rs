//! One sign-in, from /authorize to the answer, and what has to happen next in it.

use super::consent::{self, Group};
use super::session::SignedIn;
use crate::aadsts;
use crate::claims_request::ClaimsRequest;
use crate::directory::{Application, Directory, Mfa, User};
use crate::error::AadError;
use crate::scope::Scopes;
use crate::tenant::Authority;

/// A checked authorization request (OpenID Connect Core §3.1.2.1).
#[derive(Clone, Debug)]
pub(crate) struct AuthRequest {
    pub(crate) authority: Authority,
    pub(crate) client_id: String,
    /// Registered for the client.
    pub(crate) redirect_uri: String,
    pub(crate) response_mode: ResponseMode,
    pub(crate) state: Option<String>,
    pub(crate) scope: String,
    pub(crate) nonce: Option<String>,
    pub(crate) code_challenge: Option<String>,
    pub(crate) prompt: Prompt,
    pub(crate) login_hint: Option<String>,
    pub(crate) claims: ClaimsRequest,
    pub(crate) client_info: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum ResponseMode {
    #[default]
    Query,
    Fragment,
    FormPost,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Prompt {
    #[default]
    Any,
    None,
    Login,
    SelectAccount,
    Consent,
}

/// A sign-in under way.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) request: AuthRequest,
    /// Unix time.
    pub(crate) started: i64,
    /// The user signed in, or said who they are, in this flow.
    pub(crate) chosen: bool,
    /// The user accepted the consent page in this flow.
    pub(crate) accepted: bool,
    /// The code that the second-factor page shows.
    pub(crate) second_factor: Option<String>,
}

impl Flow {
    pub(crate) fn new(request: AuthRequest, started: i64) -> Self {
        Self {
            request,
            started,
            chosen: false,
            accepted: false,
            second_factor: None,
        }
    }
}

/// What has to happen next.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    SignIn {
        problem: Option<AadError>,
    },
    SelectAccount {
        user: &'a User,
    },
    SecondFactor {
        user: &'a User,
    },
    Consent {
        user: &'a User,
        groups: Vec<Group<'a>>,
    },
    /// Nothing is in the way of a code.
    Done {
        user: &'a User,
        tenant: &'a str,
        oid: &'a str,
        mfa: bool,
    },
    /// The client is told why not.
    Refuse(AadError),
}

/// Decides. `prompt=none` turns every page into the error that says which page it would have been.
pub(crate) fn next<'a>(
    directory: &'a Directory,
    flow: &'a Flow,
    signed_in: Option<&SignedIn>,
) -> Step<'a> {
    let request = &flow.request;
    let silent = request.prompt == Prompt::None;
    let sign_in = |problem| {
        if silent {
            Step::Refuse(aadsts::silent_sign_in_required())
        } else {
            Step::SignIn { problem }
        }
    };
    let Some(client) = directory.application(&request.client_id) else {
        return Step::Refuse(aadsts::application_not_found(&request.client_id, ""));
    };
    let Some((signed_in, user)) = signed_in.and_then(|session| {
        let user = directory.user(&session.oid)?;
        let good = !user.disabled && session.revocations == user.revocations;
        good.then_some((session, user))
    }) else {
        return sign_in(None);
    };
    let expected = request
        .login_hint
        .as_deref()
        .and_then(|hint| directory.user(hint))
        .is_none_or(|hinted| hinted.oid == user.oid);
    if !flow.chosen && (request.prompt == Prompt::Login || !expected) {
        return sign_in(None);
    }
    if !flow.chosen && request.prompt == Prompt::SelectAccount {
        return Step::SelectAccount { user };
    }
    let tenant = request.authority.id().unwrap_or(&user.tenant);
    let Some(oid) = user.oid_in(tenant) else {
        return sign_in(Some(aadsts::foreign_user(&user.username, tenant)));
    };
    let scopes = match Scopes::parse(&request.scope, directory, tenant) {
        Ok(scopes) => scopes,
        Err(error) => return Step::Refuse(error),
    };
    if !signed_in.mfa && user.mfa != Mfa::NotRequired && wants_second_factor(request, &scopes) {
        return if silent {
            Step::Refuse(silent_second_factor(client, user))
        } else {
            Step::SecondFactor { user }
        };
    }
    match consent::asked(directory, client, &scopes, tenant) {
        Err(error) => Step::Refuse(error),
        Ok(groups) => {
            let missing = !consent::all_granted(directory, tenant, oid, &groups);
            let again = request.prompt == Prompt::Consent && !flow.accepted;
            if missing && silent {
                Step::Refuse(aadsts::silent_consent_required(
                    &client.client_id,
                    &client.display_name,
                ))
            } else if missing || again {
                Step::Consent { user, groups }
            } else {
                Step::Done {
                    user,
                    tenant,
                    oid,
                    mfa: signed_in.mfa,
                }
            }
        }
    }
}

/// A challenge came with the request, or it asks for a token of a resource whose policy does.
fn wants_second_factor(request: &AuthRequest, scopes: &Scopes<'_>) -> bool {
    request.claims.step_up
        || scopes
            .resources
            .iter()
            .any(|resource| resource.app.mfa_policy.is_some())
}

fn silent_second_factor(client: &Application, user: &User) -> AadError {
    let enrolled = user.mfa == Mfa::Required;
    let policy = client.mfa_policy.as_deref().unwrap_or_default();
    aadsts::mfa_required(&client.client_id, enrolled, policy)
}
