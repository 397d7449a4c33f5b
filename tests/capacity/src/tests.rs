use crate::{
    Run, calm,
    demand::{Demand, busiest_minute, rate, sum},
    fleet::{Balance, Fleet, Lifetime, Restart, Store},
    model::Cost,
    page::{Figures, TEXT, Table, pieces},
    parts::PARTS,
    replica::{Bound, Replica},
};

const PAGE: &str = include_str!("../../../docs/capacity.md");

fn small() -> Fleet {
    Fleet {
        replicas: 20,
        seconds: 900,
        ..calm(20_000)
    }
}

fn exchanges(fleet: &Fleet) -> f64 {
    rate(&fleet.run().at_entra())
}

#[test]
fn the_formulas_say_what_the_simulation_sees() {
    for (balance, store) in [
        (Balance::Random, Store::None),
        (Balance::Random, Store::Shared),
        (Balance::ByUser, Store::None),
    ] {
        let fleet = Fleet {
            balance,
            store,
            ..small()
        };
        let (seen, told) = (exchanges(&fleet), Cost::of(&fleet).exchanges_per_second);
        assert!(
            (seen / told - 1.0).abs() < 0.03,
            "{balance:?} {store:?}: {seen} {told}"
        );
    }
}

/// Requests that find what they need are not gone through where a user has one replica.
#[test]
fn one_of_one_is_the_same_by_user_and_by_chance() {
    let fleet = |balance| Fleet {
        replicas: 1,
        balance,
        ..small()
    };
    let by_user = exchanges(&fleet(Balance::ByUser));
    let by_chance = exchanges(&fleet(Balance::Random));
    assert!(
        (by_user / by_chance - 1.0).abs() < 0.03,
        "{by_user} {by_chance}"
    );
}

/// Else what is looked at would depend on when one begins to look.
#[test]
fn a_fleet_that_nothing_happens_to_stays_as_it_is() {
    for balance in [Balance::Random, Balance::ByUser] {
        let seen = Fleet {
            balance,
            seconds: 3_600,
            ..small()
        }
        .run()
        .at_entra();
        let (first, last) = (rate(&seen[..1_800]), rate(&seen[1_800..]));
        assert!(
            (first / last - 1.0).abs() < 0.04,
            "{balance:?}: {first} {last}"
        );
    }
}

#[test]
fn a_store_makes_a_restart_free() {
    let restart = Restart::Rolling {
        from: 300.0,
        over: 300.0,
    };
    let peak = |fleet: Fleet| busiest_minute(&fleet.run().at_entra());
    let calm = Fleet {
        store: Store::Shared,
        ..small()
    };
    assert!(peak(Fleet { restart, ..calm }) < 1.3 * peak(calm));
    let alone = Fleet {
        balance: Balance::ByUser,
        ..small()
    };
    assert!(peak(Fleet { restart, ..alone }) > 3.0 * peak(alone));
}

/// A replica that was restarted has what it then finds in the store, however old that is.
#[test]
fn what_is_found_after_a_restart_is_kept() {
    let restart = Restart::Rolling {
        from: 0.0,
        over: 0.0,
    };
    let calm = Fleet {
        store: Store::Shared,
        replicas: 2,
        ..small()
    };
    let found = |fleet: Fleet| sum(&fleet.run().found_in_store[600..]);
    let (with, without) = (found(Fleet { restart, ..calm }), found(calm));
    assert!(with < 1.3 * without, "{with} {without}");
}

fn lost(is_empty: bool) -> Demand {
    Fleet {
        store: Store::Lost {
            from: 300.0,
            until: 600.0,
            is_empty,
        },
        ..small()
    }
    .run()
}

#[test]
fn without_its_store_a_fleet_exchanges_as_one_that_never_had_one_and_with_what_it_held_it_is_well_again()
 {
    let seen = lost(false).at_entra();
    let (before, without) = (rate(&seen[..300]), rate(&seen[360..600]));
    assert!(without > 5.0 * before, "{without} {before}");
    let back = rate(&seen[660..]);
    assert!(back < without / 2.0, "{back} {without}");
    // One that comes back with nothing is filled first.
    let empty = rate(&lost(true).at_entra()[600..660]);
    assert!(empty > 1.3 * rate(&seen[600..660]), "{empty}");
    assert_eq!(sum(&lost(false).found_in_store[301..599]), 0.0);
}

