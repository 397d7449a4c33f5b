//! A request that may go on: who calls, with which downstream tokens, and what changes in its head.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use smallvec::SmallVec;

use crate::{
    BoundPolicy, DownstreamToken, Downstreams, Principal, Rejection, RejectionKind, Timestamp,
    TokenDefect, challenge,
    core::{OnDemand, group},
    policy::BoundDownstream,
    tokens::CachedToken,
};

/// The downstream tokens of a request; two of them need no allocation.
pub(crate) type Tokens = SmallVec<[Arc<CachedToken>; 2]>;

/// A request that has been let in.
///
/// The layer leaves it in the extensions of the request; other shapes of proxy read the changes of
/// the head from it as data ([`removes`](Self::removes), [`sets`](Self::sets)).
#[derive(Clone)]
pub struct Admitted {
    policy: Arc<BoundPolicy>,
    principal: Option<Principal>,
    valid_until: Option<Timestamp>,
    /// In the order of the policy's downstreams.
    tokens: Tokens,
    /// What the downstreams need whose tokens the handler asks for.
    on_demand: Option<Arc<OnDemand>>,
    /// Whether it is a gRPC call, which is refused in the form of gRPC.
    grpc: bool,
}

impl Admitted {
    pub(crate) fn anonymous(policy: &Arc<BoundPolicy>) -> Self {
        Self {
            policy: Arc::clone(policy),
            principal: None,
            valid_until: None,
            tokens: Tokens::new(),
            on_demand: None,
            grpc: false,
        }
    }

    pub(crate) fn new(
        policy: &Arc<BoundPolicy>,
        principal: Principal,
        valid_until: Timestamp,
        tokens: Tokens,
        on_demand: Option<Arc<OnDemand>>,
        grpc: bool,
    ) -> Self {
        Self {
            policy: Arc::clone(policy),
            principal: Some(principal),
            valid_until: Some(valid_until),
            tokens,
            on_demand,
            grpc,
        }
    }

    /// What has downstreams to ask for, and no request.
    pub(crate) fn without_request(policy: &Arc<BoundPolicy>, on_demand: Arc<OnDemand>) -> Self {
        Self {
            on_demand: Some(on_demand),
            ..Self::anonymous(policy)
        }
    }

