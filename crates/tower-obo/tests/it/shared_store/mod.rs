//! Two cores that share a store, against a real Redis.

mod contents;
mod faults;
#[path = "../../../src/lines.rs"]
mod lines;
mod refused;
mod server;
mod sharing;
mod transport;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::StatusCode;
use tower::{Layer, ServiceExt};
use tower_obo::{Core, DownstreamToken, Entra, Event, Lookup, Observer, RedisStore};

use self::server::RedisServer;
use crate::fixture::{self, Upstream, World, policy, with_token};

const KEY: &str = "an operator's key of at least 32 bytes";
const NEW_KEY: &str = "a newer operator's key of 32 bytes or more";

/// Long enough that no machine is too slow for it.
const LONG: Duration = Duration::from_secs(30);

/// What came of each look into the store.
#[derive(Clone, Debug, Default)]
struct Lookups(Arc<Mutex<Vec<Lookup>>>);

impl Observer for Lookups {
    fn on(&self, event: &Event<'_>) {
        if let Event::SharedStore { outcome, .. } = event {
            self.0.lock().unwrap().push(*outcome);
        }
    }
}

impl Lookups {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn last(&self) -> Option<Lookup> {
        self.0.lock().unwrap().last().copied()
    }
}

/// A further process of the fleet: a core of its own that shares nothing but the store.
struct Process {
    core: Core,
    upstream: Upstream,
    lookups: Lookups,
}

impl Process {
    fn start(world: &World, store: RedisStore) -> Self {
        let lookups = Lookups::default();
        let tenants = Entra::tenant(entra_emulator::demo::CONTOSO);
        let core = fixture::core(&world.entra, tenants, &world.clock, |builder| {
            builder.shared_store(store).observer(lookups.clone())
        });
        Self {
            core,
            upstream: Upstream::default(),
            lookups,
        }
    }

    async fn status(&self, token: &str) -> StatusCode {
        let service = self
            .core
            .layer(policy())
            .unwrap()
            .layer(self.upstream.clone());
        service.oneshot(with_token(token)).await.unwrap().status()
    }

    /// Sends a request, which is served; the token that its service got.
    async fn get(&self, token: &str) -> String {
        assert_eq!(self.status(token).await, StatusCode::OK);
        self.upstream.last().authorization()
    }

    fn downstream(&self) -> DownstreamToken {
        let admitted = self.upstream.last().admitted.unwrap();
        admitted.first_downstream().unwrap()
    }
}

/// With a wait so long that nothing goes on without the store.
fn patient(redis: &RedisServer) -> RedisStore {
    RedisStore::new(redis.url(), KEY).with_wait(LONG)
}