#[test]
fn of_requests_at_the_same_moment_a_store_makes_one_exchange_only_where_that_is_faster_than_the_wait()
 {
    let fleet = |exchange| Fleet {
        burst: 6,
        store: Store::Shared,
        replicas: 1_000,
        exchange,
        ..small()
    };
    let (fast, slow) = (exchanges(&fleet(0.05)), exchanges(&fleet(0.2)));
    assert!(slow > 4.0 * fast, "{fast} {slow}");
    let by_user = exchanges(&Fleet {
        balance: Balance::ByUser,
        ..fleet(0.2)
    });
    assert!(by_user < 1.2 * fast, "{by_user} {fast}");
}

/// The first of several that are under way is in the store when it is done, not when the last one is.
#[test]
fn who_comes_while_an_exchange_is_under_way_does_not_put_it_off_for_others() {
    let fleet = |exchange| Fleet {
        pause: 20.0,
        store: Store::Shared,
        replicas: 1_000,
        exchange,
        wait: 0.0,
        ..small()
    };
    let (at_once, slow) = (exchanges(&fleet(0.0)), exchanges(&fleet(100.0)));
    // Five more in 100 s, one in 20 s.
    assert!(slow < 6.5 * at_once, "{slow} {at_once}");
}

#[test]
fn what_is_obtained_at_once_is_renewed_at_once_unless_that_is_spread() {
    let fleet = |jitter| Fleet {
        caller: Lifetime(86_400.0, 86_400.0),
        downstream: Lifetime(3_600.0, 3_600.0),
        balance: Balance::ByUser,
        restart: Restart::Rolling {
            from: 60.0,
            over: 0.0,
        },
        jitter,
        seconds: 3_600,
        ..small()
    };
    let peak = |jitter| busiest_minute(&fleet(jitter).run().renewals);
    assert!(peak(0.0) > 1.5 * peak(0.1));
}

#[test]
fn the_bound_holds_and_who_cannot_be_served_in_time_is_told_so() {
    let bound = Bound {
        in_flight: 10,
        exchange: 1.0,
    };
    let replica = Replica {
        users: 1_000,
        requests_per_second: 100.0,
        bound,
        seconds: 300,
        number: 1,
    };
    let start = replica.start();
    assert_eq!(start.exchanges.iter().max(), Some(&10));
    assert!(sum(&start.refused) > 0.0);
    assert_eq!(start.longest_wait, 5);
    assert_eq!(sum(&start.exchanges), 1_000.0, "in the end everybody is");
    let enough = Bound {
        in_flight: 1_000,
        ..bound
    };
    let enough = Replica {
        bound: enough,
        ..replica
    };
    assert_eq!(sum(&enough.start().refused), 0.0);
}

#[test]
fn what_a_bound_does_not_serve_in_time_is_refused() {
    let bound = Bound {
        in_flight: 10,
        exchange: 1.0,
    };
    let outcome = bound.serve([25.0; 100]);
    assert_eq!(outcome.exchanges, [10; 100]);
    // What waits when it ends is neither.
    let refused = sum(&outcome.refused);
    assert!((1_350.0..=1_400.0).contains(&refused), "{refused}");
    assert_eq!(outcome.longest_wait, 5);
    assert_eq!(sum(&bound.serve([9.5; 100]).refused), 0.0);
}

#[test]
fn the_page_is_the_text_with_figures_in_its_places() {
    let mut rest = PAGE;
    for (number, (literal, _)) in pieces(TEXT).enumerate() {
        let at = rest.find(literal);
        let at = at.unwrap_or_else(|| {
            panic!("docs/capacity.md is to be made anew (`make capacity`): it lacks {literal:?}")
        });
        assert!(number > 0 || at == 0, "it begins with something else");
        rest = &rest[at + literal.len()..];
    }
    assert_eq!(rest, "", "it ends with something else");
    assert!(!PAGE.contains("{{"));
}

/// Which is not to be learnt after minutes.
#[test]
fn every_place_of_the_page_gets_its_figure() {
    let mut run = Run {
        base: calm(5_000),
        done: Vec::new(),
        figures: Figures::default(),
        is_whole: false,
    };
    for (name, part) in PARTS {
        part(&mut run).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    run.figures.fill(TEXT).unwrap();
}

#[test]
fn a_figure_without_a_place_and_a_place_without_a_figure_are_told() {
    let mut figures = Figures::default();
    figures.figure("one", "1".to_owned());
    assert_eq!(figures.fill("so {{one}}."), Ok("so 1.".to_owned()));
    assert!(figures.fill("so {{two}}.").unwrap_err().contains("two"));
    assert!(figures.fill("so.").unwrap_err().contains("one"));
    let mut table = Table::new("a | b");
    table.row(&["1".to_owned(), "2".to_owned()]);
    figures.table("one", table);
    assert_eq!(
        figures.fill("{{one}}"),
        Ok("| a | b |\n|---|---|\n| 1 | 2 |".to_owned())
    );
}
