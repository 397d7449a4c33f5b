//! The table of routes, for the fuzz target in `tests/fuzz`. Compiled only where cargo-fuzz sets
//! `--cfg fuzzing`; no part of the API.
#![allow(missing_docs, missing_debug_implementations)]

use http::Method;

use crate::{
    host::HostPattern,
    path::Pattern,
    route::{Methods, Picked, Routes},
};

struct Numbered {
    number: usize,
    methods: Vec<Method>,
}

impl Methods for Numbered {
    fn methods(&self) -> &[Method] {
        &self.methods
    }
}

/// A table of routes that are told apart by number.
pub struct Table(Routes<Numbered>);

#[derive(Debug, PartialEq)]
pub enum Outcome {
    Route(usize),
    NoPath,
    NoMethod,
    BadPath,
}

impl Table {
    pub fn new(routes: impl IntoIterator<Item = (Vec<HostPattern>, Pattern, Vec<Method>)>) -> Self {
        Self(Routes::new(routes.into_iter().enumerate().map(
            |(number, (hosts, path, methods))| (hosts, path, Numbered { number, methods }),
        )))
    }

    pub fn pick(&self, method: &Method, host: &[u8], path: &str) -> Outcome {
        match self.0.pick(method, host, path) {
            Ok(Picked::Route(route)) => Outcome::Route(route.number),
            // No table here has any metadata.
            Ok(Picked::NoPath | Picked::Metadata(_)) => Outcome::NoPath,
            Ok(Picked::NoMethod(_)) => Outcome::NoMethod,
            Err(_) => Outcome::BadPath,
        }
    }
}
