//! Every token is sent once before anything is measured: to sign 10,000 exchanged tokens takes Entra ID's
//! stand-in seconds, which a load generator that begins its list anew each time does not wait for.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::rig::Rig;

/// So many are asked for at once.
const AT_ONCE: usize = 32;

pub(crate) async fn up(rig: &Rig, port: u16) {
    let text = fs::read_to_string(rig.file("tokens")).unwrap();
    let tokens: Arc<[String]> = text.lines().map(str::to_owned).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let callers = (0..AT_ONCE).map(|_| {
        let (tokens, next, client) = (Arc::clone(&tokens), Arc::clone(&next), client.clone());
        tokio::spawn(async move {
            while let Some(token) = tokens.get(next.fetch_add(1, Ordering::Relaxed)) {
                let request = client.get(format!("http://127.0.0.1:{port}/item"));
                let answer = request.bearer_auth(token).send().await.unwrap();
                assert_eq!(answer.status(), 200, "the proxy takes every token");
                answer.bytes().await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}
