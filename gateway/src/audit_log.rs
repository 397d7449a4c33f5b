//! The audit log: one line for each decision on a token, when it is made.
//!
//! It says who by the ids that Entra ID's own sign-in log has (`uti` joins the two), and never by a name or
//! an address. Of a token that was not found valid it says nothing: whoever made it up wrote its claims.

use std::io;

use tower_obo::{Principal, Rejection};
use tracing_appender::non_blocking::ErrorCounter;

use crate::{
    lines::{Fields, Lines},
    record::Record,
};

/// Where the audit log goes, and in which form.
///
/// ```
/// use obo_gateway::AuditLog;
///
/// let log = AuditLog::json(std::io::stdout());
/// assert_eq!(log.dropped_lines(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct AuditLog(Lines);

impl AuditLog {
    /// One JSON object a line.
    #[must_use]
    pub fn json(writer: impl io::Write + Send + 'static) -> Self {
        Self(Lines::new(writer, true, "obo-audit-log"))
    }

    /// `name=value` for people, values in quotes where they hold more than plain words.
    #[must_use]
    pub fn text(writer: impl io::Write + Send + 'static) -> Self {
        Self(Lines::new(writer, false, "obo-audit-log"))
    }

    /// Lines that nobody will read: they came faster than they could be written.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.0.dropped().dropped_lines()
    }

    /// How many they are, without keeping the log itself open.
    pub(crate) fn dropped(&self) -> ErrorCounter {
        self.0.dropped()
    }

    pub(crate) fn write(
        &self,
        record: &Record,
        caller: Option<&Principal>,
        refusal: Option<&Rejection>,
    ) {
        self.0.write(LOG, |fields| {
            fields.text("request_id", record.id.to_str().unwrap_or_default());
            fields.text_of("trace_id", record.trace_id().as_deref());
            fields.text("route", record.route_name());
            if let Some(caller) = caller {
                who(fields, caller);
            }
            fields.text("downstream", record.downstreams());
            outcome(fields, refusal);
        });
    }
}

/// What its lines are told from others' by.
const LOG: &str = "audit";

fn who(fields: &mut Fields<'_>, caller: &Principal) {
    if caller.tenant_id().is_empty() {
        // Another provider than Entra ID: these two are who it is there.
        fields.text("iss", caller.issuer());
        fields.text_of("sub", caller.subject());
    } else {
        fields.text("tid", caller.tenant_id());
        fields.text_of("oid", caller.object_id());
    }
    fields.text_of("azp", caller.client_id());
    fields.text_of("uti", caller.token_id());
}

fn outcome(fields: &mut Fields<'_>, refusal: Option<&Rejection>) {
    let Some(refusal) = refusal else {
        return fields.text("outcome", "admitted");
    };
    fields.text("outcome", refusal.kind().name());
    fields.text("actor", refusal.actor().as_str());
    fields.aadsts(refusal.aadsts());
    // Of an exchange it is the one that Entra ID's log has too.
    fields.text("correlation_id", refusal.correlation_id());
}
