//! What is said of a panic: where it was, and nothing that a request may have brought.

use std::{
    any::Any,
    io::{self, Write as _},
    panic, thread,
};

/// Has panics of the whole process said in the log with their place, and their message only where it is a
/// fixed text. One that was put together may hold anything: a token, for instance. Where the log is off, or there
/// is none, the same goes to standard error. For a program's `main`.
///
/// ```
/// obo_gateway::hide_panic_messages();
/// ```
pub fn hide_panic_messages() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        let message = fixed(panic.payload());
        let thread = thread::current();
        let thread = thread.name().unwrap_or("?");
        if tracing::enabled!(tracing::Level::ERROR) {
            tracing::error!(place, message, thread, "a panic");
        } else {
            // No log, or one that is off: who asked for silence did not mean a defect. Where even this cannot be
            // written (a pipe that nobody reads any more), there is nothing left to do, least of all another panic.
            let _ = writeln!(io::stderr(), "a panic at {place}, in {thread}: {message}");
        }
    }));
}

/// The message of a panic, where it was written when the program was.
fn fixed(payload: &(dyn Any + Send)) -> &'static str {
    let text = payload.downcast_ref::<&'static str>();
    text.copied()
        .unwrap_or("(its message may hold what a request brought, and is not shown)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_put_together_is_not_shown() {
        let token = "eyJ0.eyJz.sig".to_owned();
        let shown = |panicking: fn(String)| {
            let token = token.clone();
            let payload = panic::catch_unwind(move || panicking(token)).unwrap_err();
            fixed(&*payload)
        };
        assert_eq!(shown(|_| panic!("as the test says")), "as the test says");
        let hidden = shown(|token| panic!("cannot read {token}"));
        assert!(hidden.contains("not shown") && !hidden.contains("eyJ"));
        let any = shown(|token| panic::panic_any(token));
        assert!(any.contains("not shown"));
    }
}
