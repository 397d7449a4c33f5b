//! The log of a test.

use std::{
    fmt,
    sync::{Arc, LazyLock, Mutex},
};

/// The lines of the log that this thread writes, at info and above unless it is asked for more: level,
/// message and fields.
#[derive(Clone)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>, tracing::Level);

impl Default for Lines {
    fn default() -> Self {
        Self::above(tracing::Level::INFO)
    }
}

impl Lines {
    /// All that this crate writes.
    pub(crate) fn of_all_levels() -> Self {
        Self::above(tracing::Level::TRACE)
    }

    /// While there is one subscriber alone, a line that another thread comes upon first, without any,
    /// counts as one that nobody wants, also here. So there are always two.
    fn above(level: tracing::Level) -> Self {
        static ANOTHER: LazyLock<tracing::Dispatch> = LazyLock::new(|| {
            let lines = Lines(Arc::default(), tracing::Level::TRACE);
            tracing::Dispatch::new(lines)
        });
        LazyLock::force(&ANOTHER);
        Self(Arc::default(), level)
    }

    /// Those since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= self.1 && metadata.target().starts_with("tower_obo")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(
            &mut |field: &tracing::field::Field, value: &dyn fmt::Debug| {
                line += &format!(" {field}={value:?}");
            },
        );
        self.0.lock().unwrap().push(line);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
