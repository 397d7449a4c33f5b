//! A running emulator, and everything a test can ask of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::builder::EmulatorBuilder;
use crate::decision::Decision;
use crate::directory::Directory;
use crate::event::Event;
use crate::keys::KeyError;
use crate::state::State;
use crate::taps::{Endpoint, Fault, Hold, Recorded};
use crate::token;
use crate::token::builder::TokenBuilder;

/// How long a shutdown waits for requests in flight.
const GRACE: Duration = Duration::from_secs(2);

/// Entra ID and Azure Resource Manager on loopback. They stop when this is dropped;
/// [`Emulator::shutdown`] waits until they have.
#[derive(Debug)]
pub struct Emulator {
    state: Arc<State>,
    address: SocketAddr,
    arm_address: SocketAddr,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Emulator {
    /// Starts from the demo directory on free ports.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    pub(crate) fn new(
        state: Arc<State>,
        address: SocketAddr,
        arm_address: SocketAddr,
        stop: watch::Sender<bool>,
        servers: Vec<JoinHandle<std::io::Result<()>>>,
    ) -> Self {
        Self {
            state,
            address,
            arm_address,
            stop,
            servers,
        }
    }

    /// Base URL of Entra ID, `http://127.0.0.1:PORT`, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// Base URL of Azure Resource Manager, without a trailing slash.
    #[must_use]
    pub fn arm_url(&self) -> &str {
        &self.state.arm_url
    }

    /// Base URL of Entra ID over https, when it was started with [`EmulatorBuilder::https`]. Tokens
    /// from there have an issuer of their own: see [`TokenBuilder::https`].
    #[must_use]
    pub fn https_url(&self) -> Option<&str> {
        self.state.https.as_ref().map(|https| &*https.url)
    }

    /// Base URL of Azure Resource Manager over https.
    #[must_use]
    pub fn arm_https_url(&self) -> Option<&str> {
        self.state.https.as_ref().map(|https| &*https.arm_url)
    }

