//! The routes as the workers use them.

use std::{rc::Rc, sync::Arc};

use http::{HeaderName, HeaderValue, Method};
use tower_obo::BoundPolicy;

use crate::{
    bounds::Bounds,
    cors::Cors,
    host::HostPattern,
    message::{body::TokenEnds, trailers::Listed},
    metadata::Metadata,
    metrics::Figures,
    net::backend::Backend,
    path::{self, BadPath, Pattern},
};

/// One route, ready for use.
#[derive(Debug)]
pub(crate) struct Route {
    /// Empty: all methods.
    pub(crate) methods: Vec<Method>,
    pub(crate) policy: Arc<BoundPolicy>,
    pub(crate) upstream: Rc<Backend>,
    /// Where the upstream gets tokens, besides `Authorization`.
    pub(crate) token_headers: Box<[HeaderName]>,
    pub(crate) cors: Option<Rc<Cors>>,
    pub(crate) token_ends: TokenEnds,
    pub(crate) bounds: Option<Rc<Bounds>>,
    pub(crate) names: Rc<Names>,
    /// Where this worker counts its requests, and those that went to its upstream.
    pub(crate) figures: Arc<Figures>,
    pub(crate) upstream_figures: Arc<Figures>,
    /// Whether WebSockets may be opened.
    pub(crate) upgrade: bool,
    /// What may stand after bodies, besides gRPC's own.
    pub(crate) trailers: Option<Rc<Listed>>,
}

/// What figures and logs call a route, and what it leads to.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) label: Box<str>,
    /// The names of its downstreams, with commas between them; `none` where it has none.
    pub(crate) downstreams: Box<str>,
    /// Whether its answers say where the time went.
    pub(crate) server_timing: bool,
}

/// What a table of routes has to know of a route.
pub(crate) trait Methods {
    /// Empty: all methods.
    fn methods(&self) -> &[Method];

    fn takes(&self, method: &Method) -> bool {
        self.methods().is_empty() || self.methods().contains(method)
    }
}

impl Methods for Route {
    fn methods(&self) -> &[Method] {
        &self.methods
    }
}

/// All routes, by host and path.
#[derive(Debug)]
pub(crate) struct Routes<R = Route> {
    /// The most specific first: a whole host before a wildcard before any host, and of one host an
    /// exact path before a prefix, a long one before a short one.
    places: Vec<Place<R>>,
    /// Before all of them, on every host.
    metadata: Option<Metadata>,
}

/// The routes of one path on one host, which differ in their methods.
#[derive(Debug)]
pub(crate) struct Place<R = Route> {
    host: Option<HostPattern>,
    path: Pattern,
    routes: Vec<Rc<R>>,
    allow: HeaderValue,
}

/// Which route a request has.
#[derive(Debug)]
pub(crate) enum Picked<'a, R = Route> {
    Route(&'a Rc<R>),
    NoPath,
    /// What the API says of itself, which needs no token.
    Metadata(&'a Metadata),
    /// The path has routes, but not for the method.
    NoMethod(&'a Place<R>),
}

impl<R: Methods> Routes<R> {
    /// A route with several hosts, or with none, is one.
    pub(crate) fn new(routes: impl IntoIterator<Item = (Vec<HostPattern>, Pattern, R)>) -> Self {
        let mut places: Vec<Place<R>> = Vec::new();
        for (hosts, path, route) in routes {
            let route = Rc::new(route);
            let hosts: Vec<Option<HostPattern>> = if hosts.is_empty() {
                vec![None]
            } else {
                hosts.into_iter().map(Some).collect()
            };
            for host in hosts {
                let known = places
                    .iter_mut()
                    .find(|place| place.host == host && place.path == path);
                match known {
                    Some(place) => place.routes.push(Rc::clone(&route)),
                    None => places.push(Place {
                        host,
                        path: path.clone(),
                        routes: vec![Rc::clone(&route)],
                        allow: HeaderValue::from_static(""),
                    }),
                }
            }
        }
        for place in &mut places {
            place.allow = allow(&place.routes);
        }
        places.sort_by_key(|place| {
            let host = place.host.as_ref().map(HostPattern::specificity);
            (host.is_none(), host, place.path.specificity())
        });
        Self {
            places,
            metadata: None,
        }
    }

    /// With what the API says of itself, if anything.
    pub(crate) fn with_metadata(mut self, metadata: Option<Metadata>) -> Self {
        self.metadata = metadata;
        self
    }

    /// Whether the host makes a difference.
    pub(crate) fn are_on_hosts(&self) -> bool {
        // Those that are sort before those that are not.
        self.places
            .first()
            .is_some_and(|place| place.host.is_some())
    }

    /// The route of a request to `host`, empty where it names none.
    ///
    /// # Errors
    ///
    /// The path can be read in more than one way; see [`path::pick_unambiguous`].
    pub(crate) fn pick(
        &self,
        method: &Method,
        host: &[u8],
        path: &str,
    ) -> Result<Picked<'_, R>, BadPath> {
        let spot = path::pick_unambiguous(path, |path| match &self.metadata {
            Some(metadata) if metadata.is_at(path) => Some(Spot::Metadata),
            _ => self
                .places
                .iter()
                .position(|place| place.is_on(host) && place.path.matches(path))
                .map(Spot::Place),
        })?;
        let picked = match spot {
            Some(Spot::Metadata) => self.metadata.as_ref().map(Picked::Metadata),
            Some(Spot::Place(index)) => self.places.get(index).map(|place| place.pick(method)),
            None => None,
        };
        Ok(picked.unwrap_or(Picked::NoPath))
    }
}

/// What stands at a path.
#[derive(PartialEq)]
enum Spot {
    Metadata,
    Place(usize),
}

impl Routes {
    /// Whether pages of other origins may use any of them.
    pub(crate) fn have_cors(&self) -> bool {
        self.places.iter().any(|place| place.cors().is_some())
    }
}

impl Place {
    /// What `Allow` says.
    pub(crate) const fn allow(&self) -> &HeaderValue {
        &self.allow
    }

    /// Which pages may learn that a method is not allowed here: those of the first route that has
    /// any.
    pub(crate) fn cors(&self) -> Option<&Rc<Cors>> {
        self.routes.iter().find_map(|route| route.cors.as_ref())
    }
}

impl<R: Methods> Place<R> {
    fn pick(&self, method: &Method) -> Picked<'_, R> {
        let route = self.routes.iter().find(|route| route.takes(method));
        route.map_or(Picked::NoMethod(self), Picked::Route)
    }
}

impl<R> Place<R> {
    fn is_on(&self, host: &[u8]) -> bool {
        self.host.as_ref().is_none_or(|own| own.matches(host))
    }
}

/// What `Allow` says of routes that have one path.
pub(crate) fn allow<R: Methods>(routes: &[Rc<R>]) -> HeaderValue {
    let mut names: Vec<&str> = routes
        .iter()
        .flat_map(|route| route.methods())
        .map(Method::as_str)
        .collect();
    if names.is_empty() {
        names = vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    }
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}