    /// Who calls; `None` where the policy is public.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Until when the caller may be served: the token's `exp` with the leeway.
    #[must_use]
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.valid_until
    }

    /// The token for the downstream of that name, if it came with the request. For those on demand
    /// there is [`downstreams`](Self::downstreams).
    #[must_use]
    pub fn downstream(&self, name: &str) -> Option<DownstreamToken> {
        let at = self
            .policy
            .downstreams
            .iter()
            .position(|bound| bound.downstream.name() == name)?;
        self.downstream_at(at)
    }

    /// The token for the first downstream of the policy: the one that goes into `Authorization`, or
    /// where none does, the one that was named first.
    #[must_use]
    pub fn first_downstream(&self) -> Option<DownstreamToken> {
        self.downstream_at(0)
    }

    /// The tokens that stand in headers of the request, the [first](Self::first_downstream) before the
    /// others. Those that are for the handler alone are not among them.
    pub fn sent_tokens(&self) -> impl Iterator<Item = DownstreamToken> {
        let with_request = self.policy.downstreams.iter().enumerate();
        with_request
            .filter(|(_, bound)| bound.header.is_some())
            .filter_map(|(at, _)| self.downstream_at(at))
    }

    /// What to answer the caller after the service behind a proxy, which has got all
    /// [`sent_tokens`](Self::sent_tokens), has answered 401 with these headers.
    ///
    /// Nobody can tell which of them it is about, so each is dealt with as
    /// [`DownstreamToken::challenged`] says: after a claims challenge none of the user's is served
    /// again. The application's own are dropped as after a 401 without claims, and only where there is
    /// no other are the claims held to be about them.
    ///
    /// ```
    /// # use tower_obo::{Admitted, Rejection};
    /// # use http::{Response, StatusCode};
    /// fn refused(admitted: &Admitted, answer: &Response<bytes::Bytes>) -> Option<Rejection> {
    ///     let is_refused = answer.status() == StatusCode::UNAUTHORIZED;
    ///     is_refused.then(|| admitted.challenged(answer.headers()))?
    /// }
    /// ```
    #[must_use]
    pub fn challenged(&self, headers: &HeaderMap) -> Option<Rejection> {
        let (of_user, of_application): (Vec<_>, Vec<_>) = self
            .sent_tokens()
            .partition(|token| token.grant.has_subject());
        let Some(first) = of_user.first() else {
            let (first, others) = of_application.split_first()?;
            others.iter().for_each(DownstreamToken::drop_once_a_minute);
            return first.challenged(headers);
        };
        let others = of_application.iter();
        others.for_each(DownstreamToken::drop_once_a_minute);
        for other in &of_user[1..] {
            other.drop_after(challenge::claims(headers));
        }
        first.challenged(headers)
    }

    /// The downstreams by name, also those whose tokens are exchanged when they are asked for.
    #[must_use]
    pub fn downstreams(&self) -> Downstreams {
        Downstreams::of(self.clone())
    }

    /// The token for a downstream of the policy: the one that came with the request, as long as it can
    /// be used, otherwise another.
    pub(crate) async fn obtain(&self, name: &str) -> Result<DownstreamToken, Rejection> {
        let came = self.downstream(name);
        if let Some(token) = &came
            && self.policy.store.is_alive(&token.token)
        {
            return Ok(token.clone());
        }
        let refuse = |detail| {
            tracing::error!(downstream = ?name, "a handler asks for a token: {detail}");
            Rejection::new(RejectionKind::Misconfigured, detail, &self.policy.challenge)
                .for_grpc(self.grpc)
        };
        let (_, bound) = self
            .named(name)
            .ok_or_else(|| refuse("the route has no downstream of that name"))?;
        let token = match (&self.on_demand, &self.policy.access, came, &self.principal) {
            (Some(on_demand), Some(access), ..) => on_demand.obtain(bound, access).await?,
            (_, _, Some(came), Some(principal)) => {
                self.in_place_of(&came.token, principal, bound)?
            }
            _ => return Err(refuse("the route has nobody to call a downstream for")),
        };
        Ok(DownstreamToken {
            name: Arc::clone(bound.downstream.shared_name()),
            grant: bound.downstream.grant(),
            token,
            policy: Arc::clone(&self.policy),
            grpc: self.grpc,
        })
    }

    /// What there is in place of a token that cannot be used any more, where the caller's own, which
    /// another would be exchanged for, is not kept.
    fn in_place_of(
        &self,
        token: &CachedToken,
        principal: &Principal,
        bound: &BoundDownstream,
    ) -> Result<Arc<CachedToken>, Rejection> {
        let (store, challenge) = (&self.policy.store, &self.policy.challenge);
        if self.valid_until.is_some_and(|until| until <= store.now()) {
            let rejection = Rejection::token(TokenDefect::Expired, challenge);
            return Err(rejection.for_grpc(self.grpc));
        }
        let group = group(&self.policy.client, principal, bound);
        let another = store.in_place_of(token, group);
        another.map_err(|error| {
            let rejection = Rejection::exchange(bound.judge(error), challenge);
            store.report(rejection.for_grpc(self.grpc))
        })
    }

    /// The downstream of that name, with its place among those whose tokens came with the request.
    fn named(&self, name: &str) -> Option<(Option<usize>, &BoundDownstream)> {
        let with_request = self.policy.downstreams.iter().enumerate();
        let with_request = with_request.map(|(at, bound)| (Some(at), bound));
        let on_demand = self.policy.on_demand.iter().map(|bound| (None, bound));
        let mut all = with_request.chain(on_demand);
        all.find(|(_, bound)| bound.downstream.name() == name)
    }

    fn downstream_at(&self, at: usize) -> Option<DownstreamToken> {
        let downstream = &self.policy.downstreams.get(at)?.downstream;
        Some(DownstreamToken {
            name: Arc::clone(downstream.shared_name()),
            grant: downstream.grant(),
            token: Arc::clone(self.tokens.get(at)?),
            policy: Arc::clone(&self.policy),
            grpc: self.grpc,
        })
    }

    /// The downstream of the policy that the token is for, if it is one of this policy's. Whether it is
    /// this caller's the token's key says.
    pub(crate) fn bound(&self, token: &DownstreamToken) -> Option<&BoundDownstream> {
        if !Arc::ptr_eq(&token.policy, &self.policy) {
            return None;
        }
        self.named(&token.name).map(|(_, bound)| bound)
    }

    /// What it has been admitted by.
    pub(crate) const fn policy(&self) -> &Arc<BoundPolicy> {
        &self.policy
    }

    /// Whether a header of the caller has to be taken out, before anything is set.
    #[must_use]
    pub fn removes(&self, name: &HeaderName) -> bool {
        self.policy.strip.covers(name) && !(self.policy.pass_caller_token && *name == AUTHORIZATION)
    }

    /// The headers to set: downstream tokens, marked sensitive, and what tells the identity.
    pub fn sets(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let tokens = self
            .policy
            .downstreams
            .iter()
            .zip(&self.tokens)
            .filter_map(|(bound, token)| Some((bound.header.clone()?, token.header().clone())));
        let identity = self
            .policy
            .identity_headers
            .iter()
            .filter_map(|(claim, header)| {
                let value = identity_value(self.principal.as_ref()?, claim)?;
                Some((header.clone(), value))
            });
        tokens.chain(identity)
    }

    /// Changes the headers of a request: takes out what is the caller's and sets what is ours.
    pub fn apply(&self, headers: &mut HeaderMap) {
        let kept = self
            .policy
            .pass_caller_token
            .then(|| headers.get(AUTHORIZATION).cloned())
            .flatten();
        // Of what the first token takes the place of, nothing has to be taken out.
        let first = self.policy.downstreams.first().zip(self.tokens.first());
        let replaced = first.and_then(|(bound, _)| bound.header.as_ref());
        self.policy
            .strip
            .apply(headers, |name| replaced == Some(name));
        if let Some(own) = kept {
            headers.insert(AUTHORIZATION, own);
        }
        for (name, value) in self.sets() {
            headers.insert(name, value);
        }
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("principal", &self.principal)
            .field("valid_until", &self.valid_until)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

/// Claims longer than this are not put into headers.
const MAX_IDENTITY: usize = 1_024;

/// A claim as a header value: percent-encoded (RFC 3986 §2.1) but for plain visible ASCII, so that
/// no claim can end a header. `None` where the token has no such claim: the header stays absent.
fn identity_value(principal: &Principal, claim: &str) -> Option<HeaderValue> {
    let joined: String;
    let value = match claim {
        "oid" => principal.object_id()?,
        "iss" => principal.issuer(),
        "tid" => Some(principal.tenant_id()).filter(|tenant| !tenant.is_empty())?,
        "sub" => principal.subject()?,
        "azp" => principal.client_id()?,
        "uti" => principal.token_id()?,
        "scp" => {
            joined = principal.scopes().collect::<Vec<_>>().join(" ");
            &joined
        }
        "roles" => {
            joined = principal.roles().collect::<Vec<_>>().join(" ");
            &joined
        }
        other => principal.claim(other)?,
    };
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'%' | b',' | b'"' | b'\\' | ..b' ' | 0x7f.. => {
                use fmt::Write;
                let _ = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    (encoded.len() <= MAX_IDENTITY)
        .then(|| HeaderValue::try_from(encoded).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::Claims;

    fn principal(name: &str) -> Principal {
        Principal::new(Claims {
            issuer: "i".into(),
            tenant_id: "t".into(),
            object_id: None,
            subject: None,
            client_id: None,
            scopes: [Box::from("a"), Box::from("b")].into(),
            roles: [].into(),
            app_only: false,
            claims_capable: false,
            token_id: None,
            expires_at: Timestamp::default(),
            kept: Box::new([("name".into(), name.into())]),
        })
    }

    #[test]
    fn hd_10_a_claim_cannot_leave_its_header() {
        let value = identity_value(&principal("Zoë,\r\nX: \"1\" 100%"), "name").unwrap();
        assert_eq!(value, "Zo%C3%AB%2C%0D%0AX: %221%22 100%25");
    }

    #[test]
    fn hd_10_an_absent_or_huge_claim_leaves_the_header_absent() {
        assert!(identity_value(&principal("x"), "oid").is_none());
        assert!(identity_value(&principal("x"), "email").is_none());
        assert!(identity_value(&principal(&"x".repeat(64 * 1024)), "name").is_none());
    }

    #[test]
    fn lists_are_joined_with_spaces() {
        assert_eq!(identity_value(&principal("x"), "scp").unwrap(), "a b");
    }
}
