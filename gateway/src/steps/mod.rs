//! The steps that a request passes, one file each; their order stands in [`crate::stack`].

pub(crate) mod check;
pub(crate) mod count;
pub(crate) mod forwarded;
pub(crate) mod limit;
pub(crate) mod panic_guard;
pub(crate) mod request_id;
pub(crate) mod route;
pub(crate) mod step;
pub(crate) mod strip;
pub(crate) mod upstream;
