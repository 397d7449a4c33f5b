//! What a request costs the library, by what becomes of it. `make bench-micro` runs these; the
//! figures of one machine are in `docs/performance.md`. Nothing asserts a time.
#![allow(
    clippy::unwrap_used,
    reason = "a bench is for whoever works on the library, as a test is"
)]

mod admit;
mod refuse;
mod rig;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50)
        .configure_from_args();
    refuse::bench(&mut criterion);
    admit::bench(&mut criterion);
    criterion.final_summary();
}
