//! What HTTP messages are here: bodies, a request on its way through the stack, the answers that
//! the gateway gives itself.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod exchange;
pub(crate) mod grpc;
pub(crate) mod hop;
pub(crate) mod room;
pub(crate) mod trailers;
pub(crate) mod unparsed;
pub(crate) mod upload;
pub(crate) mod websocket;
