//! How a request ended, in a few words: there are no others, whatever callers send.

use http::{Response, StatusCode};
use tower_obo::Rejection;

/// What an answer that the gateway gives itself tells: left in its extensions, for who counts and logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    /// The last word of the problem's type.
    pub(crate) problem: &'static str,
    /// Who has to act.
    pub(crate) actor: &'static str,
}

impl Refusal {
    /// What the answer tells, if it is the gateway's own and no success.
    pub(crate) fn of<B>(response: &Response<B>) -> Option<Self> {
        let extensions = response.extensions();
        if extensions.is_empty() {
            return None;
        }
        let rejection = extensions.get::<Rejection>().map(|rejection| Self {
            problem: rejection.kind().name(),
            actor: rejection.kind().actor().as_str(),
        });
        rejection.or_else(|| extensions.get::<Self>().copied())
    }
}

/// How a request ended, or a call of the upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// An answer of the upstream by its class: `1xx` to `5xx`.
    Status(StatusCode),
    /// The gateway answered; who has to act.
    Refused(&'static str),
    /// The client went away before an answer began.
    Abandoned,
}

/// The words, in the order of [`Outcome::index`].
pub(crate) const OUTCOMES: [&str; 10] = [
    "1xx",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "caller",
    "identity-provider",
    "gateway",
    "upstream",
    "abandoned",
];

impl Outcome {
    /// How the request with this answer ended.
    pub(crate) fn of<B>(response: &Response<B>, refusal: Option<Refusal>) -> Self {
        match refusal {
            Some(refusal) => Self::Refused(refusal.actor),
            None => Self::Status(response.status()),
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Status(status) => usize::from(status.as_u16() / 100).clamp(1, 5) - 1,
            Self::Refused("caller") => 5,
            Self::Refused("identity-provider") => 6,
            Self::Refused("upstream") => 8,
            Self::Refused(_) => 7,
            Self::Abandoned => 9,
        }
    }

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        OUTCOMES.get(self.index()).copied().unwrap_or("gateway")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lo_04_whatever_the_status_there_are_ten_outcomes() {
        for code in 100..=999 {
            let outcome = Outcome::Status(StatusCode::from_u16(code).unwrap());
            let class = (code / 100).min(5);
            assert_eq!(outcome.word(), format!("{class}xx"), "{code}");
        }
        for actor in ["caller", "identity-provider", "gateway", "upstream"] {
            assert_eq!(Outcome::Refused(actor).word(), actor);
        }
        assert_eq!(Outcome::Abandoned.word(), "abandoned");
    }
}
