//! Random numbers that spread work out. Nothing secret depends on them.

use std::hash::{BuildHasher, RandomState};

/// A number in `0.0..1.0`, from the standard library's hash seeds: good enough to spread a fleet's
/// refreshes, and no reason for a dependency.
pub(crate) fn unit() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}
