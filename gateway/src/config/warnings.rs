//! What should be mended, and keeps nothing from starting.

use std::path::Path;

use super::{Config, Origin, Problems, Route, credential};

impl Config {
    /// What does not keep the gateway from starting and should still be mended: a credential that
    /// is not there yet, or that others can read.
    ///
    /// Reads the files that are named.
    #[must_use]
    pub fn warnings(&self) -> Problems {
        let mut warnings = self.ignored.clone();
        if let Err(problem) = self.credential_is_there() {
            warnings.append(problem);
        }
        let place = |key: &'static str| (self.places.of(key), key);
        for (origin, key, path) in self.entra.credential.private_files() {
            readable_by_all(&mut warnings, (origin, key), path, "the gateway's");
        }
        if let Some(store) = &self.shared_store {
            let key = (store.key_file.origin().clone(), "cache.redis_key_file");
            readable_by_all(&mut warnings, key, store.key_file.path(), "the gateways'");
            if store.tells_its_password() {
                let (origin, key) = place("cache.redis_url");
                let message = "the store's password crosses the network in the clear, and whoever has it can delete what the gateways share: an address with `rediss://` is spoken with over TLS";
                warnings.push(origin, key, message);
            }
        }
        if let Some(tls) = &self.tls {
            readable_by_all(&mut warnings, place("tls.key"), &tls.key, "the gateway's");
        }
        for route in self.routes.iter().filter(|route| route.pass_caller_token) {
            let message = format!(
                "`{}` forwards the caller's own token: the upstream, and whoever reads its logs, can act as the user towards this API",
                route.path
            );
            warnings.push(Origin::Nowhere, "route.pass_caller_token", message);
        }
        for route in self
            .routes
            .iter()
            .filter(|route| !route.takes_tokens_of_pages())
        {
            let message = format!(
                "pages cannot send a token to `{}`, which wants one: `authorization` is not among the headers that they may set",
                route.path
            );
            warnings.push(Origin::Nowhere, "route.cors.headers", message);
        }
        for (route, name) in self.applications_for_users() {
            let message = format!(
                "every caller of `{}` has at {name:?} all that the application itself may do; `access = \"app-only\"` keeps users out",
                route.path
            );
            warnings.push(Origin::Nowhere, "route.downstream", message);
        }
        for network in self.trusted_proxies.iter().filter(|n| n.is_everything()) {
            let message = format!("{network} is everybody: any client may say it is another");
            let (origin, key) = place("trusted_proxies");
            warnings.push(origin, key, message);
        }
        warnings
    }

    /// Reads the files of the credential.
    ///
    /// # Errors
    ///
    /// What is wrong with them, with where the configuration names them.
    pub(crate) fn credential_is_there(&self) -> Result<(), Problems> {
        self.entra.credential.look().map_err(|message| {
            let (origin, key) = self.entra.credential.place();
            let mut problem = Problems::default();
            problem.push(origin, key, message);
            problem
        })
    }

    /// Routes for users with a downstream that is called as the application.
    fn applications_for_users(&self) -> impl Iterator<Item = (&Route, &String)> {
        let for_users = |route: &&Route| route.access.has_users();
        let routes = self.routes.iter().filter(for_users);
        let named =
            routes.flat_map(|route| route.downstreams.iter().map(move |name| (route, name)));
        named.filter(|(_, name)| {
            let api = self.downstreams.get(*name);
            api.is_some_and(|api| !api.grant.has_subject())
        })
    }
}

fn readable_by_all(
    warnings: &mut Problems,
    (origin, key): (Origin, &'static str),
    path: &Path,
    whose: &str,
) {
    if credential::is_open_to_all(path) {
        let message = format!(
            "{} can be read by every user of this machine; only {whose} should (chmod 400)",
            path.display()
        );
        warnings.push(origin, key, message);
    }
}