    /// The certificate (PEM) of the authority that vouches for https. It is made anew in each
    /// emulator.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.state.ca_pem.as_deref()
    }

    /// Address that Entra ID listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address that Azure Resource Manager listens on.
    #[must_use]
    pub fn arm_address(&self) -> SocketAddr {
        self.arm_address
    }

    /// Base URL of Microsoft Graph, without a trailing slash: it is there beside Azure Resource
    /// Manager.
    #[must_use]
    pub fn graph_url(&self) -> &str {
        &self.state.arm_url
    }

    /// URL of a tenant's token endpoint.
    #[must_use]
    pub fn token_url(&self, tenant: &str) -> String {
        format!("{}/{tenant}/oauth2/v2.0/token", self.state.url)
    }

    /// What the directory is now: a snapshot that later changes leave alone.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.state.directory()
    }

    /// Changes the directory; requests that arrive from now on see it.
    pub fn update_directory<T>(&self, change: impl FnOnce(&mut Directory) -> T) -> T {
        self.state.update(change)
    }

    /// Records the consents that a sign-in to the demo web app asks for: web app → API and
    /// API → ARM. In a directory without them those of its only API: see [`TokenBuilder::api`].
    pub fn grant_consent(&self, user: &str) {
        let token = self.token().user(user);
        self.state.update(|directory| token.grant(directory));
    }

    /// Takes back everything the user consented to.
    pub fn revoke_consent(&self, user: &str) {
        self.state
            .update(|directory| directory.revoke_consents(user));
    }

    /// Ends a user's sessions: every token issued until now is refused (AADSTS50173), and ARM
    /// challenges those whose client can handle it.
    pub fn revoke_sessions(&self, user: &str) {
        self.state.update(|directory| {
            if let Some(user) = directory.user_mut(user) {
                user.revoke_sessions();
            }
        });
    }

    /// An access token for the demo API as the web app gets it after the user's sign-in, with the
    /// consents that go with it.
    #[must_use]
    pub fn user_token(&self, user: &str) -> String {
        self.grant_consent(user);
        self.token().user(user).sign()
    }

    /// The same without any consent of the user: an exchange of it is refused (AADSTS65001).
    #[must_use]
    pub fn user_token_without_consent(&self, user: &str) -> String {
        self.revoke_consent(user);
        self.token().user(user).sign()
    }

    /// A token for Azure Resource Manager, as the demo API gets it On-Behalf-Of the user.
    #[must_use]
    pub fn arm_token(&self, user: &str) -> String {
        self.token().user(user).arm().sign()
    }

    /// Starts a token to order.
    pub fn token(&self) -> TokenBuilder {
        TokenBuilder::new(self.state.clone())
    }

    /// Signs exactly these bytes (base64url of each, joined by a dot) with RS256 and the current
    /// key, whatever they are.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the system's cryptography fails.
    pub fn try_sign_raw(&self, header: &[u8], payload: &[u8]) -> Result<String, KeyError> {
        token::sign_bytes(&self.state.keys.current(), header, payload)
    }

    /// [`Emulator::try_sign_raw`]; empty when the system's cryptography fails.
    #[must_use]
    pub fn sign_raw(&self, header: &[u8], payload: &[u8]) -> String {
        self.try_sign_raw(header, payload).unwrap_or_default()
    }

    /// Id of the key that signs now.
    #[must_use]
    pub fn current_kid(&self) -> String {
        self.state.keys.current().kid.clone()
    }

    /// A new key signs from now on, and is published only now; the others stay published. Its id.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the system's cryptography fails.
    pub fn try_rotate_keys(&self) -> Result<String, KeyError> {
        self.state.rotate_keys(self.state.now())
    }

    /// [`Emulator::try_rotate_keys`]; when the system's cryptography fails the key stays as it is.
    pub fn rotate_keys(&self) -> String {
        self.try_rotate_keys()
            .unwrap_or_else(|_| self.current_kid())
    }

    /// Takes a key out of the published set; whether it was in it. When it was the one in use,
    /// another takes over. [`TokenBuilder::key`] can still sign with it.
    pub fn withdraw_key(&self, kid: &str) -> bool {
        self.state.withdraw_key(kid).unwrap_or(false)
    }

    /// Publishes one more key, which signs only what asks for it by [`TokenBuilder::key`]. With a
    /// tenant, its `issuer` says that it vouches for that tenant alone.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the system's cryptography fails.
    pub fn add_key(&self, tenant: Option<&str>) -> Result<String, KeyError> {
        let added = (self.state.keys).add(self.state.now(), tenant.map(str::to_owned));
        self.state.keep();
        added
    }

    /// The current key's public half as a PEM file (SubjectPublicKeyInfo).
    #[must_use]
    pub fn public_key_pem(&self) -> String {
        self.state.keys.current().public_key_pem()
    }

    /// The v2 keys document as it would be served for a tenant (`None`: `common`).
    #[must_use]
    pub fn jwks(&self, tenant: Option<&str>) -> Value {
        self.state
            .keys_document(crate::directory::TokenVersion::V2, tenant, None)
    }

    /// Serves this instead of the keys documents.
    pub fn set_jwks(&self, jwks: Value) {
        self.state.keys.replace_published(Some(jwks));
    }

    /// Serves the real keys again.
    pub fn reset_jwks(&self) {
        self.state.keys.replace_published(None);
    }

    /// From now on requests to this endpoint wait until the guard is dropped.
    pub fn hold(&self, endpoint: Endpoint) -> Hold {
        self.state.taps.hold(endpoint)
    }

    /// This is what happens to the next `times` requests to this endpoint.
    pub fn fail(&self, endpoint: Endpoint, fault: Fault, times: usize) {
        self.state.taps.fail(endpoint, &fault, times);
    }

    /// Forgets all faults that are still to come.
    pub fn clear_faults(&self) {
        self.state.taps.clear_faults();
    }

    /// How many requests this endpoint has had, held and failed ones included.
    #[must_use]
    pub fn count(&self, endpoint: Endpoint) -> u64 {
        self.state.taps.count(endpoint)
    }

    /// How many bytes of [streamed](Fault::streamed) bodies clients of this endpoint have taken, what
    /// sits in buffers on the way included.
    #[must_use]
    pub fn streamed(&self, endpoint: Endpoint) -> u64 {
        self.state.taps.streamed(endpoint)
    }

    /// The requests this endpoint has had (the last two thousand), oldest first.
    #[must_use]
    pub fn requests(&self, endpoint: Endpoint) -> Vec<Recorded> {
        self.state.taps.requests(endpoint)
    }

    /// What happened, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.state.events()
    }

    /// The last requests to the token endpoint (two hundred), oldest first: what was checked, and why they
    /// were refused.
    #[must_use]
    pub fn decisions(&self) -> Vec<Decision> {
        self.state.decisions.all()
    }

    /// How many On-Behalf-Of exchanges succeeded.
    #[must_use]
    pub fn exchanges(&self) -> usize {
        let events = self.state.events();
        events
            .iter()
            .filter(|event| matches!(event, Event::Exchanged { .. }))
            .count()
    }

    /// Moves the emulator's clock forwards.
    pub fn advance(&self, by: Duration) {
        self.state.clock.advance(by);
    }

    /// Lets go of held requests, answers those in flight (for two seconds at most) and closes all
    /// listeners.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        self.state.taps.release_all();
        for server in &mut self.servers {
            if tokio::time::timeout(GRACE, &mut *server).await.is_err() {
                server.abort();
            }
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.state.taps.release_all();
    }
}
