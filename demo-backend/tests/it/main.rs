//! The backend over real TCP, in front of a Resource Manager made up for the test.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests only in functions marked as such, not in their helpers"
)]

mod answers;
mod failures;
mod paging;
mod support;
