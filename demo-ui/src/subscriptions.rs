//! The pages with the subscriptions: as a table, and as the API sent them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tower_sessions::Session;

use crate::account::Account;
use crate::api::{ApiError, Listing};
use crate::entra::EntraError;
use crate::failure::{Failure, OTHER_ACCOUNT, retry, sign_in};
use crate::indent::indent;
use crate::login::{self, Intent};
use crate::notice;
use crate::problem::{Problem, shorten};
use crate::return_path::login_for;
use crate::ui::Ui;
use crate::views::{LandingPage, RawAnswer, RawPage, SubscriptionsPage, Visitor, page, see_other};

/// Entra ID's code for an account that was disabled.
const DISABLED: &str = "AADSTS50057";

/// Longer answers are shown without being indented.
const MAX_INDENTED: usize = 256 * 1024;

/// `GET /`
pub(crate) async fn table(
    State(ui): State<Arc<Ui>>,
    session: Session,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let Some(account) = ui.account(&session, "/").await? else {
        let mut cookies = HeaderMap::new();
        let landing = LandingPage {
            visitor: None,
            signed_out: notice::take(&ui.settings, &headers, &mut cookies),
            emulated: ui.settings.is_emulated(),
        };
        return Ok((cookies, page(StatusCode::OK, &landing)).into_response());
    };
    let listing = list(&ui, &session, &account, "/").await?;
    Ok(page(
        StatusCode::OK,
        &SubscriptionsPage {
            visitor: Some(Visitor::new(&account)),
            rows: listing
                .pages
                .iter()
                .flat_map(|page| &page.subscriptions)
                .collect(),
            tenant: &account.user.tid,
            username: account
                .user
                .username
                .as_deref()
                .unwrap_or_else(|| &account.user.name),
            rest: listing.rest,
        },
    ))
}

/// `GET /raw`
pub(crate) async fn raw(State(ui): State<Arc<Ui>>, session: Session) -> Result<Response, Response> {
    let Some(account) = ui.account(&session, "/raw").await? else {
        return Ok(see_other(login_for("/raw")));
    };
    let listing = list(&ui, &session, &account, "/raw").await?;
    Ok(page(
        StatusCode::OK,
        &RawPage {
            visitor: Some(Visitor::new(&account)),
            answers: listing
                .pages
                .into_iter()
                .map(|page| RawAnswer {
                    url: page.url.into(),
                    json: if page.body.len() > MAX_INDENTED {
                        page.body
                    } else {
                        indent(&page.body)
                    },
                })
                .collect(),
            rest: listing.rest,
        },
    ))
}

/// Asks the API; what goes wrong is the response to give. `here` is the page to come back to.
pub(crate) async fn list(
    ui: &Arc<Ui>,
    session: &Session,
    account: &Arc<Account>,
    here: &'static str,
) -> Result<Listing, Response> {
    let listing = ask(ui, session, account, here).await;
    ui.keep(session, account).await;
    listing
}

async fn ask(
    ui: &Arc<Ui>,
    session: &Session,
    account: &Arc<Account>,
    here: &'static str,
) -> Result<Listing, Response> {
    let visitor = || Some(Visitor::new(account));
    let token = match ui.access_token(session, account).await {
        Ok(token) => token,
        Err(EntraError::Refused(error)) if error.needs_user() => {
            tracing::info!(reason = %error, "no new token without the user");
            return Err(match error.claims {
                Some(claims) => step_up(ui, session, account, claims, here).await,
                None => sign_in_again(Problem::default(), here).respond(visitor()),
            });
        }
        Err(error) => {
            tracing::warn!(reason = error.reason(), "Entra ID gave no new token");
            return Err(Failure::entra(&ui.entra, &error, retry(here)).respond(visitor()));
        }
    };
    let error = match ui.api.subscriptions(&token).await {
        Ok(listing) => {
            account.accepted(&listing.call);
            return Ok(listing);
        }
        Err(ApiError::Challenge(claims)) => {
            return Err(step_up(ui, session, account, claims, here).await);
        }
        Err(error) => error,
    };
    Err(failure(error, ui.api.url().as_str(), here).respond(visitor()))
}

/// Sends the user to sign in again with what was asked for, unless that has been tried enough.
async fn step_up(
    ui: &Ui,
    session: &Session,
    account: &Account,
    claims: String,
    here: &'static str,
) -> Response {
    let Some(step_ups) = account.next_step_up() else {
        let look = if ui.settings.is_emulated() {
            "the emulator's home page shows what each token request went through."
        } else {
            "an administrator sees which one in Microsoft Entra ID's sign-in logs."
        };
        return Failure::new(
            StatusCode::FORBIDDEN,
            "The API still asks for more",
            format!(
                "You have signed in again as the API asked, and it asks once more. Your organization's policies may \
                 not allow this from here: {look}"
            ),
        )
        .fact("It asks for", shorten(&claims))
        .action(sign_in(here))
        .action(OTHER_ACCOUNT)
        .respond(Some(Visitor::new(account)));
    };
    let intent = Intent {
        return_to: here,
        claims: Some(claims),
        step_ups,
        login_hint: account.user.username.clone(),
        prompt: None,
    };
    if account.turned_down().is_some() {
        account.set_turned_down(Some(intent));
        return login::stronger_sign_in_needed().respond(Some(Visitor::new(account)));
    }
    tracing::info!(step_ups, "the API asks for a stronger sign-in");
    login::begin(ui, session, intent).await
}

fn failure(error: ApiError, address: &str, here: &'static str) -> Failure {
    const WHO: &str = "The API";
    match error {
        ApiError::Http(error) => Failure::no_answer(WHO, address, &error, retry(here)),
        // `list` has dealt with it.
        ApiError::Challenge(_) => sign_in_again(Problem::default(), here),
        ApiError::Unreadable => Failure::new(
            StatusCode::BAD_GATEWAY,
            "The API gave an answer that can't be read",
            "It is not the list of subscriptions that was asked for.",
        )
        .fact("Address", address)
        .action(retry(here)),
        ApiError::Status {
            status,
            retry_after,
            problem,
        } => match status {
            StatusCode::UNAUTHORIZED => sign_in_again(problem, here),
            StatusCode::FORBIDDEN if problem.has_fact("aadsts", DISABLED) => Failure::new(
                status,
                "This account is disabled",
                "An administrator of your organization has disabled it, and can enable it again.",
            )
            .details(problem)
            .action(OTHER_ACCOUNT)
            .action(retry(here)),
            StatusCode::FORBIDDEN => Failure::new(
                status,
                "You are not allowed to see this",
                "The API knows who you are and refuses this request.",
            )
            .problem(problem)
            .action(retry(here))
            .action(sign_in(here)),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Failure::new(
                status,
                "The API is too busy",
                "It, or Azure behind it, takes no more requests for the moment.",
            )
            .problem(problem)
            .retry_after(retry_after)
            .action(retry(here)),
            _ => Failure::new(
                match status {
                    StatusCode::GATEWAY_TIMEOUT => status,
                    _ => StatusCode::BAD_GATEWAY,
                },
                "The API failed",
                format!("It answered with status {}.", status.as_u16()),
            )
            .problem(problem)
            .retry_after(retry_after)
            .action(retry(here)),
        },
    }
}

fn sign_in_again(problem: Problem, here: &str) -> Failure {
    Failure::new(
        StatusCode::UNAUTHORIZED,
        "Your sign-in is no longer accepted",
        "It may have expired or been revoked. Sign in again to go on.",
    )
    .problem(problem)
    .action(sign_in(here))
}
