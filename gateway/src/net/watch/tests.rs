use std::rc::Weak;

use super::*;
use crate::config::Limits;

mod silence;

/// As long as it is by default.
const DRAIN: Duration = Duration::from_secs(30);

fn watches() -> Watches {
    Watches::new(&Limits::default())
}

/// A sweep, and turns for all tasks, which have nothing to read.
fn sweep_at(watches: &Watches, now: u64) {
    watches.sweep_at(now);
    while !watches.doubted.borrow().is_empty() {
        for watch in watches.all.borrow().iter().filter_map(Weak::upgrade) {
            watch.poll_orders(&Context::from_waker(Waker::noop()));
        }
        watches.ask_doubted();
    }
}

#[test]
fn each_phase_has_its_limit_and_progress_starts_it_anew() {
    for (phase, limit) in [
        (Phase::Idle, 60_500),
        (Phase::Head, 10_500),
        (Phase::Streaming, 60_500),
        (Phase::Tunnel, 60_500),
        (Phase::Closing, 1_500),
    ] {
        let watches = watches();
        let watch = watches.add();
        watch.enter(phase);
        watches.later(limit);
        assert!(!watch.overdue.get(), "{phase:?}");
        watch.touch();
        watches.later(limit);
        assert!(!watch.overdue.get(), "{phase:?}");
        watches.later(1);
        assert!(watch.overdue.get(), "{phase:?}");
    }
}

#[test]
fn a_sweep_that_comes_late_judges_nobody_and_the_next_one_does_however_late() {
    let watches = watches();
    let watch = watches.add();
    watch.enter(Phase::Idle);
    sweep_at(&watches, 70_000);
    assert!(!watch.overdue.get(), "what came meanwhile is not read yet");
    sweep_at(&watches, 140_000);
    assert!(watch.overdue.get());

    let in_time = watches.add();
    in_time.enter(Phase::Head);
    for now in (140_000..=150_500).step_by(500) {
        sweep_at(&watches, now);
        assert!(!in_time.overdue.get(), "{now}");
    }
    sweep_at(&watches, 151_000);
    assert!(in_time.overdue.get());
}

#[test]
fn at_a_shutdown_a_first_request_has_as_long_as_its_head_and_another_a_second() {
    let watches = watches();
    let [old, new, used] = [(); 3].map(|()| watches.add());
    for watch in [&old, &new, &used] {
        watch.enter(Phase::Idle);
    }
    used.begin(false);
    used.end();
    used.flushed();
    watches.later(9_500);
    new.touch();
    watches.drain(DRAIN);
    watches.later(1_500);
    for watch in [&old, &new, &used] {
        assert!(!watch.overdue.get());
    }
    watches.later(1);
    assert!(used.overdue.get(), "it has had one");
    assert!(old.overdue.get(), "nothing has come in all that time");
    watches.later(10_500 - 1_501);
    assert!(!new.overdue.get());
    watches.later(1);
    assert!(new.overdue.get());

    // Nobody who says nothing keeps it for all of the time that there is.
    let silent = watches.add();
    silent.enter(Phase::Idle);
    watches.drain(Duration::from_secs(5));
    watches.later(5_000 - 1_500);
    assert!(!silent.overdue.get());
    watches.later(1);
    assert!(silent.overdue.get());

    let come = watches.add();
    come.enter(Phase::Idle);
    watches.drain(DRAIN);
    come.begin(false);
    come.end();
    come.flushed();
    watches.later(1_501);
    assert!(come.overdue.get(), "it was its last");
}

#[test]
fn a_request_that_is_judged_has_no_limit_here() {
    let watches = watches();
    let watch = watches.add();
    watch.begin(false);
    watches.later(1_000_000);
    assert!(!watch.overdue.get());
}

#[test]
fn who_was_late_depends_on_whose_bytes_were_waited_for() {
    let watches = watches();
    let watch = watches.add();
    watch.enter(Phase::Awaiting);
    watches.later(60_501);
    assert_eq!(watch.late.take(), Some(Late::Upstream));
    watch.enter(Phase::Awaiting);
    watch.set_uploading(true);
    watches.later(60_501);
    assert_eq!(watch.late.take(), Some(Late::Client));
    assert!(!watch.overdue.get(), "there is an answer to give first");
}

#[test]
fn a_request_that_has_an_end_ends_then_however_much_moves() {
    let watches = watches();
    let watch = watches.add();
    for phase in [Phase::Awaiting, Phase::Tunnel, Phase::Streaming] {
        watch.begin(false);
        watch.end_after(Some(Duration::from_secs(100)));
        watch.enter(phase);
        for _ in 0..9 {
            watches.later(10_000);
            watch.touch();
        }
        assert!(!watch.overdue.get(), "{phase:?}");
        watches.later(10_000);
        assert!(watch.overdue.get(), "{phase:?}");
        watch.overdue.set(false);
    }
    assert!(watch.is_cut(), "an answer had begun");

    // The next request of the connection has none, and neither has the time between.
    watch.enter(Phase::Idle);
    watches.later(10_000);
    assert!(!watch.overdue.get());
    watch.begin(false);
    watch.enter(Phase::Streaming);
    watches.later(10_000);
    assert!(!watch.overdue.get());
}

#[test]
fn connections_that_have_ended_are_forgotten() {
    let watches = watches();
    let kept = watches.add();
    drop(watches.add());
    watches.sweep();
    assert_eq!(watches.all.borrow().len(), 1);
    drop(kept);
}

#[test]
fn a_short_answer_has_less_time_and_the_next_one_has_not() {
    let watches = watches();
    let watch = watches.add();
    watch.enter(Phase::Streaming);
    watch.set_brief();
    watches.later(10_500);
    assert!(!watch.overdue.get());
    watches.later(1);
    assert!(watch.overdue.get());
    watch.overdue.set(false);
    watch.begin(false);
    watch.enter(Phase::Streaming);
    watches.later(60_500);
    assert!(!watch.overdue.get());
}

#[test]
fn an_upload_may_go_on_until_its_answer_or_the_next_request() {
    let watch = watches().add();
    watch.begin(true);
    let first = watch.upload();
    assert!(watch.may_upload(first));
    watch.end_upload(first);
    assert!(!watch.may_upload(first));
    watch.begin(true);
    let second = watch.upload();
    watch.end_upload(first);
    assert!(watch.may_upload(second), "of another");
    watch.begin_again(true);
    assert!(!watch.may_upload(second));
}

#[test]
fn li_07_at_a_shutdown_who_is_idle_has_a_second_and_an_answer_that_is_on_its_way_has_more() {
    let watches = watches();
    let (idle, slow) = (watches.add(), watches.add());
    idle.begin(false);
    idle.end();
    assert!(idle.flushed());
    slow.begin(false);
    // hyper has taken all of its answer, and not written all of it.
    slow.enter(Phase::Idle);
    watches.drain(DRAIN);
    watches.later(1_500);
    assert!(!idle.overdue.get());
    watches.later(1);
    assert!(idle.overdue.get());
    assert!(!slow.overdue.get());
    // Now it has.
    assert!(slow.flushed());
    watches.later(1);
    assert!(slow.overdue.get());
}
