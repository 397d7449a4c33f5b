//! `GET /`: how the gateway is, for a person. No script; light or dark as the reader's system is.

use std::fmt::{self, Display};

use super::figures::{Figures, Recent};

/// What the page says besides the figures.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) version: &'static str,
    /// What stands in the way of being ready, if anything.
    pub(super) obstacle: Option<String>,
    /// Names and what they are, in the order in which they are shown.
    pub(super) settings: Vec<(&'static str, String)>,
    /// Names and addresses.
    pub(super) upstreams: Vec<(String, String)>,
    /// How many are cut off on the admin listener, and not by the file.
    pub(super) cut_off_here: usize,
    /// Seconds since 1970.
    pub(super) now: u64,
}

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;\
margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;width:100%;margin:0 0 1.5rem}\
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8886;vertical-align:top;\
overflow-wrap:anywhere}td.n{text-align:right;font-variant-numeric:tabular-nums}\
.good,.bad{display:inline-block;padding:0 .5rem;border-radius:.25rem;color:#fff;font-weight:600}\
.good{background:#166534}.bad{background:#b91c1c}";

/// Text as text, whatever is in it.
struct Escaped<T>(T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.to_string().chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => fmt::Write::write_char(f, other)?,
            }
        }
        Ok(())
    }
}

/// How long ago, or how long.
fn duration(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// The page.
pub(super) fn page(facts: &Facts, figures: &Figures, recent: &Recent) -> String {
    let mut page = Page(String::new());
    let (class, word) = match facts.obstacle {
        None => ("good", "ready"),
        Some(_) => ("bad", "not ready"),
    };
    page.push(format_args!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"30\">\
         <title>obo-gateway: {word}</title><style>{STYLE}</style></head><body>\
         <h1>obo-gateway {} <span class=\"{class}\">{word}</span></h1>",
        Escaped(facts.version)
    ));
    if let Some(obstacle) = &facts.obstacle {
        page.push(format_args!("<p>{}</p>", Escaped(obstacle)));
    }
    page.facts(facts, figures);
    page.upstreams(facts, figures, recent);
    page.rates("Requests", "route", figures, recent, "obo_requests_total");
    page.rates(
        "Exchanges",
        "result",
        figures,
        recent,
        "obo_exchanges_total",
    );
    page.push(format_args!(
        "<p>Rates are those of the last minute. <a href=\"/metrics\">/metrics</a>, <a href=\"/config\">/config</a>, \
         <a href=\"/deny\">/deny</a>, <a href=\"/readyz\">/readyz</a></p></body></html>"
    ));
    page.0
}

struct Page(String);

impl Page {
    fn push(&mut self, text: fmt::Arguments<'_>) {
        // What is written to a text does not fail.
        let _ = fmt::Write::write_fmt(&mut self.0, text);
    }

    fn row(&mut self, name: &str, value: impl Display) {
        let (name, value) = (Escaped(name), Escaped(value));
        self.push(format_args!("<tr><th>{name}</th><td>{value}</td></tr>"));
    }

