//! Gives every request an id, which its answer, its log lines and the upstream carry; and has it counted.

use std::{
    cell::Cell,
    convert::Infallible,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use http::HeaderValue;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::count::{Counts, Open};
use crate::message::{
    answer::REQUEST_ID,
    exchange::{Exchange, Reply},
};

/// The longest id that is taken from a client.
const LONGEST: usize = 128;

/// Ids that do not repeat: 64 random bits for the worker, then a counter, all in hexadecimal.
#[derive(Debug)]
pub(crate) struct Ids(Cell<[u8; 32]>);

impl Ids {
    pub(crate) fn new() -> Self {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let mut text = [b'0'; 32];
        let mut rest = random;
        for byte in text.iter_mut().take(16).rev() {
            *byte = b"0123456789abcdef"[(rest & 15) as usize];
            rest >>= 4;
        }
        Self(Cell::new(text))
    }

    /// Counts in the text itself: mostly one digit changes.
    fn make(&self) -> HeaderValue {
        let mut text = self.0.get();
        for digit in text.iter_mut().skip(16).rev() {
            match *digit {
                b'f' => *digit = b'0',
                b'9' => *digit = b'a',
                _ => *digit += 1,
            }
            if *digit != b'0' {
                break;
            }
        }
        self.0.set(text);
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("unknown"))
    }
}

/// Whether an id that the client sent may be taken.
pub(super) fn is_well_formed(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    (1..=LONGEST).contains(&bytes.len())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct RequestIdLayer {
    pub(crate) ids: Rc<Ids>,
    pub(crate) counts: Counts,
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestId<S>;

    fn layer(&self, inner: S) -> RequestId<S> {
        RequestId {
            ids: Rc::clone(&self.ids),
            counts: self.counts.clone(),
            inner,
        }
    }
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct RequestId<S> {
    ids: Rc<Ids>,
    counts: Counts,
    inner: S,
}

impl<S> Service<Box<Exchange>> for RequestId<S>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible>,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Box<Exchange>) -> Self::Future {
        let own = exchange.request.headers().get(REQUEST_ID);
        exchange.id = match own {
            Some(own) if is_well_formed(own) => own.clone(),
            _ => self.ids.make(),
        };
        RequestIdFuture {
            id: Some(exchange.id.clone()),
            open: self.counts.open(&exchange),
            inner: self.inner.call(exchange),
        }
    }
}

pin_project! {
    /// The future of [`RequestId`].
    #[derive(Debug)]
    pub(crate) struct RequestIdFuture<F> {
        #[pin]
        inner: F,
        id: Option<HeaderValue>,
        open: Open,
    }
}

impl<F> Future for RequestIdFuture<F>
where
    F: Future<Output = Result<Reply, Infallible>>,
{
    type Output = Result<Reply, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut polled = this.inner.poll(cx);
        // Changed where it stands: taken out and put back, it would be copied twice.
        if let Poll::Ready(Ok(response)) = &mut polled
            && let Some(id) = this.id.take()
        {
            response.headers_mut().insert(REQUEST_ID, id);
            this.open.tell_times(response);
            this.open.close(Some(response));
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_a_random_part_and_count() {
        let ids = Ids::new();
        let (first, second) = (ids.make(), ids.make());
        let text = |id: &HeaderValue| id.to_str().unwrap().to_owned();
        assert_eq!(text(&first).len(), 32);
        assert!(text(&first).ends_with("0000000000000001"));
        assert!(text(&second).ends_with("0000000000000002"));
        assert_ne!(text(&Ids::new().make())[..16], text(&first)[..16]);
        for number in 3..70_000 {
            assert_eq!(text(&ids.make())[16..], format!("{number:016x}"));
        }
    }

    #[test]
    fn lo_05_only_a_well_formed_id_is_taken() {
        let taken = |text: &str| is_well_formed(&HeaderValue::from_str(text).unwrap());
        assert!(taken("abc-1_2.3"));
        assert!(taken(&"a".repeat(128)));
        assert!(!taken(""));
        assert!(!taken(&"a".repeat(129)));
        assert!(!taken("a b"));
        assert!(!taken("<script>"));
    }
}
