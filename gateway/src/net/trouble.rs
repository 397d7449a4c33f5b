//! What fails with every request is not said with every request.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

/// How often it is said that something still fails.
const REMINDER: Duration = Duration::from_secs(60);

/// How often at most that it fails again, where it comes and goes.
const AGAIN: Duration = Duration::from_secs(10);

/// Whether something fails, and what has been said of it.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    lasts: Cell<bool>,
    said: Cell<Option<Instant>>,
    /// Whether somebody was told that it fails and not yet that it does not.
    told: Cell<bool>,
    unsaid: Cell<u64>,
}

impl Trouble {
    /// It has failed. Where that is to be said: how often it had failed since that was said last.
    pub(crate) fn failed(&self) -> Option<u64> {
        let pause = match self.lasts.replace(true) {
            true => REMINDER,
            false => AGAIN,
        };
        if self.said.get().is_some_and(|said| said.elapsed() < pause) {
            self.unsaid.set(self.unsaid.get() + 1);
            return None;
        }
        self.said.set(Some(Instant::now()));
        self.told.set(true);
        Some(self.unsaid.take())
    }

    /// It works. Whether that is to be said.
    pub(crate) fn works(&self) -> bool {
        self.lasts.set(false);
        self.told.replace(false)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_said_when_it_begins_then_each_minute_and_when_it_is_over() {
        let trouble = Trouble::default();
        assert!(!trouble.works());
        assert_eq!(trouble.failed(), Some(0));
        for _ in 0..1_000 {
            assert_eq!(trouble.failed(), None);
        }
        advance(REMINDER).await;
        assert_eq!(trouble.failed(), Some(1_000));
        assert_eq!(trouble.failed(), None);
        assert!(trouble.works());
        assert!(!trouble.works());
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_said_every_ten_seconds() {
        let trouble = Trouble::default();
        let mut lines = 0;
        for _ in 0..600 {
            lines += u32::from(trouble.failed().is_some()) + u32::from(trouble.works());
            advance(Duration::from_millis(100)).await;
        }
        assert_eq!(lines, 12);
    }
}
