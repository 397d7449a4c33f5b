//! What was found, for a person.

use std::fmt;

/// What was found, in the order in which a gateway needs it. [`fmt::Display`] gives it as lines of text.
#[derive(Clone, Debug, Default)]
pub struct Report(Vec<Finding>);

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    subject: String,
    outcome: Outcome,
    message: String,
    advice: Option<String>,
    correlation_id: Option<String>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It works.
    Ok,
    /// It does not, and somebody has to mend it.
    Failed,
    /// It cannot be found out like this; the message says why, and the advice how it can.
    Unknown,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Unknown => "not known",
        }
    }
}

impl Report {
    /// Everything that was found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    /// Whether something does not work.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.count(Outcome::Failed) > 0
    }

    fn count(&self, outcome: Outcome) -> usize {
        let of_it = self.0.iter().filter(|finding| finding.outcome == outcome);
        of_it.count()
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(super) fn ok(&mut self, subject: impl Into<String>, message: impl Into<String>) {
        self.push(Finding::new(subject, Outcome::Ok, message));
    }

    pub(super) fn unknown(
        &mut self,
        subject: impl Into<String>,
        message: impl Into<String>,
        advice: Option<&str>,
    ) {
        let finding = Finding::new(subject, Outcome::Unknown, message);
        self.push(finding.with_advice(advice.map(str::to_owned)));
    }

    pub(super) fn failed(
        &mut self,
        subject: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let finding = Finding::new(subject, Outcome::Failed, message);
        self.push(finding.with_advice(Some(advice.into())));
    }
}

impl Finding {
    pub(super) fn new(
        subject: impl Into<String>,
        outcome: Outcome,
        message: impl Into<String>,
    ) -> Self {
        Self {
            subject: subject.into(),
            outcome,
            message: message.into(),
            advice: None,
            correlation_id: None,
        }
    }

    pub(super) fn with_advice(mut self, advice: Option<String>) -> Self {
        self.advice = advice;
        self
    }

    pub(super) fn with_correlation_id(mut self, id: Option<&str>) -> Self {
        self.correlation_id = id.map(str::to_owned);
        self
    }

    /// What was looked at: `discovery`, `keys`, `credential`, `token` or `downstream <name>`, and the
    /// tenant behind it where there are several.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What came of it.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What was found, with the AADSTS code and its meaning where Entra ID gave one.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// The id by which Entra ID's sign-in log and Microsoft's support know the request.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }
}

/// The outcomes stand in a column as wide as the longest.
const WIDTH: usize = 11;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, subject) = (self.outcome.word(), &self.subject);
        writeln!(f, "{word:WIDTH$}{subject}: {}", self.message)?;
        if let Some(advice) = &self.advice {
            writeln!(f, "{:WIDTH$}what to do: {advice}", "")?;
        }
        if let Some(id) = &self.correlation_id {
            writeln!(f, "{:WIDTH$}correlation id: {id}", "")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            finding.fmt(f)?;
        }
        let of = |outcome| self.count(outcome);
        writeln!(
            f,
            "\n{} ok, {} failed, {} not known",
            of(Outcome::Ok),
            of(Outcome::Failed),
            of(Outcome::Unknown)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_each_outcome_and_below_it_what_to_do() {
        let mut report = Report::default();
        report.ok("keys", "2 signing keys");
        assert!(!report.has_failures());
        report.failed("credential", "AADSTS7000222: expired", "make another");
        report.unknown("downstream arm", "a user's token tells", None);
        let id = Finding::new("token", Outcome::Failed, "no").with_correlation_id(Some("0-1"));
        report.push(id);
        assert!(report.has_failures());
        let text = "\
ok         keys: 2 signing keys
failed     credential: AADSTS7000222: expired
           what to do: make another
not known  downstream arm: a user's token tells
failed     token: no
           correlation id: 0-1

1 ok, 2 failed, 1 not known
";
        assert_eq!(report.to_string(), text);
    }
}
