//! In place of a shared store, in a build without one: there never is one, and it costs nothing.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{CachedToken, Want};
use crate::{SharedStoreUsage, Timestamp, exchange::TokenResponse};

#[derive(Clone, Debug)]
pub(crate) enum Shared {}

#[derive(Clone, Debug)]
pub(in crate::tokens) struct Stored {
    pub(in crate::tokens) response: TokenResponse,
    pub(in crate::tokens) obtained: Timestamp,
}

#[derive(Debug)]
pub(in crate::tokens) enum Claim {}

#[expect(dead_code, reason = "there is no store to find something in")]
pub(super) enum Found {
    Token(Stored),
    Nothing(Option<Claim>),
    Busy,
    Failed,
}

impl Stored {
    pub(in crate::tokens) const fn new(response: TokenResponse, obtained: Timestamp) -> Self {
        Self { response, obtained }
    }
}

impl Shared {
    pub(crate) fn start(&self) {
        match *self {}
    }

    pub(super) async fn find(
        &self,
        _: &Want,
        _: Instant,
        _: bool,
        _: impl Fn(&Stored) -> bool,
    ) -> Found {
        match *self {}
    }

    pub(crate) fn usage(&self) -> SharedStoreUsage {
        match *self {}
    }

    pub(super) fn skipped(&self) {
        match *self {}
    }

    pub(super) fn wait(&self) -> Duration {
        match *self {}
    }

    pub(super) fn keep(
        &self,
        _: &Want,
        _: &Stored,
        _: &Arc<CachedToken>,
        _: Option<Claim>,
        _: Timestamp,
    ) {
        match *self {}
    }

    pub(super) fn took(&self, _: &Stored, _: &CachedToken) {
        match *self {}
    }

    pub(super) fn forget(&self, _: &CachedToken) {
        match *self {}
    }
}
