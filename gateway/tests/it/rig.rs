//! A gateway between the two.

use entra_emulator::{Emulator, demo as ids};
use obo_gateway::{Config, Running, Sources};

use crate::{
    client::{Answer, Client, in_time},
    upstream::{Reply, Seen, Upstream, ok},
};

pub(crate) struct Rig {
    pub(crate) gateway: Running,
    pub(crate) upstream: Upstream,
    /// `None` where no route needs a token.
    pub(crate) emulator: Option<Emulator>,
}

/// Settings of the file besides those that every test needs.
pub(crate) const PUBLIC: &str = "[[route]]\npath = '/*'\naccess = 'public'";
pub(crate) const PROTECTED: &str = "";

impl Rig {
    /// Everything is public: what is tested is not the token.
    pub(crate) async fn public() -> Self {
        Self::new(PUBLIC, |_| ok(), |_| {}).await
    }

    pub(crate) async fn public_with(
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::new(PUBLIC, script, change).await
    }

    /// The default route, with a token for ARM, and an identity provider.
    pub(crate) async fn protected() -> Self {
        Self::new(PROTECTED, |_| ok(), |_| {}).await
    }

    pub(crate) async fn new(
        file: &str,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let upstream = Upstream::start(script).await;
        let emulator = if file == PUBLIC {
            None
        } else {
            Some(Emulator::builder().start().await.unwrap())
        };
        // Discard: nobody listens there, and nobody has to.
        let authority = emulator.as_ref().map_or("http://127.0.0.1:9", |e| e.url());
        let mut config = Self::config(&format!("http://{}", upstream.address), authority, file);
        change(&mut config);
        let gateway = obo_gateway::start(config).await.unwrap();
        if emulator.is_some() {
            in_time(async {
                while !gateway.is_ready() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        Self {
            gateway,
            upstream,
            emulator,
        }
    }

    /// What a gateway of a test has, on a free port.
    pub(crate) fn config(upstream: &str, authority: &str, file: &str) -> Config {
        let text = format!(
            "listen = '127.0.0.1:0'\nworkers = 1\nupstream = '{upstream}'\n\
             [entra]\ntenant = '{}'\nclient_id = '{}'\nauthority = '{authority}'\n\
             allow_http_loopback = true\n[accept]\nscopes = ['{}']\n{file}",
            ids::CONTOSO,
            ids::API_CLIENT_ID,
            ids::API_SCOPE,
        );
        Sources::new()
            .file("test.toml", text)
            .environment(|name| {
                (name == "AZURE_CLIENT_SECRET").then(|| ids::API_CLIENT_SECRET.to_owned())
            })
            .load()
            .unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.gateway.local_addr()).await
    }

    pub(crate) fn token(&self, user: &str) -> String {
        self.emulator.as_ref().unwrap().user_token(user)
    }

    /// Sends these bytes on a connection of their own, and waits for the answer.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut client = self.client().await;
        client.try_send(bytes).await;
        client.answer().await.unwrap()
    }

    /// What the upstream saw; the one request.
    pub(crate) fn only_seen(&self) -> Seen {
        let seen = self.upstream.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }

    /// Nothing of anything reached the upstream, not even a connection.
    pub(crate) fn assert_nothing_reached_the_upstream(&self) {
        assert_eq!(
            self.upstream.connections(),
            0,
            "{:#?}",
            self.upstream.seen()
        );
    }
}
