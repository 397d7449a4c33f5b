//! What a route asks of its callers, and what it does for them.

mod bound;
mod downstream;

use http::{HeaderName, header::AUTHORIZATION};

pub(crate) use self::{bound::BoundDownstream, downstream::Target};
pub use self::{bound::BoundPolicy, downstream::Downstream};
use crate::{AccessPolicy, ConfigError, inject::Strip, provider::ProviderKind};

/// What a route asks of its callers, which downstream tokens it gives them, and which headers it
/// puts them and their identity into.
///
/// Bound to a core with [`Core::bind`](crate::Core::bind) or [`Core::layer`](crate::Core::layer), where
/// everything in it that cannot be meant is said at once.
///
/// ```
/// use http::HeaderName;
/// use tower_obo::{AccessPolicy, Downstream, Policy};
///
/// let subscriptions = Policy::new(AccessPolicy::any_scope(["access_as_user"]))
///     .downstream(Downstream::azure_resource_manager())
///     .identity_header("oid", HeaderName::from_static("x-obo-oid"));
/// let health = Policy::public();
/// # let _ = (subscriptions, health);
/// ```
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) access: Option<AccessPolicy>,
    pub(crate) downstreams: Vec<(Downstream, Option<HeaderName>)>,
    pub(crate) on_demand: Vec<Downstream>,
    pub(crate) identity_headers: Vec<(Box<str>, HeaderName)>,
    pub(crate) strip: Strip,
    pub(crate) pass_caller_token: bool,
}

impl Policy {
    /// Lets in the callers that `access` lets in.
    #[must_use]
    pub fn new(access: AccessPolicy) -> Self {
        Self {
            access: Some(access),
            ..Self::public()
        }
    }

    /// Lets everybody in, without a look at any token. Tokens and identity headers of the caller
    /// are stripped all the same.
    #[must_use]
    pub fn public() -> Self {
        Self {
            access: None,
            downstreams: Vec::new(),
            on_demand: Vec::new(),
            identity_headers: Vec::new(),
            strip: Strip::default(),
            pass_caller_token: false,
        }
    }

    /// Exchanges the caller's token for one of this downstream, and puts it into `Authorization`.
    #[must_use]
    pub fn downstream(self, downstream: Downstream) -> Self {
        self.downstream_in(downstream, AUTHORIZATION)
    }

    /// The same with another header than `Authorization`, so that one request can carry the tokens
    /// of several downstreams. Two of them in one header, or one in a header that belongs to the
    /// connection, are an error when the policy is bound.
    ///
    /// The one in `Authorization` is the policy's first downstream, in whichever order they are
    /// named; see [`Admitted::first_downstream`](crate::Admitted::first_downstream).
    #[must_use]
    pub fn downstream_in(mut self, downstream: Downstream, header: HeaderName) -> Self {
        self.strip.add(&header);
        let at = match header == AUTHORIZATION {
            true => 0,
            false => self.downstreams.len(),
        };
        self.downstreams.insert(at, (downstream, Some(header)));
        self
    }

    /// Exchanges the caller's token for one of this downstream, for the handler alone: it goes into
    /// no header.
    #[must_use]
    pub fn downstream_for_handler(mut self, downstream: Downstream) -> Self {
        self.downstreams.push((downstream, None));
        self
    }

    /// Lets the handler have a token of this downstream when it asks for one, with
    /// [`Downstreams::get`](crate::Downstreams::get): requests that do without cost no exchange, and
    /// a refusal of this downstream refuses none of them.
    #[must_use]
    pub fn downstream_on_demand(mut self, downstream: Downstream) -> Self {
        self.on_demand.push(downstream);
        self
    }

    /// Tells the service who calls: puts a claim of the validated token into a header,
    /// percent-encoded where it is more than plain ASCII, and strips that header of the caller. A
    /// claim that the token lacks, or that is longer than 1,024 bytes so, leaves the header out.
    ///
    /// Known are `oid`, `tid`, `sub`, `azp`, `uti`, `scp`, `roles` and the claims that the core
    /// keeps.
    #[must_use]
    pub fn identity_header(mut self, claim: impl Into<Box<str>>, header: HeaderName) -> Self {
        self.strip.add(&header);
        self.identity_headers.push((claim.into(), header));
        self
    }

    /// Strips a further header of the caller, with the names that an upstream may fold into it.
    #[must_use]
    pub fn strip_header(mut self, header: &HeaderName) -> Self {
        self.strip.add(header);
        self
    }

    /// Leaves the caller's own token in the request, once it has been validated: a public policy
    /// strips it all the same. The service behind can then act as the user
    /// towards this API; a downstream token is nearly always what is wanted instead.
    #[must_use]
    pub fn pass_caller_token(mut self) -> Self {
        self.pass_caller_token = true;
        self
    }

    /// What of it cannot be meant.
    pub(crate) fn problems(&self, provider: ProviderKind) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let mut wrong = |setting, problem: String| problems.push(ConfigError { setting, problem });
        let with_request = self.downstreams.iter().map(|(downstream, _)| downstream);
        let all = with_request.chain(&self.on_demand);
        for downstream in all.clone() {
            for problem in downstream.problems(provider) {
                wrong("downstream", format!("{:?}: {problem}", downstream.name()));
            }
        }
        for name in repeated(all.clone().map(Downstream::name)) {
            wrong(
                "downstream",
                format!("two downstreams have the name {name:?}: give each its own"),
            );
        }
        if self.access.is_none() && all.clone().next().is_some() {
            let problem = "a public policy has no caller to get a token for: say who may call";
            wrong("downstream", problem.to_owned());
        }
        let tokens = self.downstreams.iter();
        let tokens = tokens.filter_map(|(_, header)| header.as_ref());
        for header in tokens.clone().filter(|header| is_reserved(header)) {
            let problem = format!(
                "{header} belongs to the connection, or to the message: name another header"
            );
            wrong("downstream_in", problem);
        }
        for header in repeated(tokens.clone()) {
            let problem =
                format!("the tokens of two downstreams go into {header}: give each its own header");
            wrong("downstream_in", problem);
        }
        let claims = self.identity_headers.iter().map(|(_, header)| header);
        for header in claims.clone() {
            if is_reserved(header) || *header == AUTHORIZATION {
                let problem = format!(
                    "{header} belongs to the connection, to the message, or to a token: name another header"
                );
                wrong("identity_header", problem);
            } else if tokens.clone().any(|token| token == header) {
                let problem =
                    format!("a token and a claim go into {header}: give each its own header");
                wrong("identity_header", problem);
            }
        }
        for header in repeated(claims) {
            wrong(
                "identity_header",
                format!("two claims go into {header}: give each its own header"),
            );
        }
        problems
    }
}

/// What is there more than once: each once.
fn repeated<T: PartialEq>(items: impl Iterator<Item = T> + Clone) -> Vec<T> {
    let mut repeated = Vec::new();
    let mut rest = items;
    while let Some(item) = rest.next() {
        if !repeated.contains(&item) && rest.clone().any(|other| other == item) {
            repeated.push(item);
        }
    }
    repeated
}

/// Headers that say where a message ends and whom it is for; a token there would break it, or be
/// taken out on the way.
fn is_reserved(header: &HeaderName) -> bool {
    const RESERVED: [&str; 11] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    RESERVED.contains(&header.as_str())
}
