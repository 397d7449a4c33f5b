//! Downstream tokens: kept, asked for once, renewed ahead.

mod cached;
mod flight;
mod holdback;
mod store;

pub(crate) use self::{
    cached::CachedToken,
    flight::{Unavailable, Want},
    store::DownstreamTokens,
};
