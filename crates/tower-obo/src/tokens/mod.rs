//! Downstream tokens: kept, asked for once, renewed ahead.

mod cached;
mod challenged;
mod flight;
mod holdback;
mod owner;
#[cfg(feature = "redis")]
mod shared;
#[cfg(not(feature = "redis"))]
#[path = "shared_absent.rs"]
mod shared;
mod store;

#[cfg(feature = "redis")]
pub use self::shared::RedisStore;

pub(crate) use self::{
    cached::CachedToken,
    flight::{FromStore, Unavailable, Want},
    owner::Owner,
    store::{DownstreamTokens, gone},
};
