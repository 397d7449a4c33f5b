//! The routes as the workers use them.

use std::{rc::Rc, sync::Arc};

use http::{HeaderValue, Method};
use tower_obo::BoundPolicy;

use crate::{
    net::pool::Pool,
    path::{self, BadPath, Pattern},
};

/// One route, ready for use.
#[derive(Debug)]
pub(crate) struct Route {
    /// Empty: all methods.
    pub(crate) methods: Vec<Method>,
    pub(crate) policy: Arc<BoundPolicy>,
    pub(crate) upstream: Rc<Pool>,
}

/// All routes, by path.
#[derive(Debug)]
pub(crate) struct Routes {
    /// The most specific first.
    paths: Vec<PathRoutes>,
}

#[derive(Debug)]
struct PathRoutes {
    pattern: Pattern,
    routes: Vec<Rc<Route>>,
    allow: HeaderValue,
}

/// Which route a request has.
#[derive(Debug)]
pub(crate) enum Picked<'a> {
    Route(&'a Rc<Route>),
    NoPath,
    /// The path has routes, but not for the method; what `Allow` says.
    NoMethod(&'a HeaderValue),
}

impl Routes {
    pub(crate) fn new(routes: impl IntoIterator<Item = (Pattern, Route)>) -> Self {
        let mut paths: Vec<PathRoutes> = Vec::new();
        for (pattern, route) in routes {
            let route = Rc::new(route);
            match paths.iter_mut().find(|path| path.pattern == pattern) {
                Some(path) => path.routes.push(route),
                None => paths.push(PathRoutes {
                    pattern,
                    routes: vec![route],
                    allow: HeaderValue::from_static(""),
                }),
            }
        }
        for path in &mut paths {
            path.allow = allow(&path.routes);
        }
        paths.sort_by_key(|path| path.pattern.specificity());
        Self { paths }
    }

    /// The route of a request.
    ///
    /// # Errors
    ///
    /// The path can be read in more than one way; see [`path::pick_unambiguous`].
    pub(crate) fn pick(&self, method: &Method, path: &str) -> Result<Picked<'_>, BadPath> {
        let index = path::pick_unambiguous(path, |path| {
            self.paths
                .iter()
                .position(|routes| routes.pattern.matches(path))
        })?;
        let Some(path) = index.and_then(|index| self.paths.get(index)) else {
            return Ok(Picked::NoPath);
        };
        let route = path
            .routes
            .iter()
            .find(|route| route.methods.is_empty() || route.methods.contains(method));
        Ok(route.map_or(Picked::NoMethod(&path.allow), Picked::Route))
    }
}

fn allow(routes: &[Rc<Route>]) -> HeaderValue {
    let mut names: Vec<&str> = routes
        .iter()
        .flat_map(|route| &route.methods)
        .map(Method::as_str)
        .collect();
    if names.is_empty() {
        names = vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    }
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}
