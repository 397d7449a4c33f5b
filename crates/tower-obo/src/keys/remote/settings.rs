//! How often keys are fetched, and how long they serve.

use std::time::Duration;

use crate::core::ConfigError;

/// The shortest time between two fetches without cause, whatever Cache-Control says.
pub(super) const MIN_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// A set has to outlive the time until its successor is fetched, even where one fetch fails.
const MIN_MAX_AGE: Duration = Duration::from_secs(2 * 5 * 60);

/// A shorter cool-down is none: whoever makes up key ids would decide how often the authority is asked.
const MIN_COOL_DOWN: Duration = Duration::from_secs(1);

/// How often and how long keys are used.
#[derive(Clone, Debug)]
pub(crate) struct RemoteKeysSettings {
    /// How often the keys are refreshed without cause (12 h, as Microsoft's libraries do).
    pub(super) refresh_interval: Duration,
    /// How soon an unknown key may cause another fetch (5 min).
    pub(super) unknown_key_cool_down: Duration,
    /// How long the last good keys serve while no fetch succeeds (24 h).
    pub(super) max_age: Duration,
}

impl Default for RemoteKeysSettings {
    fn default() -> Self {
        Self {
            refresh_interval: Duration::from_secs(12 * 3600),
            unknown_key_cool_down: Duration::from_secs(5 * 60),
            max_age: Duration::from_secs(24 * 3600),
        }
    }
}

impl RemoteKeysSettings {
    /// The time between two fetches without cause. Keys that serve for a shorter time than usual are
    /// fetched twice in it.
    pub(super) fn interval(&self) -> Duration {
        let interval = self.refresh_interval.min(self.max_age / 2);
        interval.max(MIN_INTERVAL)
    }

    /// What is wrong with them, and how to mend it.
    pub(super) fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        if self.unknown_key_cool_down < MIN_COOL_DOWN {
            problems.push(ConfigError {
                setting: "unknown_key_cool_down",
                problem:
                    "made-up key ids could make it ask the authority without a pause: give at \
                          least 1 s"
                        .to_owned(),
            });
        }
        if self.max_age < MIN_MAX_AGE {
            problems.push(ConfigError {
                setting: "key_max_age",
                problem: "keys would be too old before they are refreshed: give at least 10 min"
                    .to_owned(),
            });
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_serve_for_a_short_time_are_refreshed_twice_in_it() {
        for (max_age, interval) in [
            (24 * 3600, 12 * 3600),
            (7 * 24 * 3600, 12 * 3600),
            (4 * 3600, 2 * 3600),
            (600, 300),
            (1, 300),
        ] {
            let settings = RemoteKeysSettings {
                max_age: Duration::from_secs(max_age),
                ..RemoteKeysSettings::default()
            };
            assert_eq!(
                settings.interval(),
                Duration::from_secs(interval),
                "{max_age}"
            );
        }
    }

    #[test]
    fn what_would_ask_too_often_or_serve_too_short_is_a_problem() {
        let wrong = |cool_down: u64, max_age: u64| {
            let settings = RemoteKeysSettings {
                unknown_key_cool_down: Duration::from_millis(cool_down),
                max_age: Duration::from_secs(max_age),
                ..RemoteKeysSettings::default()
            };
            let problems = settings.problems();
            problems.iter().map(|one| one.setting).collect::<Vec<_>>()
        };
        assert_eq!(wrong(1_000, 600), [""; 0]);
        assert_eq!(wrong(999, 600), ["unknown_key_cool_down"]);
        assert_eq!(wrong(1_000, 599), ["key_max_age"]);
    }
}
