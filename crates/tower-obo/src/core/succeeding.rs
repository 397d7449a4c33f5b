//! A core that goes on with what another has, by other rules.

use std::sync::{Arc, atomic::AtomicBool};

use super::{ConfigError, ConfigErrors, Core, CoreBuilder, Inner};
use crate::{admission::Admissions, provider::Which};

impl CoreBuilder {
    /// Builds a core with these rules that goes on with what `earlier` has: its signing keys, what it knows
    /// of callers' tokens, its downstream tokens, its credential and its connections. A service takes such
    /// a core for a new configuration without asking Entra ID for anything again.
    ///
    /// The builder's own are the tenants, audiences, algorithms and claims, the leeway, the size of
    /// tokens, the wait for keys, and what challenges say. They hold for every request that this core
    /// decides on: a token that only the earlier rules let in is refused, however often it was let in. Where the
    /// tenants lead to other documents, or the times of keys are others, the keys are fetched anew.
    ///
    /// Everything else is that of `earlier`, whatever the builder says: credential, clock, spawner, observer,
    /// the time limit of calls, the sizes of caches, the number of exchanges and the shared store. Policies that were
    /// bound to the one may be used with the other.
    ///
    /// ```
    /// use tower_obo::{Core, Credential, Entra};
    ///
    /// let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    /// let client = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
    /// let builder = || Core::builder(Entra::tenant(tenant)).client(client, Credential::secret("…"));
    /// let before = builder().audience("https://api.example.com").build()?;
    /// let after = builder().build_succeeding(&before)?;
    /// # drop(after);
    /// # Ok::<_, tower_obo::ConfigErrors>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Everything that is wrong, all at once; another authority, client, set of client capabilities or given token
    /// endpoint than those of `earlier` is.
    pub fn build_succeeding(mut self, earlier: &Core) -> Result<Core, ConfigErrors> {
        let mut problems = self.problems();
        problems.extend(self.changed(earlier));
        let Some((client_id, _)) = self.client.clone().filter(|_| problems.is_empty()) else {
            return Err(ConfigErrors::from(problems));
        };
        let earlier = &*earlier.0;
        let origin_of_keys = self.origin_of_keys();
        let same_keys = origin_of_keys.is_some() && origin_of_keys == earlier.origin_of_keys;
        let validator = self.validator(&client_id);
        let challenge = Arc::new(self.challenge());
        let entra = self.source.provider.entra();
        let tenants = entra.map(|entra| entra.tenants.clone());
        let keys = match self.keys.take() {
            Some(given) => given,
            None if same_keys => Arc::clone(&earlier.keys),
            None => {
                self.source.clock = Arc::clone(&earlier.clock);
                self.source.observer = Arc::clone(&earlier.observer);
                // The exchanges, which stay what they were, learn from the new keys' document where they go.
                if let (Which::Oidc(oidc), Some(endpoint)) =
                    (&mut self.source.provider.0, &earlier.token_endpoint)
                {
                    oidc.token_endpoint = Arc::clone(endpoint);
                }
                let http = self.source.http(&[])?;
                let spawner = self.source.shared_spawner();
                Arc::new(self.source.keys(http, spawner))
            }
        };
        // An admission ends with the key that vouched for it, which only who has seen the key sees to.
        let (seen_keys, admissions) = if same_keys {
            let seen = Arc::clone(&earlier.seen_keys);
            (seen, Arc::clone(&earlier.admissions))
        } else {
            (
                Arc::default(),
                Arc::new(Admissions::new(self.max_bytes / 2)),
            )
        };
        Ok(Core(Arc::new(Inner {
            validator,
            keys,
            origin_of_keys,
            seen_keys,
            key_waiters: Arc::clone(&earlier.key_waiters),
            first_key_waiters: Arc::clone(&earlier.first_key_waiters),
            admissions,
            tokens: Arc::clone(&earlier.tokens),
            authority: earlier.authority.clone(),
            kind: earlier.kind,
            tenants,
            client: Arc::clone(&earlier.client),
            token_endpoint: earlier.token_endpoint.clone(),
            claims: earlier.claims.clone(),
            key_wait: self.key_wait,
            challenge,
            clock: Arc::clone(&earlier.clock),
            observer: Arc::clone(&earlier.observer),
            downstreams: Arc::clone(&earlier.downstreams),
            started: AtomicBool::new(false),
            deny: earlier.deny.clone(),
        })))
    }

    /// What the downstream tokens of `earlier` depend on, and is another here.
    fn changed(&self, earlier: &Core) -> Vec<ConfigError> {
        let now = [
            ("authority", self.source.provider.name()),
            (
                "client_id",
                self.client.as_ref().map_or("", |(id, _)| id.as_str()),
            ),
            ("claims_challenges", self.claims().unwrap_or_default()),
            (
                "token_endpoint",
                self.source.provider.given_token_endpoint(),
            ),
        ];
        now.into_iter()
            .zip(&*earlier.0.client)
            .filter(|((_, now), before)| now != &&***before)
            .map(|((setting, _), _)| ConfigError {
                setting,
                problem: "another than that of the core that this one succeeds: build a new core"
                    .to_owned(),
            })
            .collect()
    }
}
