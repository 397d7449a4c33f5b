//! `GET /what-happened`: this very request as a picture, and what became of the token on the way.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use time::macros::format_description;
use tower_sessions::Session;

use crate::call::Call;
use crate::changes::{Changes, changes};
use crate::claims::Claims;
use crate::diagram::{Diagram, ms};
use crate::return_path::login_for;
use crate::subscriptions::list;
use crate::ui::Ui;
use crate::views::{HappenedPage, Visitor, page, see_other};

/// One call as the page shows it.
pub(crate) struct Shown {
    /// Part of the ids on the page.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
    /// The time of day.
    pub(crate) at: String,
    pub(crate) took: String,
    pub(crate) request_id: String,
    /// What all of it took at the gateway, where it says so.
    pub(crate) gateway: String,
    pub(crate) exchanged: bool,
    pub(crate) diagram: Diagram,
}

/// The page: the API is asked now, and the answer before that needed an exchange is shown beside it.
pub(crate) async fn happened(
    State(ui): State<Arc<Ui>>,
    session: Session,
) -> Result<Response, Response> {
    let Some(account) = ui.account(&session, "/what-happened").await? else {
        return Ok(see_other(login_for("/what-happened")));
    };
    let listing = list(&ui, &session, &account, "/what-happened").await?;
    let call = listing.call;
    let before = account.last_exchange().filter(|_| !call.was_exchanged());
    let calls = [Some(shown_now(&call)), before.as_deref().map(shown_before)];
    let claims = call.sent.as_ref().zip(call.handed.as_ref());
    Ok(page(
        StatusCode::OK,
        &HappenedPage {
            visitor: Some(Visitor::new(&account)),
            changes: claims.map(|(sent, handed)| changes(sent, handed)),
            alone: alone(&call),
            unexplained: call.handed.is_none(),
            calls: calls.into_iter().flatten().collect(),
        },
    ))
}

/// The claims of the one token that is known.
pub(crate) struct Alone {
    pub(crate) text: &'static str,
    pub(crate) whose: &'static str,
    /// What was sent is this token, whichever it is.
    pub(crate) claims: Changes,
}

/// The claims of one token, where nothing is known of the other.
fn alone(call: &Call) -> Option<Alone> {
    let (claims, whose, text) = match (&call.sent, &call.handed) {
        (Some(sent), None) => (
            sent,
            "Token for the API",
            "These are the claims of your token for the API, without its signature. The API does not say which token it used.",
        ),
        (None, Some(handed)) => (
            handed,
            "Token for Azure RM",
            "Your token for the API is not one that can be read. These are the claims of the token that the API used, \
             as it tells them.",
        ),
        (None, None) | (Some(_), Some(_)) => return None,
    };
    Some(Alone {
        text,
        whose,
        claims: changes(claims, &Claims::default()),
    })
}

fn shown_now(call: &Call) -> Shown {
    let text = if !call.times.has_gateway() {
        "The API did not say what it did with the request."
    } else if call.was_exchanged() {
        "The gateway had no token for Azure Resource Manager yet and asked Entra ID for one, on your behalf. \
         Load this page again: that gateway needs no exchange for the next request."
    } else {
        "The gateway had the token for Azure Resource Manager already, from an exchange before. Entra ID was not asked."
    };
    shown(call, "now", "This request", text)
}

fn shown_before(call: &Call) -> Shown {
    let text = "This is the last request of yours for which this app saw the gateway ask Entra ID. Compare the times: the token \
         of one exchange serves many requests.";
    shown(call, "before", "Earlier, with the exchange", text)
}

fn shown(call: &Call, id: &'static str, title: &'static str, text: &'static str) -> Shown {
    let format = format_description!("[hour]:[minute]:[second] UTC");
    Shown {
        id,
        title,
        text,
        at: call.at.format(format).unwrap_or_default(),
        took: ms(call.took.as_secs_f64() * 1000.),
        request_id: call.request_id.clone().unwrap_or_default(),
        gateway: call.times.total.map(ms).unwrap_or_default(),
        exchanged: call.was_exchanged(),
        diagram: Diagram::of(call),
    }
}

impl HappenedPage {
    /// Whether a gateway stands in front of the API and says what it did.
    pub(crate) fn has_gateway(&self) -> bool {
        self.calls.iter().any(|call| !call.gateway.is_empty())
    }

    /// Whether one of the requests needed an exchange.
    pub(crate) fn was_exchanged(&self) -> bool {
        self.calls.iter().any(|call| call.exchanged)
    }

    /// How many of the claims that matter the exchange changed.
    pub(crate) fn changed(&self) -> usize {
        let first = self.changes.iter().flat_map(|changes| &changes.first);
        first.filter(|change| change.is_changed()).count()
    }
}
