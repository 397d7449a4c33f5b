//! docs/capacity.md: a text with places for figures, and the figures.

use std::{collections::BTreeMap, error::Error, path::Path};

/// The text. A place is a name in two braces.
pub(crate) const TEXT: &str = include_str!("page.md");

/// What the parts of the program have found out, by the names that the text has for it.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<&'static str, String>);

/// A table, line by line.
#[derive(Debug)]
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn new(columns: &str) -> Self {
        Self(format!(
            "| {columns} |\n{}|",
            "|---".repeat(columns.split('|').count())
        ))
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        self.0.push_str(&format!("\n| {} |", cells.join(" | ")));
    }
}

impl Figures {
    pub(crate) fn table(&mut self, name: &'static str, table: Table) {
        println!("\n{name}:\n{}", table.0);
        self.0.insert(name, table.0);
    }

    pub(crate) fn figure(&mut self, name: &'static str, figure: String) {
        println!("{name}: {figure}");
        self.0.insert(name, figure);
    }

    /// The text with all figures in their places.
    pub(crate) fn fill(&self, text: &str) -> Result<String, String> {
        let mut page = String::new();
        for (literal, name) in pieces(text) {
            page.push_str(literal);
            if let Some(name) = name {
                let figure = self.0.get(name);
                page.push_str(figure.ok_or_else(|| format!("nothing says what {name} is"))?);
            }
        }
        match self
            .0
            .keys()
            .find(|name| !text.contains(&format!("{{{{{name}}}}}")))
        {
            Some(name) => Err(format!("the page has no place for {name}")),
            None => Ok(page),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        Ok(std::fs::write(path, self.fill(TEXT)?)?)
    }
}

/// What stands between places, each with the name of the place after it.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut parts = text.split("{{");
    let first = parts.next().map(|literal| ("", literal));
    let others = parts.map(|part| part.split_once("}}").unwrap_or((part, "")));
    let mut pieces: Vec<(&str, Option<&str>)> = Vec::new();
    for (name, literal) in first.into_iter().chain(others) {
        if let Some(last) = pieces.last_mut() {
            last.1 = Some(name);
        }
        pieces.push((literal, None));
    }
    pieces.into_iter()
}