    fn facts(&mut self, facts: &Facts, figures: &Figures) {
        let ago = |name: &str| match figures.sum(name) {
            0.0 => None,
            // Seconds since 1970 are exact in a double.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the gateway's own whole number of seconds"
            )]
            at => Some(duration(facts.now.saturating_sub(at as u64))),
        };
        self.push(format_args!("<table>"));
        for (name, value) in &facts.settings {
            self.row(name, value);
        }
        if let Some(ago) = ago("obo_start_time_seconds") {
            self.row("runs for", ago);
        }
        let keys = match ago("obo_keys_fetched_time_seconds") {
            Some(ago) => format!("{}, fetched {ago} ago", figures.sum("obo_keys")),
            None => "none yet".to_owned(),
        };
        self.row("signing keys", keys);
        let (running, most) = ("obo_requests_running", "obo_requests_running_max");
        let running = format!("{} of at most {}", figures.sum(running), figures.sum(most));
        self.row("requests running", running);
        let entries = figures.by("obo_cache_entries", "cache");
        let entries: Vec<_> = entries
            .iter()
            .map(|(cache, count)| format!("{count} {cache}"))
            .collect();
        self.row("kept", entries.join(", "));
        if figures.named_once("obo_config_last_reload_successful") == Some(0.0) {
            let old = "the file is wrong: an older configuration holds";
            self.row("configuration", old);
        }
        let stale = match figures.sum("obo_deny_file_stale") {
            0.0 => "",
            _ => ": the file has changed and cannot be used, this is the old list",
        };
        let here = match facts.cut_off_here {
            0 => String::new(),
            here => format!(", {here} of them added here until the gateway ends"),
        };
        let rules = format!("{}{here}{stale}", figures.sum("obo_deny_rules"));
        self.row("cut off", rules);
        self.push(format_args!("</table>"));
    }

    fn upstreams(&mut self, facts: &Facts, figures: &Figures, recent: &Recent) {
        const NAME: &str = "obo_upstream_requests_total";
        self.push(format_args!(
            "<h2>Upstreams</h2><table><tr><th>name</th><th>address</th><th>outcome, a second</th></tr>"
        ));
        for (name, address) in &facts.upstreams {
            let theirs = figures.only("upstream", name);
            let rates = recent.rates_of("upstream", name, &theirs, NAME, "outcome");
            let (name, address) = (Escaped(name), Escaped(address));
            self.push(format_args!(
                "<tr><td>{name}</td><td>{address}</td><td>{}</td></tr>",
                Escaped(listed(rates))
            ));
        }
        self.push(format_args!("</table>"));
    }

    fn rates(&mut self, title: &str, label: &str, figures: &Figures, recent: &Recent, name: &str) {
        self.push(format_args!(
            "<h2>{title}</h2><table><tr><th>{label}</th><th>in all</th><th>a second</th></tr>"
        ));
        let rates = recent.rates(figures, name, label).unwrap_or_default();
        for (value, count) in figures.by(name, label) {
            let rate = rates.iter().find(|(known, _)| *known == value);
            let rate = rate.map_or_else(String::new, |(_, rate)| format!("{rate:.2}"));
            self.push(format_args!(
                "<tr><td>{}</td><td class=\"n\">{count}</td><td class=\"n\">{rate}</td></tr>",
                Escaped(value)
            ));
        }
        self.push(format_args!("</table>"));
    }
}

/// `2xx 12.50, upstream 0.10`.
fn listed(rates: Option<Vec<(String, f64)>>) -> String {
    let Some(rates) = rates else {
        return "not known yet".to_owned();
    };
    let moving = rates.iter().filter(|(_, rate)| *rate > 0.0);
    let all: Vec<_> = moving
        .map(|(word, rate)| format!("{word} {rate:.2}"))
        .collect();
    match all.is_empty() {
        true => "nothing".to_owned(),
        false => all.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            version: "1.2.3",
            obstacle: None,
            settings: vec![("tenant", "<script>alert('x')</script>".to_owned())],
            upstreams: vec![("a&\"b".to_owned(), "http://10.0.0.1".to_owned())],
            cut_off_here: 1,
            now: 100_000,
        }
    }

    #[test]
    fn everything_is_text_whatever_is_in_it() {
        let figures = Figures::parse("obo_requests_total{route=\"/<b>'\",outcome=\"2xx\"} 3\n");
        let page = page(&facts(), &figures, &Recent::default());
        assert!(
            page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
            "{page}"
        );
        assert!(
            page.contains("a&amp;&quot;b") && page.contains("/&lt;b&gt;&#39;"),
            "{page}"
        );
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(
            !page.contains("javascript:") && !page.contains(" on"),
            "{page}"
        );
    }

    #[test]
    fn it_says_what_stands_in_the_way_and_how_old_the_keys_are() {
        let figures = Figures::parse(
            "obo_keys 2\nobo_keys_fetched_time_seconds 92800\nobo_start_time_seconds 99990\n\
             obo_deny_rules 1\nobo_deny_file_stale 1\n",
        );
        let mut facts = facts();
        facts.obstacle = Some("the credential's file".to_owned());
        let page = page(&facts, &figures, &Recent::default());
        for text in [
            "not ready",
            "the credential&#39;s file",
            "2, fetched 2 h 0 min ago",
            "10 s",
            "this is the old list",
            "1 of them added here",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
    }
}
