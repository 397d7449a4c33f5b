//! `[downstream.<name>]`, and which of them a route has.

use std::collections::BTreeMap;

use http::{HeaderName, header};
use tower_obo::Downstream;

use super::{
    DEFAULT_DOWNSTREAM, Origin,
    resolve::Resolver,
    settings::{Given, RouteTable},
};
use crate::headers::{self, Reserved};

/// A downstream API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DownstreamApi {
    /// What its tokens are for.
    pub scope: String,
    /// Where an upstream gets them.
    pub header: HeaderName,
}

/// By name.
pub(super) type Downstreams = BTreeMap<String, DownstreamApi>;

impl Resolver<'_> {
    pub(super) fn downstreams(&mut self) -> Downstreams {
        let mut downstreams = BTreeMap::new();
        let (scope, origin) = match self.settings.text("downstream.arm.scope") {
            Some(given) => (given.value.to_owned(), given.origin),
            None => {
                let authority = self.settings.text("entra.authority");
                let authority = authority.map_or("", |given| given.value);
                let arm = Downstream::azure_resource_manager_of(authority);
                (arm.scopes().collect(), Origin::Nowhere)
            }
        };
        let key = "downstream.arm.scope";
        self.judge_words(key, std::slice::from_ref(&scope), &origin);
        let header = header::AUTHORIZATION;
        let arm = DownstreamApi { scope, header };
        downstreams.insert(DEFAULT_DOWNSTREAM.to_owned(), arm);
        for (name, table) in &self.settings.downstreams {
            let key = format!("downstream.{name}");
            let header = self.token_header(&key, table.header.as_ref());
            if name == DEFAULT_DOWNSTREAM {
                if let Some(arm) = downstreams.get_mut(DEFAULT_DOWNSTREAM) {
                    arm.header = header;
                }
                continue;
            }
            let key = format!("{key}.scope");
            let Some(scope) = &table.scope else {
                if !self.has_been_said(&key) {
                    let key = format!("downstream.{name}");
                    self.problems
                        .push(table.origin.clone(), key, "its `scope` is missing");
                }
                continue;
            };
            self.judge_words(&key, std::slice::from_ref(&scope.value), &scope.origin);
            let scope = scope.value.clone();
            downstreams.insert(name.clone(), DownstreamApi { scope, header });
        }
        downstreams
    }

    fn token_header(&mut self, key: &str, given: Option<&Given<String>>) -> HeaderName {
        let Some(given) = given else {
            return header::AUTHORIZATION;
        };
        let message = match HeaderName::from_bytes(given.value.as_bytes()) {
            Ok(name) if may_carry_a_token(&name) => return name,
            Ok(name) => format!("`{name}` has a meaning of its own and cannot carry a token"),
            Err(_) => format!("{:?} is no header name", given.value),
        };
        self.problems
            .push(given.origin.clone(), format!("{key}.header"), message);
        header::AUTHORIZATION
    }

    /// The downstreams that a route names. The one whose token goes into `Authorization` comes first:
    /// it is the one that a challenge of the upstream is about.
    pub(super) fn route_downstreams(
        &mut self,
        table: &RouteTable,
        downstreams: &Downstreams,
    ) -> Vec<String> {
        const KEY: &str = "route.downstream";
        let Some(given) = table.values.list("downstream") else {
            return Vec::new();
        };
        let mut wrong = Vec::new();
        for (at, name) in given.value.iter().enumerate() {
            // Where its table is wrong, that is the problem to name, not this one.
            if !downstreams.contains_key(name) && !self.settings.downstreams.contains_key(name) {
                wrong.push(format!("{name:?} is defined nowhere"));
            }
            let before = given.value.iter().take(at);
            let header = |name| downstreams.get(name).map(|api| &api.header);
            for other in before {
                if other == name {
                    wrong.push(format!("{name:?} stands there twice"));
                } else if let Some(header) = header(name).filter(|own| header(other) == Some(*own))
                {
                    wrong.push(format!(
                        "the tokens of {other:?} and {name:?} would both go into `{header}`; give one of them a `header` of its own"
                    ));
                }
            }
        }
        for message in wrong {
            self.problems.push(given.origin.clone(), KEY, message);
        }
        let is_beside = |name: &String| {
            let api = downstreams.get(name);
            api.is_none_or(|api| api.header != header::AUTHORIZATION)
        };
        let mut names = given.value.to_vec();
        names.sort_by_key(is_beside);
        names
    }

    /// A claim must not take a token's place.
    pub(super) fn keeps_tokens_and_claims_apart(
        &mut self,
        table: &RouteTable,
        names: &[String],
        downstreams: &Downstreams,
        identity: &[(String, HeaderName)],
    ) {
        for (claim, header) in identity {
            let of_token = |name: &String| {
                let api = downstreams.get(name);
                api.is_some_and(|api| api.header == *header)
            };
            if let Some(name) = names.iter().find(|name| of_token(name)) {
                let key = format!("route.identity_headers.{claim}");
                let message = format!("`{header}` has the token of {name:?}");
                self.problems.push(table.origin.clone(), key, message);
            }
        }
    }
}

/// `Authorization`, or a header that means nothing to the gateway or to a connection.
fn may_carry_a_token(name: &HeaderName) -> bool {
    const OF_THE_MESSAGE: [HeaderName; 5] = [
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::EXPECT,
        header::HOST,
    ];
    *name == header::AUTHORIZATION
        || !(headers::belongs_to_the_connection(name)
            || Reserved::default().contains(name)
            || OF_THE_MESSAGE.contains(name))
}
