//! The sequence diagram of a call: who said what to whom, and where it stands in the picture.

use crate::call::Call;

/// Pixels of the picture: between two lanes, from a side to the first lane, and for one message.
const LANE: u32 = 210;
const SIDE: u32 = 95;
const ROW: u32 = 46;
/// Where the first message is.
const TOP: u32 = 84;

/// Who takes part, from left to right.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Party {
    App,
    Gateway,
    Entra,
    Api,
    Arm,
}

impl Party {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::App => "This app",
            Self::Gateway => "Gateway",
            Self::Entra => "Entra ID",
            Self::Api => "API",
            Self::Arm => "Azure RM",
        }
    }
}

/// One step: a message, or work that somebody does alone.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) from: Party,
    pub(crate) to: Party,
    pub(crate) what: &'static str,
    /// What it took, where that was measured.
    pub(crate) took: String,
    /// An answer, drawn with a broken line.
    pub(crate) back: bool,
}

/// A column.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) x: u32,
}

/// A step in its place.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) step: Step,
    pub(crate) y: u32,
    pub(crate) x1: u32,
    pub(crate) x2: u32,
    /// The three corners of the arrow's head.
    pub(crate) head: String,
    /// Middle of the text above the arrow.
    pub(crate) middle: u32,
}

impl Row {
    /// Nobody else takes part.
    pub(crate) fn is_alone(&self) -> bool {
        self.step.from == self.step.to
    }
}

/// The picture, in pixels.
#[derive(Debug)]
pub(crate) struct Diagram {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) rows: Vec<Row>,
}

impl Diagram {
    pub(crate) fn of(call: &Call) -> Self {
        let steps = steps(call);
        let parties = [
            Party::App,
            Party::Gateway,
            Party::Entra,
            Party::Api,
            Party::Arm,
        ];
        let present: Vec<Party> = parties
            .into_iter()
            .filter(|party| *party != Party::Gateway || call.times.has_gateway())
            // Entra ID is shown where it was not asked, too: that is what a cached token means.
            .filter(|party| *party != Party::Entra || call.times.has_gateway())
            .filter(|party| *party != Party::Arm || call.times.arm.is_some())
            .collect();
        let x = |party: Party| {
            let column = present.iter().position(|known| *known == party);
            SIDE + LANE * u32::try_from(column.unwrap_or_default()).unwrap_or_default()
        };
        let lanes: Vec<Lane> = present
            .iter()
            .map(|party| Lane {
                name: party.name(),
                x: x(*party),
            })
            .collect();
        let rows: Vec<Row> = (0..)
            .zip(steps)
            .map(|(number, step)| row(step, TOP + ROW * number, &x))
            .collect();
        let width = lanes.last().map_or(0, |lane| lane.x + SIDE);
        let height = rows.last().map_or(TOP, |row| row.y) + 30;
        Self {
            width,
            height,
            lanes,
            rows,
        }
    }
}

fn row(step: Step, y: u32, x: &impl Fn(Party) -> u32) -> Row {
    let (x1, x2) = (x(step.from), x(step.to));
    let tip = if x1 <= x2 {
        x2.saturating_sub(1)
    } else {
        x2 + 1
    };
    let base = if x1 <= x2 {
        x2.saturating_sub(9)
    } else {
        x2 + 9
    };
    Row {
        step,
        y,
        x1,
        x2,
        head: format!("{tip},{y} {base},{} {base},{}", y - 5, y + 5),
        middle: u32::midpoint(x1, x2),
    }
}

