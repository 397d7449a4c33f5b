//! In place of a shared store, in a build without one: there never is one, and it costs nothing.

use std::sync::Arc;

use super::{CachedToken, Want};
use crate::{Timestamp, exchange::TokenResponse};

#[derive(Clone, Debug)]
pub(crate) enum Shared {}

#[derive(Clone, Debug)]
pub(in crate::tokens) struct Stored {
    pub(in crate::tokens) response: TokenResponse,
    pub(in crate::tokens) obtained: Timestamp,
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

    pub(super) async fn find(&self, _: &Want, _: impl Fn(&Stored) -> bool) -> Option<Stored> {
        match *self {}
    }

    pub(super) fn keep(&self, _: &Want, _: &Stored, _: &Arc<CachedToken>, _: Timestamp) {
        match *self {}
    }

    pub(super) fn took(&self, _: &Stored, _: &CachedToken) {
        match *self {}
    }

    pub(super) fn give_up(&self, _: &Want) {
        match *self {}
    }

    pub(super) fn forget(&self, _: &CachedToken) {
        match *self {}
    }
}
