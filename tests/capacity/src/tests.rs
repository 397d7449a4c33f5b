use crate::{
    busiest_minute,
    fleet::{Balance, Fleet, Lifetime, Restart},
    model::Cost,
    rate,
    replica::Replica,
};

fn small() -> Fleet {
    Fleet {
        users: 20_000,
        replicas: 20,
        pause: 60.0,
        caller: Lifetime(3_600.0, 5_400.0),
        downstream: Lifetime(3_600.0, 5_400.0),
        balance: Balance::Random,
        store: false,
        jitter: 0.1,
        restart: Restart::Never,
        warm_up: 5_400.0,
        beginnings: 60.0,
        seconds: 900,
    }
}

fn exchanges(fleet: &Fleet) -> f64 {
    rate(&fleet.run().at_entra())
}

#[test]
fn the_formulas_say_what_the_simulation_sees() {
    for (balance, store) in [
        (Balance::Random, false),
        (Balance::Random, true),
        (Balance::ByUser, false),
    ] {
        let fleet = Fleet {
            balance,
            store,
            ..small()
        };
        let (seen, told) = (exchanges(&fleet), Cost::of(&fleet).exchanges_per_second);
        assert!(
            (seen / told - 1.0).abs() < 0.06,
            "{balance:?} {store}: {seen} {told}"
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
        store: true,
        ..small()
    };
    assert!(peak(Fleet { restart, ..calm }) < 1.3 * peak(calm));
    let alone = Fleet {
        balance: Balance::ByUser,
        ..small()
    };
    assert!(peak(Fleet { restart, ..alone }) > 3.0 * peak(alone));
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
    let replica = Replica {
        users: 1_000,
        requests_per_second: 100.0,
        in_flight: 10,
        exchange: 1.0,
        seconds: 300,
    };
    let start = replica.start();
    assert_eq!(start.exchanges.iter().max(), Some(&10));
    assert!(start.refused.iter().sum::<u32>() > 0);
    assert_eq!(start.longest_wait, 5);
    assert_eq!(
        start.exchanges.iter().sum::<u32>(),
        1_000,
        "in the end everybody is"
    );
    let enough = Replica {
        in_flight: 1_000,
        ..replica
    }
    .start();
    assert_eq!(enough.refused.iter().sum::<u32>(), 0);
}
