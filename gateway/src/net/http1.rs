//! HTTP/1.1 towards upstreams.
//!
//! A client of our own, since forwarding is what the gateway is for: it is driven by the request that has
//! the connection, so that nothing is handed from task to task, and what comes is passed on as it lies in
//! the buffer that it was read into. Only the rest of an upload has a task of its own, once its answer has
//! begun: it goes on while the client does not read that.
//!
//! What two readers could understand in different ways is no answer: see [`answer_head`] and [`chunks`].
//! After anything but an answer that ended where it said, on a request that was sent to its end, the
//! connection is not used again.

mod answer_head;
mod body;
mod chunks;
mod connection;
mod error;
mod lease;
mod outgoing;
mod request_head;
mod task;
mod upload;

#[cfg(test)]
mod tests;

pub(crate) use self::{body::AnswerBody, error::Error, lease::Lease};

/// The most that is read from an upstream at once, in bytes, and the largest head of an answer.
///
/// What is read waits for the client to take it, so this is what a download costs that is read
/// slowly.
const READ_AT_ONCE: usize = 64 * 1024;

/// The most fields of an answer's head, and of its trailers.
const MOST_FIELDS: usize = 100;
