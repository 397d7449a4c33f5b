//! What a reload changes, as the connections of a worker find it: each takes the newest with its next
//! request, and what runs keeps what it began with.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    fmt,
    rc::Rc,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    message::exchange::{Exchange, Reply},
    net::network::Network,
};

/// What requests pass, until a reload puts another in its place.
pub(crate) struct Current<S> {
    /// Another one with each reload: all that a request has to look at.
    number: Cell<u64>,
    stack: RefCell<S>,
    /// The peers that are believed when they say who the client is.
    proxies: RefCell<Box<[Network]>>,
}

impl<S> Current<S> {
    pub(crate) fn new(stack: S, proxies: &[Network]) -> Rc<Self> {
        Rc::new(Self {
            number: Cell::new(0),
            stack: RefCell::new(stack),
            proxies: RefCell::new(proxies.into()),
        })
    }

    pub(crate) fn replace(&self, stack: S, proxies: &[Network]) {
        self.stack.replace(stack);
        self.proxies.replace(proxies.into());
        self.number.set(self.number.get().wrapping_add(1));
    }
}

/// The service of one connection.
pub(crate) struct Latest<S> {
    current: Rc<Current<S>>,
    /// What the last request passed, and its number; `None` before the first.
    own: Option<(u64, S)>,
}

impl<S: Clone> Latest<S> {
    pub(crate) fn of(current: &Rc<Current<S>>) -> Self {
        Self {
            current: Rc::clone(current),
            own: None,
        }
    }
}

impl<S> Service<Box<Exchange>> for Latest<S>
where
    S: Service<Box<Exchange>, Response = Reply, Error = Infallible> + Clone,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = S::Future;

    /// The stack is always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Box<Exchange>) -> Self::Future {
        let newest = self.current.number.get();
        let stack = match &mut self.own {
            Some((number, stack)) if *number == newest => stack,
            own => {
                let client = &exchange.client;
                client.trust(&self.current.proxies.borrow());
                &mut own.insert((newest, self.current.stack.borrow().clone())).1
            }
        };
        stack.call(exchange)
    }
}

impl<S> fmt::Debug for Current<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Latest<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latest")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}
