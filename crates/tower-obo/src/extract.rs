//! What the layer found out, as extractors of axum.

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use crate::{Admitted, DownstreamToken, Downstreams, Principal};

/// The handler asks for something that no layer has left: a mistake of the program, so the caller
/// is told nothing but that.
#[derive(Clone, Copy, Debug)]
pub struct MissingLayer(&'static str);

impl IntoResponse for MissingLayer {
    fn into_response(self) -> Response {
        tracing::error!("{} is asked for where OboLayer does not give it", self.0);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

impl std::fmt::Display for MissingLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no OboLayer has left a {} in the request", self.0)
    }
}

impl std::error::Error for MissingLayer {}

/// Everything that the layer found out; for more than one downstream, ask it by name.
impl<S: Sync> FromRequestParts<S> for Admitted {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let admitted = parts.extensions.get::<Self>().cloned();
        admitted.ok_or(MissingLayer("Admitted"))
    }
}

/// The downstreams by name, also those on demand.
impl<S: Sync> FromRequestParts<S> for Downstreams {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let admitted = parts.extensions.get::<Admitted>();
        admitted
            .map(Admitted::downstreams)
            .ok_or(MissingLayer("Downstreams"))
    }
}

/// `None` where the policy is public.
impl<S: Sync> OptionalFromRequestParts<S> for Principal {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, MissingLayer> {
        match parts.extensions.get::<Admitted>() {
            Some(admitted) => Ok(admitted.principal().cloned()),
            None => Err(MissingLayer("Principal")),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts
            .extensions
            .get::<Admitted>()
            .and_then(Admitted::principal)
            .cloned()
            .ok_or(MissingLayer("Principal"))
    }
}

/// That of the first downstream; see [`Admitted::first_downstream`].
impl<S: Sync> FromRequestParts<S> for DownstreamToken {
    type Rejection = MissingLayer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts
            .extensions
            .get::<Admitted>()
            .and_then(Admitted::first_downstream)
            .ok_or(MissingLayer("DownstreamToken"))
    }
}
