use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::{Sources, worker::Order};

fn generation() -> Arc<Generation> {
    let text = "upstream = 'http://127.0.0.1:9'\naccept.scopes = ['s']\n[entra]\n\
                tenant = '00000000-0000-0000-0000-000000000001'\n\
                client_id = '00000000-0000-0000-0000-000000000002'\n\
                credential = { secret_file = '/nowhere' }";
    let config = Sources::new().file("gw.toml", text).load().unwrap();
    let control = tokio::runtime::Handle::current();
    let (metrics, deny) = (Metrics::new(), tower_obo::DenyList::default());
    let parts = Generation::parts(&config, &control, &metrics, &deny, None).unwrap();
    Arc::new(Generation::new(config, parts, &control, None))
}

/// Where workers take orders, and the orders that they got.
fn workers<const N: usize>() -> (
    [mpsc::UnboundedSender<Order>; N],
    [mpsc::UnboundedReceiver<Order>; N],
) {
    let all: [_; N] = std::array::from_fn(|_| mpsc::unbounded_channel());
    let mut orders = Vec::new();
    let senders = all.map(|(sender, receiver)| {
        orders.push(receiver);
        sender
    });
    (senders, orders.try_into().unwrap())
}

#[tokio::test]
async fn all_workers_are_asked_before_one_has_answered_and_take_it_together() {
    let (senders, mut orders) = workers::<3>();
    let (next, committed) = (generation(), AtomicBool::new(false));
    let mut handing = pin!(hand_over(senders.iter(), &next, || committed
        .store(true, Ordering::Relaxed)));
    assert!(futures_util::poll!(handing.as_mut()).is_pending());
    let mut orders = orders.each_mut().map(|orders| orders.try_recv().unwrap());
    for order in &mut orders {
        assert!(order.committed.try_recv().is_err() && !committed.load(Ordering::Relaxed));
        let (prepared, _) = oneshot::channel();
        let prepared = std::mem::replace(&mut order.prepared, prepared);
        prepared.send(Ok(())).unwrap();
        let _ = futures_util::poll!(handing.as_mut());
    }
    assert!(
        committed.load(Ordering::Relaxed),
        "though nobody has said yet that it is done"
    );
    for mut order in orders {
        order.committed.try_recv().unwrap();
        assert!(futures_util::poll!(handing.as_mut()).is_pending());
        order.done.send(()).unwrap();
    }
    handing.await.unwrap();
}

#[tokio::test]
async fn where_one_worker_cannot_take_it_none_does() {
    let (senders, mut orders) = workers::<3>();
    let (next, committed) = (generation(), AtomicBool::new(false));
    let mut handing = pin!(hand_over(senders.iter(), &next, || committed
        .store(true, Ordering::Relaxed)));
    assert!(futures_util::poll!(handing.as_mut()).is_pending());
    let [one, two, mut three] = orders.each_mut().map(|orders| orders.try_recv().unwrap());
    one.prepared.send(Ok(())).unwrap();
    two.prepared.send(Err("no such file".to_owned())).unwrap();
    let (prepared, _) = oneshot::channel();
    std::mem::replace(&mut three.prepared, prepared)
        .send(Ok(()))
        .unwrap();
    let handed = time::timeout(Duration::from_secs(5), handing).await;
    let error = handed.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "no such file");
    assert!(!committed.load(Ordering::Relaxed));
    for committed in [one.committed, three.committed] {
        assert!(committed.await.is_err(), "it goes on with what it had");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_hangs_keeps_no_reload_for_ever() {
    let (senders, mut orders) = workers::<2>();
    let next = generation();
    let error = hand_over(senders.iter(), &next, || panic!("nobody has taken it")).await;
    assert!(error.unwrap_err().to_string().contains("within 10 s"));
    let order = orders[0].try_recv().unwrap();
    assert!(order.prepared.send(Ok(())).is_err(), "it is told so");
}
