//! `[downstream.<name>]`, and which of them a route has.

use std::collections::BTreeMap;

use http::{HeaderName, header};
use tower_obo::{Downstream, GrantType};

use super::{
    DEFAULT_DOWNSTREAM, Origin,
    resolve::Resolver,
    settings::{DownstreamTable, Given, RouteTable},
    value,
};
use crate::headers::{self, Reserved};

/// A downstream API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DownstreamApi {
    /// What its tokens are for: scopes of one API.
    pub scopes: Vec<String>,
    /// Where an upstream gets them.
    pub header: HeaderName,
    /// Whose they are: the caller's, or the application's own.
    pub grant: GrantType,
    /// For whom they are, where tokens are exchanged by RFC 8693: names.
    pub audiences: Vec<String>,
    /// The same by URLs.
    pub resources: Vec<String>,
}

/// The problem has been named.
struct Said;

fn items(given: Option<&Given<Vec<String>>>) -> Vec<String> {
    given.map(|given| given.value.clone()).unwrap_or_default()
}

/// By name.
pub(super) type Downstreams = BTreeMap<String, DownstreamApi>;

impl Resolver<'_> {
    pub(super) fn downstreams(&mut self) -> Downstreams {
        let mut downstreams = BTreeMap::new();
        let settings = self.settings;
        let arm = settings.downstreams.get(DEFAULT_DOWNSTREAM);
        let scopes = match self.scopes(DEFAULT_DOWNSTREAM, arm) {
            // Of another provider it is a name like any other.
            Ok(None) if self.has_other_provider() => Vec::new(),
            Ok(given) => given.unwrap_or_else(|| self.resource_manager()),
            Err(Said) => Vec::new(),
        };
        let header = header::AUTHORIZATION;
        let grant = GrantType::OnBehalfOf;
        let arm = DownstreamApi {
            scopes,
            header,
            grant,
            audiences: Vec::new(),
            resources: Vec::new(),
        };
        downstreams.insert(DEFAULT_DOWNSTREAM.to_owned(), arm);
        for (name, table) in &settings.downstreams {
            let key = format!("downstream.{name}");
            let header = self.token_header(&key, table.header.as_ref());
            let grant = self.grant(&key, table.grant.as_ref());
            if name == DEFAULT_DOWNSTREAM {
                if let Some(arm) = downstreams.get_mut(DEFAULT_DOWNSTREAM) {
                    arm.header = header;
                    arm.grant = grant;
                    arm.audiences = items(table.audience.as_ref());
                    arm.resources = items(table.resource.as_ref());
                    self.fits_grant(&key, table, arm);
                }
                continue;
            }
            let scopes = self.scopes(name, Some(table));
            // An exchange needs no scope.
            let is_exchange = grant == GrantType::TokenExchange;
            match scopes.map(|scopes| scopes.or(is_exchange.then(Vec::new))) {
                Ok(Some(scopes)) => {
                    let api = DownstreamApi {
                        scopes,
                        header,
                        grant,
                        audiences: items(table.audience.as_ref()),
                        resources: items(table.resource.as_ref()),
                    };
                    self.fits_grant(&key, table, &api);
                    downstreams.insert(name.clone(), api);
                }
                Ok(None) => {
                    let said = ["scope", "scopes", "resource_url"]
                        .iter()
                        .any(|field| self.has_been_said(&format!("{key}.{field}")));
                    if !said {
                        let message = "its `scope` is missing (or `scopes`, or `resource_url`)";
                        self.problems.push(table.origin.clone(), key, message);
                    }
                }
                Err(Said) => {}
            }
        }
        downstreams
    }

    /// The scope of Azure Resource Manager, in the cloud of the authority.
    fn resource_manager(&self) -> Vec<String> {
        let authority = self.settings.text("entra.authority");
        let authority = authority.and_then(|given| value::authority(given.value, true).ok());
        let arm = Downstream::azure_resource_manager_of(&authority.unwrap_or_default());
        arm.scopes().map(str::to_owned).collect()
    }

    /// The scopes of a downstream, in whichever form they are given; `None` where in none.
    fn scopes(
        &mut self,
        name: &str,
        table: Option<&DownstreamTable>,
    ) -> Result<Option<Vec<String>>, Said> {
        let before = self.problems.iter().count();
        let key = |field| format!("downstream.{name}.{field}");
        let scopes = match self.later_than_the_file(name) {
            Some(given) => {
                let scopes = vec![given.value.to_owned()];
                self.judge_words(&key("scope"), &scopes, &given.origin);
                Some(scopes)
            }
            None => {
                let one = table.and_then(|table| table.scope.as_ref());
                let several = table.and_then(|table| table.scopes.as_ref());
                let all_of = table.and_then(|table| table.resource_url.as_ref());
                let given = usize::from(one.is_some())
                    + usize::from(several.is_some())
                    + usize::from(all_of.is_some());
                if let (2.., Some(table)) = (given, table) {
                    let message =
                        "`scope`, `scopes` and `resource_url` say the same in three ways; give one";
                    let key = format!("downstream.{name}");
                    self.problems.push(table.origin.clone(), key, message);
                }
                if let Some(one) = one {
                    let scopes = vec![one.value.clone()];
                    self.judge_words(&key("scope"), &scopes, &one.origin);
                    Some(scopes)
                } else if let Some(several) = several {
                    self.judge_scopes(&key("scopes"), several);
                    Some(several.value.clone())
                } else {
                    all_of.map(|url| vec![self.all_scopes_of(&key("resource_url"), url)])
                }
            }
        };
        match self.problems.iter().count() == before {
            true => Ok(scopes),
            false => Err(Said),
        }
    }

    /// The scope of `arm` that a variable or a flag gives: it takes the place of whatever the file
    /// says.
    fn later_than_the_file(&self, name: &str) -> Option<Given<&str>> {
        let given = self.settings.text("downstream.arm.scope")?;
        let of_file = matches!(given.origin, Origin::File { .. });
        (name == DEFAULT_DOWNSTREAM && !of_file).then_some(given)
    }

    fn judge_scopes(&mut self, key: &str, given: &Given<Vec<String>>) {
        if given.value.is_empty() {
            let message = "an empty list asks for nothing";
            self.problems.push(given.origin.clone(), key, message);
            return;
        }
        self.judge_words(key, &given.value, &given.origin);
        let mut resources = given.value.iter().map(|scope| resource_of(scope));
        let first = resources.next();
        if let Some(other) = resources.find(|resource| Some(*resource) != first) {
            let message = format!(
                "a token is for one API, and these are of two: {:?} and {other:?}; make two downstreams of them",
                first.unwrap_or_default()
            );
            self.problems.push(given.origin.clone(), key, message);
        }
    }

    /// Everything that has been consented to at the API: its identifier with `/.default` behind it, also
    /// where it ends in a slash.
    fn all_scopes_of(&mut self, key: &str, given: &Given<String>) -> String {
        let url = given.value.as_str();
        let parsed = url::Url::parse(url);
        let message = if parsed.is_err() || url.contains(char::is_whitespace) {
            Some(format!(
                "{url:?} is no URL such as https://graph.microsoft.com or api://<guid>"
            ))
        } else if url.ends_with("/.default") {
            Some("this is a scope: give it as `scope`, or leave `/.default` out".to_owned())
        } else if url.contains(['?', '#']) {
            Some(format!(
                "{url:?}: an API's identifier has no query and no fragment"
            ))
        } else {
            None
        };
        if let Some(message) = message {
            self.problems.push(given.origin.clone(), key, message);
        }
        format!("{url}/.default")
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

/// What stands before a scope's own name, its API's identifier; nothing where the scope is Microsoft
/// Graph's or OpenID's.
fn resource_of(scope: &str) -> &str {
    // One that ends in a slash has two before the permission.
    let resource = scope.rsplit_once('/').map_or("", |(resource, _)| resource);
    resource.trim_end_matches('/')
}

/// `Authorization`, or a header that means nothing yet.
fn may_carry_a_token(name: &HeaderName) -> bool {
    *name == header::AUTHORIZATION || !has_a_meaning(name)
}

/// Whether a header means something to the gateway, to a connection or to the message: nothing else can
/// be put there.
pub(super) fn has_a_meaning(name: &HeaderName) -> bool {
    const OF_THE_MESSAGE: [HeaderName; 7] = [
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::EXPECT,
        header::HOST,
        header::MAX_FORWARDS,
        header::VIA,
    ];
    headers::belongs_to_the_connection(name)
        || Reserved::default().contains(name)
        || OF_THE_MESSAGE.contains(name)
}
