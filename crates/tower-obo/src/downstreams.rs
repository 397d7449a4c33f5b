//! The downstreams of a request, for its handler.

use crate::{Admitted, DownstreamToken, Rejection};

/// The downstreams of a route by name. With the feature `axum` it is an extractor; elsewhere
/// [`Admitted::downstreams`] gives it, from the extensions of the request.
///
/// ```no_run
/// # #[cfg(feature = "axum")] {
/// use axum::response::{IntoResponse, Response};
/// use tower_obo::{DownstreamToken, Downstreams};
///
/// // .downstream(Downstream::azure_resource_manager())
/// // .downstream_on_demand(Downstream::new("graph", ["https://graph.microsoft.com/User.Read"]))
/// async fn owner(arm: DownstreamToken, downstreams: Downstreams) -> Response {
///     let graph = match downstreams.get("graph").await {
///         Ok(graph) => graph,
///         // Consent or a second factor that Graph alone wants: the caller's client is told so.
///         Err(rejection) => return rejection.to_response(),
///     };
///     // Call both, with `arm.header()` and `graph.header()`.
/// #   let _ = (arm, graph); ().into_response()
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Downstreams(Admitted);

impl Downstreams {
    pub(crate) const fn of(admitted: Admitted) -> Self {
        Self(admitted)
    }

    /// The token for the downstream of that name: the one that came with the request as long as it can
    /// be used, or of a downstream [on demand](crate::Policy::downstream_on_demand) one that is exchanged
    /// now, unless it is there already. All who want the same one wait for the same exchange.
    ///
    /// A token that came with the request can end during a long answer, or be
    /// [refused](DownstreamToken::challenged) by its downstream. On a route with downstreams on demand,
    /// which keeps the caller's token, another is exchanged then; elsewhere there is one if another
    /// request has got it.
    ///
    /// # Errors
    ///
    /// What the layer would have answered if the route needed this token, ready to be sent to the
    /// caller: among others, the claims challenge that its downstream has refused the last one with. A
    /// name that the route does not have is a mistake of the program: 502, and an error in the log.
    pub async fn get(&self, name: &str) -> Result<DownstreamToken, Rejection> {
        self.0.obtain(name).await
    }
}
