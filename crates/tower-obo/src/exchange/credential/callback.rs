//! Client assertions from somewhere else.

use std::{error::Error, pin::Pin};

use super::CredentialError;
use crate::Secret;

type Answer = Result<Secret, Box<dyn Error + Send + Sync>>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

pub(super) struct Callback(Box<dyn Fn() -> Answering + Send + Sync>);

impl Callback {
    pub(super) fn new<F, A>(assertion: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self(Box::new(move || Box::pin(assertion())))
    }

    pub(super) async fn assertion(&self) -> Result<Secret, CredentialError> {
        (self.0)()
            .await
            .map_err(|error| CredentialError::Unavailable(error.to_string()))
    }
}
