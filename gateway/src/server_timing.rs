//! What an answer says of where its time went: `Server-Timing` ([W3C Server Timing]).
//!
//! It is told to the caller, who learns from it whether their token was known and the downstream's at
//! hand. So it is off unless a route asks for it. A page of another origin reads it only where the route's
//! `cors.expose` names it, or the upstream says `Timing-Allow-Origin`.
//!
//! [W3C Server Timing]: https://www.w3.org/TR/server-timing/

use std::{fmt::Write as _, time::Duration};

use http::{HeaderName, HeaderValue};

use crate::record::{Record, Work};

pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The gateway's own metrics, in milliseconds, beside whatever the upstream says; `None` where the
/// route does not want them told. Work that was not done is left out.
pub(crate) fn of(record: &Record) -> Option<HeaderValue> {
    if !record.route.as_ref()?.server_timing {
        return None;
    }
    let mut text = String::with_capacity(128);
    for work in [Work::Validation, Work::Exchange, Work::Upstream] {
        if let Some(took) = record.took(work) {
            metric(&mut text, work.word(), took);
        }
    }
    metric(&mut text, "total", record.begun.elapsed());
    HeaderValue::try_from(text).ok()
}

fn metric(text: &mut String, name: &str, took: Duration) {
    let separator = if text.is_empty() { "" } else { ", " };
    let ms = took.as_secs_f64() * 1000.;
    // Writing to a String does not fail.
    let _ = write!(text, "{separator}obo-{name};dur={ms:.3}");
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use http::Method;
    use tokio::time::Instant;

    use super::*;
    use crate::{record::Readers, route::Names};

    fn record(server_timing: bool) -> Box<Record> {
        let readers = Rc::new(Readers::default());
        let id = HeaderValue::from_static("id");
        let mut record = Record::new(&readers, id, Method::GET, "/");
        record.route = Some(Rc::new(Names {
            server_timing,
            ..Names::default()
        }));
        record
    }

    #[test]
    fn only_what_was_done_is_told_and_its_parts_are_added_up() {
        let mut record = record(true);
        let now = Instant::now();
        for (work, micros) in [
            (Work::Validation, 40),
            (Work::Upstream, 1_500),
            (Work::Upstream, 500),
        ] {
            record.add_until(work, now, now + Duration::from_micros(micros));
        }
        let told = of(&record).unwrap();
        let told = told.to_str().unwrap();
        let before = "obo-validation;dur=0.040, obo-upstream;dur=2.000, obo-total;dur=";
        let total = told
            .strip_prefix(before)
            .unwrap_or_else(|| panic!("{told}"));
        assert!(total.parse::<f64>().is_ok(), "{told}");
    }

    #[test]
    fn a_route_that_does_not_want_it_says_nothing_and_nor_does_none() {
        let mut record = record(false);
        assert_eq!(of(&record), None);
        record.route = None;
        assert_eq!(of(&record), None);
    }
}