/// What happened, in order.
fn steps(call: &Call) -> Vec<Step> {
    use Party::{Api, App, Arm, Entra, Gateway};

    let times = &call.times;
    let step = |from, to, what, took: Option<f64>| Step {
        from,
        to,
        what,
        took: took.map(ms).unwrap_or_default(),
        back: false,
    };
    let back = |from, to, what, took| Step {
        back: true,
        ..step(from, to, what, took)
    };
    let whole = Some(call.took.as_secs_f64() * 1000.);
    let first = if times.has_gateway() { Gateway } else { Api };
    let mut steps = vec![step(App, first, "GET, token for the API", None)];
    if times.has_gateway() {
        steps.push(step(Gateway, Gateway, "checks the token", times.validation));
        match times.exchange {
            Some(_) => {
                steps.push(step(Gateway, Entra, "On-Behalf-Of exchange", None));
                steps.push(back(Entra, Gateway, "token for Azure RM", times.exchange));
            }
            None => steps.push(step(Gateway, Gateway, "has the token for Azure RM", None)),
        }
        steps.push(step(Gateway, Api, "GET, token for Azure RM", None));
    }
    if times.arm.is_some() {
        steps.push(step(Api, Arm, "GET, the same token", None));
        steps.push(back(Arm, Api, "subscriptions", times.arm));
    }
    if times.has_gateway() {
        steps.push(back(Api, Gateway, "subscriptions", times.upstream));
    }
    steps.push(back(first, App, "subscriptions", whole));
    steps
}

/// Milliseconds for people: three digits that matter.
pub(crate) fn ms(ms: f64) -> String {
    match ms {
        ms if ms < 0.995 => format!("{ms:.2} ms"),
        ms if ms < 99.95 => format!("{ms:.1} ms"),
        ms => format!("{ms:.0} ms"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::{HeaderMap, HeaderValue};
    use oauth2::AccessToken;

    use super::*;

    fn diagram(timing: &str) -> Diagram {
        let mut headers = HeaderMap::new();
        headers.insert("server-timing", HeaderValue::from_str(timing).unwrap());
        let token = AccessToken::new("opaque".to_owned());
        Diagram::of(&Call::new(&token, &headers, Duration::from_millis(61)))
    }

    fn said(diagram: &Diagram) -> Vec<String> {
        let steps = diagram.rows.iter().map(|row| &row.step);
        steps
            .map(|step| {
                let (from, to) = (step.from.name(), step.to.name());
                format!("{from} > {to}: {} {}", step.what, step.took)
            })
            .collect()
    }

    #[test]
    fn the_first_time_entra_id_is_asked() {
        let diagram = diagram(
            "arm;dur=4.25, obo-validation;dur=0.2, obo-exchange;dur=40, obo-upstream;dur=9, obo-total;dur=50",
        );
        assert_eq!(
            said(&diagram),
            [
                "This app > Gateway: GET, token for the API ",
                "Gateway > Gateway: checks the token 0.20 ms",
                "Gateway > Entra ID: On-Behalf-Of exchange ",
                "Entra ID > Gateway: token for Azure RM 40.0 ms",
                "Gateway > API: GET, token for Azure RM ",
                "API > Azure RM: GET, the same token ",
                "Azure RM > API: subscriptions 4.2 ms",
                "API > Gateway: subscriptions 9.0 ms",
                "Gateway > This app: subscriptions 61.0 ms",
            ]
        );
        assert_eq!(diagram.lanes.len(), 5);
        for row in &diagram.rows {
            assert!(row.x1.max(row.x2) < diagram.width && row.y < diagram.height);
        }
    }

    #[test]
    fn the_next_time_it_is_not() {
        let said = said(&diagram(
            "obo-validation;dur=0.1, obo-upstream;dur=9, obo-total;dur=9",
        ));
        assert!(
            !said.iter().any(|step| step.contains("Entra ID")),
            "{said:?}"
        );
        assert!(
            said.iter().any(|step| step.contains("has the token")),
            "{said:?}"
        );
    }

    #[test]
    fn an_api_that_says_nothing_is_all_there_is() {
        let diagram = diagram("other;dur=1");
        assert_eq!(diagram.lanes.len(), 2);
        assert_eq!(
            said(&diagram),
            [
                "This app > API: GET, token for the API ",
                "API > This app: subscriptions 61.0 ms"
            ]
        );
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!(ms(0.1234), "0.12 ms");
        assert_eq!(ms(3.456), "3.5 ms");
        assert_eq!(ms(123.4), "123 ms");
    }
}
