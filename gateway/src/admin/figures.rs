//! The figures of `/metrics`, as a page for people needs them, and how fast they rise.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// How often the figures are noted, and how many notes are kept: rates are those of about a minute.
pub(super) const EVERY: Duration = Duration::from_secs(10);
const KEPT: usize = 7;

/// One sample of the text format.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// All samples of one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(Vec<Sample>);

impl Figures {
    /// Reads the text format of Prometheus, as the gateway itself writes it.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(sample).collect())
    }

    /// The one sample with that name, or the sum of all.
    pub(super) fn sum(&self, name: &str) -> f64 {
        self.named(name).map(|sample| sample.value).sum()
    }

    /// The value of a sample that there may be none of.
    pub(super) fn named_once(&self, name: &str) -> Option<f64> {
        self.named(name).next().map(|sample| sample.value)
    }

    /// Sums by the values of one label, in the order in which these come first.
    pub(super) fn by(&self, name: &str, label: &str) -> Vec<(String, f64)> {
        let mut sums: Vec<(String, f64)> = Vec::new();
        for sample in self.named(name) {
            let Some(value) = sample.label(label) else {
                continue;
            };
            match sums.iter_mut().find(|(known, _)| known == value) {
                Some((_, sum)) => *sum += sample.value,
                None => sums.push((value.to_owned(), sample.value)),
            }
        }
        sums
    }

    /// Those whose label has that value.
    pub(super) fn only(&self, label: &str, value: &str) -> Self {
        let theirs = self
            .0
            .iter()
            .filter(|sample| sample.label(label) == Some(value));
        Self(theirs.cloned().collect())
    }

    fn named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        let mut found = self.labels.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

fn sample(line: &str) -> Option<Sample> {
    let at = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at_checked(at)?;
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = unquote(quoted)?;
            labels.push((label.to_owned(), value));
            rest = after;
        }
        rest = rest.strip_prefix('}')?;
    }
    // What may follow the value, an exemplar say, is not looked at.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The value up to its closing quote, and what follows that.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// The figures of the last minute or so.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(Instant, Figures)>);

impl Recent {
    pub(super) fn note(&mut self, figures: Figures) {
        self.0.push_back((Instant::now(), figures));
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// By how much sums have risen a second, by the values of a label; `None` without an earlier note.
    pub(super) fn rates(
        &self,
        now: &Figures,
        name: &str,
        label: &str,
    ) -> Option<Vec<(String, f64)>> {
        let (at, before) = self.0.front()?;
        rates(*at, before, now, name, label)
    }

    /// The same of those whose label `of` is `value`, as `now` has them.
    pub(super) fn rates_of(
        &self,
        of: &str,
        value: &str,
        now: &Figures,
        name: &str,
        label: &str,
    ) -> Option<Vec<(String, f64)>> {
        let (at, before) = self.0.front()?;
        rates(*at, &before.only(of, value), now, name, label)
    }
}

fn rates(
    at: Instant,
    before: &Figures,
    now: &Figures,
    name: &str,
    label: &str,
) -> Option<Vec<(String, f64)>> {
    let seconds = at.elapsed().as_secs_f64();
    if seconds < 0.5 {
        return None;
    }
    let before = before.by(name, label);
    let since = |value: &str| {
        let known = before.iter().find(|(known, _)| known == value);
        known.map_or(0.0, |(_, sum)| *sum)
    };
    let rate = |(value, sum): (String, f64)| {
        let rate = (sum - since(&value)).max(0.0) / seconds;
        (value, rate)
    };
    Some(now.by(name, label).into_iter().map(rate).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP obo_requests_total x\n\
        obo_requests_total{route=\"GET /a\\\"}/*\",outcome=\"2xx\"} 5\n\
        obo_requests_total{route=\"/b\",outcome=\"2xx\"} 2 # {trace_id=\"1\"} 1\n\
        obo_requests_total{route=\"/b\",outcome=\"caller\"} 1\nobo_ready 1\nbroken{\n";

    #[test]
    fn samples_are_read_with_their_labels() {
        let figures = Figures::parse(TEXT);
        assert_eq!(figures.0.len(), 4);
        assert!((figures.sum("obo_requests_total") - 8.0).abs() < 1e-9);
        let by = figures.by("obo_requests_total", "outcome");
        assert_eq!(by, [("2xx".to_owned(), 7.0), ("caller".to_owned(), 1.0)]);
        let b = figures.only("route", "/b");
        assert!((b.sum("obo_requests_total") - 3.0).abs() < 1e-9);
        let quoted = figures.by("obo_requests_total", "route");
        assert_eq!(quoted[0].0, "GET /a\"}/*");
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_those_of_a_minute() {
        let mut recent = Recent::default();
        let of = |count: u64| Figures::parse(&format!("x{{a=\"b\"}} {count}"));
        assert_eq!(recent.rates(&of(5), "x", "a"), None);
        for second in 0..20_u64 {
            recent.note(of(second * 10));
            tokio::time::advance(EVERY).await;
        }
        let rates = recent.rates(&of(200), "x", "a").unwrap();
        assert_eq!(rates, [("b".to_owned(), 1.0)], "7 notes: {rates:?}");
    }
}
